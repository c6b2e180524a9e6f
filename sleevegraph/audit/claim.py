"""What a bundle claims of a rebalance: read, but not believed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sleevegraph.audit.contract import SCHEMA_VERSION
from sleevegraph.audit.evidence import Evidence
from sleevegraph.audit.layout import LEDGER, MANIFEST
from sleevegraph.audit.ledger import Record, current
from sleevegraph.errors import AuditError
from sleevegraph.manifest import Manifest

Bundles = Callable[[str], Evidence]
"""The bundle with a run id; without files where there is none."""
ONE_OF_EACH = ("environment", "bars", "end")
"""Events of which every generation has one."""
SAYING = ("asset", "digest", "code_version", "status", "reason", "rows")
"""What an event `stage` says, its partition aside."""


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """One bundle, and what it names of the ledgers beside it."""

    files: Mapping[str, bytes]
    manifest: Manifest
    records: list[Record]
    """The newest generation of its ledger."""
    before: list[Record]
    """All generations before it."""
    previous: list[Record]
    """The generation of the portfolio's previous ledger that it continues; none at the first rebalance."""
    below: list[list[Record]]
    """Of a meta: the generations of the ledgers below that it names, a portfolio before those above it."""

    @property
    def begin(self) -> Record:
        """The first record of the newest generation."""
        return self.records[0]

    @property
    def portfolio(self) -> str:
        """Whose bundle it is."""
        return str(self.begin["portfolio"])

    @property
    def at(self) -> date:
        """The rebalance date."""
        return date.fromisoformat(self.begin["partition"])

    def earlier(self) -> list[tuple[str, str, str]]:
        """[asset, partition, digest] of everything that was used as an earlier rebalance left it."""
        found = [stage for ledger in (*self.below, self.records) for stage in stages(ledger)]
        used = [(stage["asset"], stage["partition"], stage["digest"]) for stage in (*stages(self.previous), *found)]
        checks = (record for ledger in (*self.below, self.records) for record in ledger if record["event"] == "check")
        for check in checks:
            used += [(*name.split("@"), digest) for name, digest in check["inputs"].items() if name.count("@") == 1]
        return sorted({row for row in used if row[1] < self.begin["partition"]})

    def at_the_rebalance(self) -> list[Record]:
        """Events `stage` of this rebalance in the order of the graph, what is below a meta first; what two say alike once."""
        found: dict[tuple[Any, ...], Record] = {}
        for ledger in (*self.below, self.records):
            for stage in stages(ledger):
                if stage["partition"] == self.begin["partition"]:
                    found.setdefault(tuple(stage[name] for name in SAYING), stage)
        return list(found.values())

    def acceptances(self) -> list[Record]:
        """What operators had accepted when the bundles were made."""
        ledgers = (ledger[: _end(ledger)] for ledger in (*self.below, self.records))
        return [record for ledger in ledgers for record in ledger if record["event"] == "acceptance"]


def claimed(evidence: Evidence, bundles: Bundles) -> Claim:
    """Read what a bundle claims; `bundles` gives those that its ledger names.

    Raises
    ------
    AuditError
        When it, or a ledger that it names, cannot be read, is of another schema version, or does not know of the other.
    """
    records = _records(evidence)
    newest = current(records)
    begin, resolved, manifest = newest[0], evidence.resolved, evidence.manifest
    _require_version(resolved.schema_version)
    if resolved.run_id != begin["run_id"] or str(evidence.at) != begin["partition"]:
        raise AuditError(f"{MANIFEST}: expected the rules of {begin['run_id']}, found those of {resolved.run_id}")
    if begin["portfolio"] not in {
        *(sleeve.name for sleeve in manifest.sleeves),
        *(meta.name for meta in manifest.metas),
    }:
        raise AuditError(f"{MANIFEST}: expected the rules of {begin['portfolio']}, found none")
    anchor = begin["previous"]
    return Claim(
        files=evidence.files,
        manifest=manifest,
        records=newest,
        before=records[: -len(newest)],
        previous=_generation(anchor["run_id"], anchor["hash"], bundles) if anchor else [],
        below=_below(begin, bundles, set()),
    )


def stages(records: Sequence[Record]) -> list[Record]:
    """Events `stage`, in order."""
    return [record for record in records if record["event"] == "stage"]


def _below(begin: Record, bundles: Bundles, seen: set[str]) -> list[list[Record]]:
    found: list[list[Record]] = []
    for run, newest in sorted(begin["children"].items()):
        if newest not in seen:
            seen.add(newest)
            generation = _generation(run, newest, bundles)
            found += [*_below(generation[0], bundles, seen), generation]
    return found


def _generation(run: str, newest: str, bundles: Bundles) -> list[Record]:
    """The generation of a ledger that ended with a record when it was named."""
    evidence = bundles(run)
    if not evidence.files:
        raise AuditError(f"expected the bundle {run} beside it, which its ledger names, found none")
    records = _records(evidence)
    places = [place for place, record in enumerate(records, 1) if record["hash"] == newest]
    if not places:
        raise AuditError(
            f"expected record {newest[:12]}… in the ledger of {run}, found none: one of the two was rewritten"
        )
    generation = current(records[: places[0]])
    if generation[0]["run_id"] != run:
        raise AuditError(f"expected the ledger of {run}, found that of {generation[0]['run_id']} in its place")
    return generation


def _records(evidence: Evidence) -> list[Record]:
    """Every record of a ledger, of which each has what its event promises."""
    first = evidence.plain_records[0]
    if first.get("event") != "begin":
        raise AuditError(f"{LEDGER} line 1: expected begin, found {first.get('event')!r}")
    _require_version(first.get("schema_version"))
    for generation in evidence.generations:
        events = [record.event for record in generation]
        for event in ONE_OF_EACH:
            if events.count(event) != 1:
                where = f"{LEDGER} line {generation[0].seq + 1}"
                raise AuditError(f"{where}: expected one {event} in a generation, found {events.count(event)}")
    return evidence.plain_records


def _require_version(found: object) -> None:
    if found != SCHEMA_VERSION:
        raise AuditError(
            f"schema version: expected {SCHEMA_VERSION}, found {found}; replay with the release that wrote it"
        )


def _end(records: list[Record]) -> int:
    return next((place for place, record in enumerate(records) if record["event"] == "end"), len(records))
