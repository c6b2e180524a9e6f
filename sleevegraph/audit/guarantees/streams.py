"""Guarantees of a sleeve's matrices: the columns that the selection asks for, the days before P, and no short that is a long."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import zip_longest
from types import MappingProxyType

import numpy as np
import polars as pl

from sleevegraph.atoms import Atom
from sleevegraph.audit.bars_days import DIGITS
from sleevegraph.audit.contract import Atoms, Bars, Selection, UniverseDrops
from sleevegraph.audit.document_contract import SignTest
from sleevegraph.audit.evidence import Evidence, UnreadableError
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, standing_of, verdict
from sleevegraph.audit.layout import LEDGER, MANIFEST, RAW, STREAMS_SIGN_TEST, SYNTHETIC
from sleevegraph.certification import BLOCKED
from sleevegraph.findings import Finding
from sleevegraph.manifest import SleeveProfile
from sleevegraph.sign_test import directional_sign_test
from sleevegraph.universe import OTHER_QUOTE


def sleeve_of(evidence: Evidence) -> SleeveProfile:
    """The one sleeve of the manifest."""
    if len(evidence.manifest.sleeves) != 1:
        raise UnreadableError(MANIFEST, f"sleeves: expected one, found {len(evidence.manifest.sleeves)}")
    return evidence.manifest.sleeves[0]


def atoms_of(evidence: Evidence) -> list[Atom]:
    """What the matrices must have, as the ledger says."""
    return [Atom(atom.symbol, atom.logic, atom.direction) for atom in evidence.only(Atoms).atoms]


def matrices(evidence: Evidence) -> Verdict:
    """The matrices have the ledger's atoms as columns and the train window's days, all before P, as rows."""
    raw, synthetic, atoms = evidence.frame(RAW), evidence.frame(SYNTHETIC), atoms_of(evidence)
    days = _days(evidence) if atoms else []
    failures = [
        *(Failure(LEDGER, text) for text in (*_ahead(days, evidence.at), *_atoms(evidence, atoms))),
        *_columns(RAW, raw, [atom.symbol for atom in atoms]),
        *_columns(SYNTHETIC, synthetic, [atom.id for atom in atoms]),
        *_rows(RAW, raw, days),
        *_rows(SYNTHETIC, synthetic, days),
    ]
    return verdict(f"{len(atoms)} atoms on {len(days)} days before {evidence.at}", failures)


def _atoms(evidence: Evidence, atoms: Sequence[Atom]) -> Iterator[str]:
    """Whether the ledger's atoms are those of its own selection."""
    sleeve, record = sleeve_of(evidence), evidence.only(Atoms)
    for written, atom in zip(record.atoms, atoms, strict=True):
        if written.id != atom.id or (atom.logic, atom.direction) != (sleeve.logic, sleeve.direction):
            yield f"atoms: expected {atom.symbol}_{sleeve.logic}_{sleeve.direction}, found {written.id}"
    chosen = {winner.symbol for winner in evidence.only(Selection).winners}
    strangers = sorted(chosen.difference(record.eligible))
    if strangers:
        yield f"selection: expected winners among the eligible symbols, found others: {', '.join(strangers)}"
    others = [drop.symbol for drop in evidence.only(UniverseDrops).drops if drop.rule == OTHER_QUOTE]
    if others and not sleeve.quotes:
        yield f"universe_drops: expected no {OTHER_QUOTE} of a sleeve without quotes, found {', '.join(others)}"
    passive = set(evidence.manifest.market.benchmark_symbols).intersection(record.eligible + others)
    expected = sorted(chosen | passive)
    if atoms and [atom.symbol for atom in atoms] != expected:
        wrong = sorted(set(expected).symmetric_difference(atom.symbol for atom in atoms))
        yield f"atoms: expected the winners and the eligible benchmark symbols, sorted, found others: {', '.join(wrong)}"


def _columns(file: str, frame: pl.DataFrame, names: Sequence[str]) -> Iterator[Failure]:
    if frame.columns != ["date", *names]:
        wrong = sorted(set(frame.columns).symmetric_difference(["date", *names]))
        yield Failure(
            file, f"columns: expected date and the ledger's atoms in their order, found {', '.join(wrong) or 'another'}"
        )
    for name in frame.columns[1:]:
        values = frame[name].to_numpy()
        if np.isinf(values).any() or np.isnan(values).sum() != frame[name].null_count():
            yield Failure(file, f"column {name}: expected finite numbers or null, found another value")


def _days(evidence: Evidence) -> list[date]:
    """The train window: the newest calendar days of the bars before P."""
    bars = evidence.only(Bars)
    first, count = date.fromisoformat(bars.first), len(bars.days) // DIGITS
    length = min(sleeve_of(evidence).selection.train_days, count)
    return [first + timedelta(days=day) for day in range(count - length, count)]


def _ahead(days: Sequence[date], at: date) -> Iterator[str]:
    if days and days[-1] >= at:
        yield f"bars: expected days before {at}, found some up to {days[-1]}"


def _rows(file: str, frame: pl.DataFrame, days: Sequence[date]) -> Iterator[Failure]:
    found = frame["date"].to_list()
    if found != days:
        wrong = next((day or other for day, other in zip_longest(found, days) if day != other), None)
        span = f"{days[0]} to {days[-1]}" if days else "none without atoms"
        text = (
            f"date: expected {len(days)} days, {span}, found {len(found)}, of which the first that differs is {wrong}"
        )
        yield Failure(file, text)


def sign_test_pre_opt(evidence: Evidence) -> Verdict:
    """LONG s = r and SHORT s = -min(r, 1) on every row, recomputed; the stored findings say the same."""
    atoms = atoms_of(evidence)
    found = directional_sign_test(evidence.frame(RAW), evidence.frame(SYNTHETIC), atoms) if atoms else []
    failures = judged(evidence, STREAMS_SIGN_TEST, SYNTHETIC, found)
    rows = evidence.frame(SYNTHETIC).height
    return verdict(f"{len(atoms)} atoms on {rows} days, {len(found)} findings as stored", failures)


def judged(
    evidence: Evidence,
    file: str,
    source: str,
    found: Sequence[Finding],
    sources: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Failure]:
    """What a sign test found where nothing may be found, and where its `file` says something else.

    `source` is what was judged, or by code what is in `sources`.
    """
    stored = evidence.document(file, SignTest)
    if standing_of(evidence) != BLOCKED:
        for finding in found[:3]:
            yield Failure(sources.get(finding.code, source), f"{finding.code} {finding.symbol}: {finding.message}")
    ours = Counter((f.level, f.code, evidence.resolved.run_id, f.symbol, f.message) for f in found)
    theirs = Counter((f.level, f.code, f.run_id, f.symbol, f.message) for f in stored.findings)
    if ours != theirs:
        unsaid, unfounded = (ours - theirs).total(), (theirs - ours).total()
        yield Failure(
            file, f"findings: expected the {ours.total()} recomputed, found {unsaid} missing and {unfounded} others"
        )
    yield from miscounted(file, stored)


def miscounted(file: str, stored: SignTest) -> Iterator[Failure]:
    """Whether the counts of a sign test are those of its findings."""
    levels = Counter(finding.level for finding in stored.findings)
    for key, found, expected in (
        ("errors", stored.errors, levels["ERROR"]),
        ("warnings", stored.warnings, levels["WARN"]),
    ):
        if found != expected:
            yield Failure(file, f"{key}: expected {expected} as findings has them, found {found}")
