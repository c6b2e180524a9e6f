"""Whether what a bundle claims is what follows from the bars: each stage as it was found against the one rebuilt."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import zip_longest

import polars as pl

from sleevegraph.audit.bars_days import DIGITS, WITHOUT_BARS
from sleevegraph.audit.claim import Claim, stages
from sleevegraph.audit.differences import file_difference, frame_difference, value_difference
from sleevegraph.audit.evidence import sha256_of
from sleevegraph.audit.facts import BarsDays, run_id
from sleevegraph.audit.layout import LEDGER
from sleevegraph.audit.ledger import Record, chained

CHAIN = ("seq", "prev_hash", "hash")
OF_A_CHECK = ("state", "findings", "figures", "blocking", "rules", "digest", "inputs")
OF_A_STAGE = ("status", "reason", "rows", "code_version")
APART = ("environment", "bars", "stage", "check", "output")
"""Events that are compared on their own."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One thing that was compared."""

    what: str
    difference: str = ""
    """How it differs; empty when it is the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Rebuilt:
    """A rebalance that was computed again, and how it lies in the lake of the home."""

    files: Mapping[str, bytes]
    """Of the bundle."""
    records: Sequence[Record]
    """The newest generation of its ledger."""
    below: Mapping[str, Sequence[Record]]
    """The same of every portfolio below a meta, by name."""
    stored: Mapping[str, str]
    """By asset the digest of the partition in the lake, where there is one."""
    frames: Callable[[str], tuple[pl.DataFrame, pl.DataFrame]]
    """Rows of an asset's partition in the lake and as rebuilt."""


def compared_bars(claim: Claim, bars: BarsDays) -> Comparison:
    """Compare the bars before the rebalance."""
    claimed = next(record for record in claim.records if record["event"] == "bars")
    wanted = _by_day(date.fromisoformat(claimed["first"] or str(bars.first)), claimed["days"])
    found = _by_day(bars.first, bars.days)
    every = sorted({*wanted, *found})
    differing = [day for day in every if wanted.get(day, WITHOUT_BARS) != found.get(day, WITHOUT_BARS)]
    if differing:
        return Comparison("daily_bars", f"first on {differing[0]} ({len(differing)} of {len(every)} days differ)")
    if bars.digest != claimed["digest"]:
        text = f"digest: found {bars.digest[:12]}…, recorded {claimed['digest'][:12]}…, though no single day differs"
        return Comparison("daily_bars", text)
    return Comparison("daily_bars")


def compared_inputs(claim: Claim, stored: Mapping[tuple[str, str], str]) -> list[Comparison]:
    """Compare what earlier rebalances left with what was used; `stored` has digests by asset and partition."""
    used = claim.earlier()
    changed = [
        Comparison(
            f"{asset} {partition}",
            f"the lake has {stored[asset, partition][:12]}…, used was {digest[:12]}…: changed since",
        )
        for asset, partition, digest in used
        if stored[asset, partition] != digest
    ]
    days = sorted({partition for _, partition, _ in used})
    return changed or [Comparison(f"{len(used)} partitions of {days[0]} to {days[-1]}")] if used else []


def compared(claim: Claim, rebuilt: Rebuilt) -> list[Comparison]:
    """Compare every stage, check and file of a bundle, and in the end its ledger, in the order of the graph."""
    found = [
        *_stages(claim, rebuilt),
        *_checks(claim.records, rebuilt.records),
        *_below(claim, rebuilt),
        *_files(claim, rebuilt),
    ]
    said = _said_difference(claim.records, rebuilt.records, APART)
    if not said and not any(one.difference for one in found):
        said = _written_difference(claim, rebuilt.records)
    return [*found, Comparison(LEDGER, said)]


def other_environment(claim: Claim, records: Sequence[Record]) -> str:
    """What another program or machine made the bundle with than rebuilt it; empty when it was the same."""
    made, here = (_environment(found) for found in (claim.records, records))
    names = sorted(made.keys() | here.keys())
    others = [f"{name} {made.get(name)}, here {here.get(name)}" for name in names if made.get(name) != here.get(name)]
    return f"made with {'; '.join(others)}" if others else ""


def _stages(claim: Claim, rebuilt: Rebuilt) -> Iterator[Comparison]:
    made = {
        stage["asset"]: stage
        for ledger in (*rebuilt.below.values(), rebuilt.records)
        for stage in stages(ledger)
        if stage["partition"] == str(claim.at)
    }
    recorded = claim.at_the_rebalance()
    for stage in recorded:
        yield Comparison(stage["asset"], _stage_difference(stage, made.get(stage["asset"]), rebuilt))
    for asset in sorted(made.keys() - {stage["asset"] for stage in recorded}):
        yield Comparison(asset, "found in no ledger, rebuilt as a stage of this rebalance")


def _stage_difference(recorded: Record, made: Record | None, rebuilt: Rebuilt) -> str:
    if made is None:
        return "found in a ledger, rebuilt as no stage of this rebalance"
    texts = [value_difference(recorded[name], made[name], name) for name in OF_A_STAGE]
    return "; ".join(
        filter(None, [*texts, _rows_difference(recorded["asset"], recorded["digest"], made["digest"], rebuilt)])
    )


def _rows_difference(asset: str, named: str, made: str, rebuilt: Rebuilt) -> str:
    """How the rows differ of which the ledger names one digest and the rebuilt partition has another, or the lake's."""
    stored = rebuilt.stored.get(asset)
    if named == made and stored in {None, named}:
        return ""
    if stored not in {None, made} and named in {made, stored}:
        rows = frame_difference(*rebuilt.frames(asset)) or "the same rows in a file of other bytes"
        return rows if named == stored else f"rebuilt as the ledger names it, but the lake's changed since: {rows}"
    lake = {None: "none in the lake", made: "which the lake has, too"}.get(stored, "the lake has neither")
    return f"the ledger names {named[:12]}…, rebuilt {made[:12]}…, {lake}"


def _checks(recorded: Sequence[Record], made: Sequence[Record]) -> Iterator[Comparison]:
    verdicts, others = (
        {f"check {r['check']} of {r['asset']}": r for r in records if r["event"] == "check"}
        for records in (recorded, made)
    )
    for what in {**verdicts, **others}:
        if what not in verdicts or what not in others:
            yield Comparison(
                what,
                f"found {'a' if what in verdicts else 'no'} verdict, rebuilt {'a' if what in others else 'no'} one",
            )
            continue
        one, other = verdicts[what], others[what]
        texts = (value_difference(one[name], other[name], name) for name in OF_A_CHECK)
        yield Comparison(what, next(filter(None, texts), ""))


def _below(claim: Claim, rebuilt: Rebuilt) -> Iterator[Comparison]:
    """Bundles of a meta's tree, in the generations that its ledgers name; warnings may be accepted at any time."""
    for ledger in claim.below:
        name = ledger[0]["portfolio"]
        text = _said_difference(ledger, rebuilt.below.get(name, ()), ("environment", "bars", "acceptance"))
        yield Comparison(f"bundle {run_id(name, claim.at)}", text)


def _files(claim: Claim, rebuilt: Rebuilt) -> Iterator[Comparison]:
    named = {record["file"]: record["sha256"] for record in claim.records if record["event"] == "output"}
    for file in sorted({*claim.files, *rebuilt.files} - {LEDGER}):
        recorded = claim.files.get(file)
        trusted = recorded is not None and sha256_of(recorded) == named.get(file)
        text = file_difference(file, recorded, rebuilt.files.get(file), trusted=trusted)
        yield Comparison(file, text if trusted or not text else f"{text}; not the file that the ledger names")


def _said_difference(recorded: Sequence[Record], made: Sequence[Record], apart: Sequence[str]) -> str:
    """The first event up to `end` that says something else, the chain and those that are compared apart left out."""
    nothing: Record = {}
    for one, other in zip_longest(_said(recorded, apart), _said(made, apart), fillvalue=nothing):
        text = value_difference(one, other)
        if text:
            event = (one or other)["event"]
            names = [
                str((one or other)[name])
                for name in ("engine", "profile", "name", "asset", "check", "file")
                if name in (one or other)
            ]
            return f"{' '.join([event, *names])}: {text}"
    return ""


def _said(records: Sequence[Record], apart: Sequence[str]) -> Iterator[Record]:
    for record in records:
        said = {key: value for key, value in record.items() if key not in {*CHAIN, "generation", "records"}}
        if record["event"] == "begin":  # which of their records it names was looked up; here only whose
            said |= {"previous": (said["previous"] or {}).get("run_id"), "children": sorted(said["children"])}
        if record["event"] not in apart:
            yield said
        if record["event"] == "end":
            return


def _written_difference(claim: Claim, made: Sequence[Record]) -> str:
    """The first line that differs when what was rebuilt is written after the generations before it."""
    taken = {record["event"]: record for record in claim.records if record["event"] in {"environment", "bars"}}
    begin = {key: claim.begin[key] for key in ("generation", "previous", "children")}
    records = [taken.get(record["event"], record) for record in made]
    records[0] = {**records[0], **begin}
    bare = [{key: value for key, value in record.items() if key not in CHAIN} for record in records]
    for line, recorded in zip(chained(bare, claim.before), claim.records, strict=False):
        text = value_difference(recorded, line)
        if text:
            return f"line {line['seq'] + 1} ({recorded['event']}): {text}; the ledger was changed after it was written"
    return ""


def _environment(records: Sequence[Record]) -> dict[str, str]:
    """Versions by name; the commit says less than the digest of the program."""
    found = next(record for record in records if record["event"] == "environment")
    names = ("sleevegraph", "python", "platform")
    return {**{name: found[name] for name in names}, "source": found["source"][:12], **found["packages"]}


def _by_day(first: date, digits: str) -> dict[date, str]:
    days = [digits[place : place + DIGITS] for place in range(0, len(digits), DIGITS)]
    return {first + timedelta(days=number): digest for number, digest in enumerate(days)}
