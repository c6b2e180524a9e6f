"""The archive's files as the server has them: what is listed, what was restated, what a lagging mirror still serves."""

import io
import os
import re
import struct
import zipfile
from bisect import bisect_left
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from tests.replica.files import checksum, md5_of, zipped

DATED = re.compile(r"-(\d{4})-(\d{2})(?:-(\d{2}))?\.zip$")


class Entry(NamedTuple):
    """One key: size, MD5, when it was last written (seconds since 1970), the last day it has (ISO), place in the pack."""

    size: int
    md5: str
    modified: int
    last: str
    at: int | None = None


@dataclass(slots=True)
class Catalogue:
    """Keys of files that reach beyond `until` are not there yet."""

    folder: Path
    entries: dict[str, Entry]
    pack: int
    """Descriptor of the one file that holds all the others, where the tree is packed."""
    until: str = "9999-12-31"
    replaced: dict[str, list[bytes]] = field(default_factory=dict)
    """Bodies by key, the oldest first; the key's file in the folder comes before them."""
    _order: list[bytes] | None = None

    @classmethod
    def of(cls, folder: Path, index: dict[str, list[Any]]) -> "Catalogue":
        entries = {key: Entry(*entry) for key, entry in index.items()}
        return cls(folder, entries, os.open(folder / "packed", os.O_RDONLY))

    def show_until(self, day: date) -> None:
        self.until, self._order = day.isoformat(), None

    def order(self) -> list[bytes]:
        """Keys that are there, as UTF-8, sorted by their bytes."""
        if self._order is None:
            self._order = sorted(key.encode() for key, entry in self.entries.items() if entry.last <= self.until)
        return self._order

    def find(self, key: str) -> Entry | None:
        entry = self.entries.get(key)
        return entry if entry is not None and entry.last <= self.until else None

    def read(self, key: str) -> bytes:
        return self.replaced[key][-1] if key in self.replaced else self._built(key)

    def _built(self, key: str) -> bytes:
        entry = self.entries[key]
        if entry.at is None:
            return (self.folder / "archive" / key).read_bytes()
        return os.pread(self.pack, entry.size, entry.at)

    def replace(self, key: str, body: bytes, modified: int) -> None:
        """Restate a file, or add one that nobody listed before, and its CHECKSUM with it."""
        match = DATED.search(key)
        year, month, day = (int(part or 0) for part in match.groups()) if match else (1, 1, 1)
        last = date(year, month, day or monthrange(year, month)[1]).isoformat()
        for name, content in ((key, body), (f"{key}.CHECKSUM", checksum(body, key))):
            versions = self.replaced.setdefault(name, [])
            if not versions and name in self.entries:
                versions.append(self._built(name))
            versions.append(content)
            self.entries[name] = Entry(len(content), md5_of(content), modified, last)
        self._order = None

    def older(self, name: str) -> bytes:
        """What a lagging mirror serves: the version before the last, or one in which the last row was not final."""
        key = name.removesuffix(".CHECKSUM")
        versions = self.replaced.get(key, [])
        body = versions[-2] if len(versions) > 1 else _not_final(self.read(key))
        return body if name == key else checksum(body, key)

    def after(self, marker: bytes) -> int:
        """Position of the first key that sorts after `marker`."""
        return bisect_left(self.order(), marker + b"\0")


def corrupt(body: bytes) -> bytes:
    """The same length, one byte of the first member's data flipped."""
    if len(body) < 64 or not body.startswith(b"PK\x03\x04"):
        return body[:-1] + bytes([body[-1] ^ 1])
    packed, _, name, extra = struct.unpack("<18xIIHH", body[:30])
    at = 30 + name + extra + packed // 2
    return body[:at] + bytes([body[at] ^ 0x10]) + body[at + 1 :]


def _not_final(body: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        member = archive.namelist()[0]
        lines = archive.read(member).decode().splitlines()
    fields = lines[-1].split(",")
    column = 5 if len(fields) == 12 else 2  # a kline's volume; a funding rate, an open interest
    fields[column] = format(Decimal(fields[column]) / 2, "f")
    return zipped(member, "\n".join((*lines[:-1], ",".join(fields))) + "\n")
