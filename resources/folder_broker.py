"""Celery's messages and results in a folder, for the workers of one machine: kombu's transport, made safe for several.

As it comes, a reader may take a message, a table of queues or a result that is half written. Here each is there whole or
not at all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from queue import Empty
from time import monotonic_ns
from typing import Any
from uuid import uuid4

from celery.backends.filesystem import FilesystemBackend
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

from resources.atomic import write_atomically

SCHEME = "sleevegraph-folder"
"""Of a broker's URL, within this program."""
MESSAGES, TAKEN, CONTROL, RESULTS = "messages", "taken", "control", "results"


class Channel(filesystem.Channel):
    """Messages of one folder."""

    def _put(self, queue: str, payload: Any, **_: Any) -> None:
        """Put a message on a queue; names sort by time."""
        path = Path(self.data_folder_out) / f"{monotonic_ns():020d}_{uuid4()}.{queue}.msg"
        write_atomically(path, lambda temporary: temporary.write_bytes(dumps(payload).encode()))

    def _get(self, queue: str) -> Any:
        """Take the oldest message of a queue, which only one process can do: by renaming it."""
        for message in sorted(Path(self.data_folder_in).iterdir()):
            taken = Path(self.processed_folder) / message.name
            if message.name.partition(".")[2] != f"{queue}.msg":
                continue
            try:
                message.rename(taken)
            except FileNotFoundError:
                continue
            content = loads(taken.read_text(encoding="utf-8"))
            taken.unlink()
            return content
        raise Empty

    def get_table(self, exchange: str) -> list[Any]:
        """Queues that are bound to an exchange."""
        with self._locked():
            return list(super().get_table(exchange))

    def _queue_bind(self, *args: Any) -> None:
        with self._locked():
            super()._queue_bind(*args)

    def _delete(self, *args: Any, **options: Any) -> None:
        with self._locked():
            super()._delete(*args, **options)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time at the tables of queues."""
        with (Path(self.control_folder) / "lock").open("a") as file:
            flock(file, LOCK_EX)
            yield


class Transport(filesystem.Transport):
    """The transport of that channel."""

    Channel = Channel


class Results(FilesystemBackend):
    """Results of one folder."""

    def set(self, key: bytes, value: str | bytes) -> None:
        """Store a result."""
        content = value.encode() if isinstance(value, str) else value
        write_atomically(Path(self._filename(key).decode()), lambda temporary: temporary.write_bytes(content))


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"


def folder_settings(folder: Path) -> dict[str, Any]:
    """Celery's settings for a folder, which is made."""
    for name in (MESSAGES, TAKEN, CONTROL, RESULTS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {
        "broker_url": f"{SCHEME}://",
        "result_backend": f"{__name__}:Results+file://{folder / RESULTS}",
        "broker_transport_options": {
            "data_folder_in": str(folder / MESSAGES),
            "data_folder_out": str(folder / MESSAGES),
            "control_folder": str(folder / CONTROL),
            "processed_folder": str(folder / TAKEN),
        },
    }
