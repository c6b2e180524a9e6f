"""Recompute of a bundle whatever can be recomputed from it alone, and say of each guarantee whether it holds."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sleevegraph.audit.contract import SCHEMA_VERSION
from sleevegraph.audit.evidence import Evidence, UnreadableError
from sleevegraph.audit.facts import Kind
from sleevegraph.audit.guarantees import (
    anchors,
    book,
    files,
    ledger,
    page,
    sanity,
    solving,
    stages,
    standing,
    streams,
    tree,
    weights,
)
from sleevegraph.audit.guarantees.verdict import Failure, Verdict
from sleevegraph.audit.layout import (
    FLATTENED,
    LEDGER,
    MANIFEST,
    META_OPTIMISED,
    OPTIMISED,
    PHYSICAL,
    RAW,
    REPORT,
    SIGN_TEST,
    STREAMS_SIGN_TEST,
    TREE,
)
from sleevegraph.errors import SleevegraphError

Judge = Callable[[Evidence], Verdict]

SHOWN = 3
"""Failures of one guarantee in its text."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One guarantee of a bundle."""

    name: str
    ok: bool
    file: str
    """The first file in which it does not hold; where it holds, the one that it is about."""
    text: str
    """One line: what was compared, or what was expected and found."""


_FILES: tuple[tuple[str, str, Judge], ...] = (
    ("schema", MANIFEST, files.schema),
    ("chain", LEDGER, ledger.chain),
    ("anchor", LEDGER, anchors.anchor),
    ("hashes", LEDGER, files.hashes),
    ("manifest", MANIFEST, files.manifest),
)
_STANDING: tuple[tuple[str, str, Judge], ...] = (
    ("certificate", LEDGER, standing.certificate),
    ("gates", LEDGER, standing.gates),
    ("stages", LEDGER, stages.stages),
    ("report", REPORT, page.report),
)
GUARANTEES: Mapping[Kind, tuple[tuple[str, str, Judge], ...]] = {
    "sleeve": (
        *_FILES,
        ("selection", LEDGER, stages.selection),
        ("matrices", RAW, streams.matrices),
        ("sign_test_pre_opt", STREAMS_SIGN_TEST, streams.sign_test_pre_opt),
        ("sign_test", SIGN_TEST, weights.sign_test),
        ("weight_sanity", OPTIMISED, sanity.weight_sanity),
        ("solves", OPTIMISED, solving.sleeve_solves),
        ("flattening", PHYSICAL, weights.flattening),
        *_STANDING,
    ),
    "meta": (
        *_FILES,
        ("children", TREE, tree.children),
        ("meta_weights", META_OPTIMISED, tree.child_weights),
        ("solves", META_OPTIMISED, solving.meta_solves),
        ("sign_test", SIGN_TEST, tree.sign_test),
        ("flattening", FLATTENED, book.flattening),
        ("conservation", FLATTENED, book.conservation),
        ("concentration", FLATTENED, book.concentration),
        *_STANDING,
    ),
}
"""Name, file and judge of each, in the order in which they are said."""


def verify(
    files: Mapping[str, bytes],
    neighbours: Mapping[str, bytes] = MappingProxyType({}),
    *,
    folder: str = "",
    unreadable: Mapping[str, str] = MappingProxyType({}),
) -> list[Guarantee]:
    """Judge a bundle; whatever is in it, nothing is raised.

    Parameters
    ----------
    files
        Content by path in the bundle, with slashes.
    neighbours
        Ledgers beside it by run id: of the rebalances before and after, of a meta's children, of the metas above.
    folder
        Name of the bundle's folder, where it is known.
    unreadable
        By path in the bundle what stands where a file should be, or why it cannot be read.

    Returns
    -------
    list of Guarantee
        In a fixed order; a single one for a bundle of another schema version, of which nothing else can be said.
    """
    evidence = Evidence(files, neighbours, folder, unreadable)
    for file, version in _versions(files):
        if version != SCHEMA_VERSION:
            text = f"schema version: expected {SCHEMA_VERSION}, found {version}; verify with the release that wrote it"
            return [Guarantee("schema", ok=False, file=file, text=text)]
    return [_judged(evidence, *guarantee) for guarantee in GUARANTEES[evidence.kind]]


def _judged(evidence: Evidence, name: str, file: str, judge: Judge) -> Guarantee:
    try:
        found = judge(evidence)
    except UnreadableError as error:
        found = Verdict("", (Failure(error.file, f"not checked, because this cannot be read: {error}"),))
    except SleevegraphError as error:
        found = Verdict("", (Failure(file, str(error)),))
    if not found.failures:
        return Guarantee(name, ok=True, file=file, text=_line(found.text))
    more = len(found.failures) - SHOWN
    text = " | ".join(f"{failure.file}: {failure.text}" for failure in found.failures[:SHOWN])
    return Guarantee(
        name, ok=False, file=_line(found.failures[0].file), text=_line(text + f" | {more} more" * (more > 0))
    )


def _versions(files: Mapping[str, bytes]) -> Iterator[tuple[str, int]]:
    """What manifest and ledger say of the format, as far as they can be read at all."""
    for file, content in ((MANIFEST, files.get(MANIFEST, b"")), (LEDGER, files.get(LEDGER, b"").partition(b"\n")[0])):
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            continue
        version = found.get("schema_version") if isinstance(found, dict) else None
        if isinstance(version, int) and abs(version) < 1 << 31:
            yield file, version


def _line(text: str) -> str:
    """One printable line, whatever a bundle has put into it."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in text).split())
