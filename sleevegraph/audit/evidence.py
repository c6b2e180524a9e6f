"""The files of a bundle as whoever verifies it gets them: nothing in them is believed, and each is read when asked for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from hashlib import sha256
from io import BytesIO
from typing import Any, TypeVar, get_args

import polars as pl
from polars.exceptions import PanicException, PolarsError
from pydantic import BaseModel, ValidationError

from sleevegraph.audit.contract import EVENTS, Begin, Output, Record
from sleevegraph.audit.document_contract import ResolvedManifest
from sleevegraph.audit.facts import Kind
from sleevegraph.audit.layout import LEDGER, MANIFEST, META_FILES, META_RETURNS, RAW, SLEEVE_FILES, SYNTHETIC
from sleevegraph.calendar import require_on_grid
from sleevegraph.errors import AuditError, SleevegraphError
from sleevegraph.manifest import Manifest

EXPECTED: Mapping[Kind, tuple[str, ...]] = {"sleeve": SLEEVE_FILES, "meta": META_FILES}
"""Files of a bundle."""
KEYS: Mapping[str, Mapping[str, type[pl.DataType]]] = {
    RAW: {"date": pl.Date},
    SYNTHETIC: {"date": pl.Date},
    META_RETURNS: {"date": pl.Date, "profile": pl.String},
}
"""First columns of the matrices; all others are numbers."""
PARQUET_MAGIC = b"PAR1"

Model = TypeVar("Model", bound=BaseModel)
Event = TypeVar("Event", bound=Record)


class UnreadableError(AuditError):
    """A file that is absent or is not what its name promises."""

    def __init__(self, file: str, text: str) -> None:
        """`text` says what was expected and found."""
        super().__init__(text)
        self.file = file


@dataclass(frozen=True)
class Evidence:
    """One bundle. Every property raises `UnreadableError` where its file cannot be read as what it should be."""

    files: Mapping[str, bytes]
    neighbours: Mapping[str, bytes] = field(default_factory=dict)
    """Ledgers beside it by run id."""
    folder: str = ""
    """Name of its folder, where it is known."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """By path why the file system does not give it."""
    _documents: dict[str, BaseModel] = field(default_factory=dict, init=False, repr=False)
    _frames: dict[str, pl.DataFrame] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def kind(self) -> Kind:
        """Whose bundle it is, by the files that are there: what they say of themselves is to be judged."""
        found = {*self.files, *self.unreadable}
        metas, sleeves = (len(found.intersection(EXPECTED[kind])) for kind in ("meta", "sleeve"))
        return "meta" if metas > sleeves else "sleeve"

    def content(self, file: str) -> bytes:
        """Bytes of a file that must be there."""
        if file in self.files:
            return self.files[file]
        raise UnreadableError(file, f"expected a file, found {self.unreadable.get(file, 'none')}")

    @cached_property
    def lines(self) -> list[bytes]:
        """Lines of the ledger."""
        content = self.content(LEDGER)
        if not content.endswith(b"\n"):
            end = f"{content[-20:]!r}" if content else "an empty file"
            raise UnreadableError(LEDGER, f"expected lines that end with a newline, found {end}: truncated")
        return content[:-1].split(b"\n")

    @cached_property
    def plain_records(self) -> list[dict[str, Any]]:
        """Records of the ledger as plain JSON objects."""
        return [_object(line, number) for number, line in enumerate(self.lines, 1)]

    @cached_property
    def records(self) -> list[Record]:
        """Every record of the ledger, typed."""
        models = {event_of(event): event for event in EVENTS[self.kind]}
        return [_typed(plain, number, models) for number, plain in enumerate(self.plain_records, 1)]

    @cached_property
    def generations(self) -> list[list[Record]]:
        """Records from each `begin` to the next."""
        starts = [place for place, record in enumerate(self.records) if isinstance(record, Begin)]
        if not starts:
            raise UnreadableError(LEDGER, "expected a record begin, found none")
        return [self.records[a:b] for a, b in zip(starts, [*starts[1:], len(self.records)], strict=True)]

    @cached_property
    def begins(self) -> list[Begin]:
        """The first record of every generation."""
        firsts = (generation[0] for generation in self.generations)
        return [first for first in firsts if isinstance(first, Begin)]

    def of(self, kind: type[Event]) -> list[Event]:
        """Records of one event in the newest generation."""
        return [record for record in self.generations[-1] if isinstance(record, kind)]

    def only(self, kind: type[Event]) -> Event:
        """The one record of an event in the newest generation."""
        found = self.of(kind)
        if len(found) != 1:
            raise UnreadableError(
                LEDGER, f"expected one record {event_of(kind)} in the newest generation, found {len(found)}"
            )
        return found[0]

    @cached_property
    def resolved(self) -> ResolvedManifest:
        """The resolved manifest, whose rules are not judged yet."""
        return self.document(MANIFEST, ResolvedManifest)

    @cached_property
    def manifest(self) -> Manifest:
        """The rules, with every default filled in."""
        found = self.resolved.manifest
        try:
            manifest = Manifest.model_validate(found)
        except ValidationError as error:
            raise UnreadableError(MANIFEST, f"manifest.{_first(error)}") from error
        if manifest.model_dump(mode="json") != found:
            raise UnreadableError(
                MANIFEST, "manifest: expected every rule with its default filled in, found another writing"
            )
        return manifest

    @cached_property
    def at(self) -> date:
        """The rebalance date."""
        try:
            return require_on_grid(date.fromisoformat(self.resolved.partition), "partition")
        except (ValueError, SleevegraphError) as error:
            raise UnreadableError(MANIFEST, _line(str(error))) from error

    def document(self, file: str, model: type[Model]) -> Model:
        """Read a JSON document."""
        if file not in self._documents:
            try:
                self._documents[file] = model.model_validate(_parsed(self.content(file)))
            except ValidationError as error:
                raise UnreadableError(file, _first(error)) from error
            except (ValueError, RecursionError) as error:
                raise UnreadableError(file, f"expected JSON, found what cannot be read: {_line(str(error))}") from error
        found = self._documents[file]
        if not isinstance(found, model):
            raise TypeError(f"{file}: expected {model.__name__}, found {type(found).__name__}")
        return found

    def frame(self, file: str) -> pl.DataFrame:
        """Read a Parquet file, unless the ledger says that it is not the one that was written."""
        if file not in self._frames:
            self._frames[file] = self._read_frame(file)
        return self._frames[file]

    def _read_frame(self, file: str) -> pl.DataFrame:
        content = self.content(file)
        if not (content.startswith(PARQUET_MAGIC) and content.endswith(PARQUET_MAGIC)):
            end = content[-len(PARQUET_MAGIC) :]
            text = f"expected Parquet from PAR1 to PAR1, found {len(content)} bytes ending in {end!r}: truncated or another format"
            raise UnreadableError(file, text)
        # A reader of Parquet may end the process on bytes that nobody wrote.
        if file in self._changed:
            raise UnreadableError(file, "not read: it is not the file that the ledger names")
        try:
            frame = pl.read_parquet(BytesIO(content))
        except (PolarsError, PanicException) as error:
            raise UnreadableError(file, f"expected Parquet, found what cannot be read: {_line(str(error))}") from error
        wrong = _miscast(frame, KEYS[file])
        if wrong:
            raise UnreadableError(file, wrong)
        return frame

    @cached_property
    def _changed(self) -> frozenset[str]:
        """Files whose bytes are not those of their `output`; none where no ledger can be read."""
        try:
            outputs = self.of(Output)
        except UnreadableError:
            return frozenset()
        hashes = {output.file: output.sha256 for output in outputs}
        return frozenset(f for f, content in self.files.items() if f in hashes and sha256_of(content) != hashes[f])


def sha256_of(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return sha256(content).hexdigest()


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        found = _parsed(line)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(LEDGER, f"line {number}: expected JSON, found {_line(str(error))}") from error
    if not isinstance(found, dict):
        raise UnreadableError(LEDGER, f"line {number}: expected an object, found {type(found).__name__}")
    return found


def event_of(kind: type[Record]) -> str:
    """How the ledger calls it."""
    return str(get_args(kind.model_fields["event"].annotation)[0])


def _parsed(content: bytes) -> Any:
    """Any JSON; ValueError or RecursionError for what is none, or holds text that no file can."""
    text = content.decode("utf-8")
    found = json.loads(text, object_pairs_hook=_once)
    if "\\u" in text:  # half a surrogate pair can be written so, but is no character
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of a key that stands twice, readers differ in which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"an object with {len(pairs)} keys of which {len(pairs) - len(found)} stand twice")
    return found


def _miscast(frame: pl.DataFrame, keys: Mapping[str, type[pl.DataType]]) -> str:
    """What is wrong with the names and types of a matrix's columns; an empty string when nothing is."""
    if frame.columns[: len(keys)] != list(keys):
        return f"expected the columns {', '.join(keys)} first, found {', '.join(frame.columns[:3]) or 'none'}"
    for name, dtype in frame.schema.items():
        if dtype != keys.get(name, pl.Float64):
            return f"column {name}: expected {keys.get(name, pl.Float64)}, found {dtype}"
    missing = [name for name in keys if frame[name].null_count()]
    return f"column {missing[0]}: expected a value in every row, found some missing" if missing else ""


def _typed(plain: dict[str, Any], number: int, models: Mapping[str, type[Record]]) -> Record:
    event = plain.get("event")
    model = models.get(event) if isinstance(event, str) else None
    if model is None:
        raise UnreadableError(
            LEDGER, f"line {number}: event: expected one of {', '.join(models)}, found {_shown(event)}"
        )
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise UnreadableError(LEDGER, f"line {number}: {event}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, and where."""
    first, count = error.errors(include_url=False)[0], error.error_count()
    place = ".".join(str(part) for part in first["loc"])
    more = f" ({count - 1} more)" if count > 1 else ""
    return _line(f"{place or 'document'}: {first['msg']}, found {_shown(first['input'])}") + more


def _shown(value: object) -> str:
    """A value of JSON in a line of text: only its type where it may be long."""
    return (
        repr(value)[:60]
        if value is None or isinstance(value, str | float | bool)
        else f"a value of type {type(value).__name__}"
    )


def _line(text: str) -> str:
    return " ".join(text.split())[:240]
