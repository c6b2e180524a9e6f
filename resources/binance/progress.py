"""How far an ingest has come, for whoever shows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Progress(Protocol):
    """Told of each stage as it goes."""

    def begin(self, stage: str, total: int) -> None:
        """Another stage of `total` steps."""
        ...

    def advance(self, transferred: int = 0) -> None:
        """One step more, which took so many bytes."""
        ...


class Silent:
    """Nobody looks."""

    def begin(self, stage: str, total: int) -> None:
        """Say nothing."""

    def advance(self, transferred: int = 0) -> None:
        """Say nothing."""


_shown: ContextVar[Progress | None] = ContextVar("ingest_progress", default=None)


def current_progress() -> Progress:
    """Whoever shows progress in this context, else nobody."""
    return _shown.get() or Silent()


@contextmanager
def showing(progress: Progress) -> Iterator[None]:
    """Show what ingests begun within this context do, also inside a Dagster run of this process."""
    token = _shown.set(progress)
    try:
        yield
    finally:
        _shown.reset(token)
