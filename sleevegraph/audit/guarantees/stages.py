"""Guarantees of the stages: they bear the standing and count what the ledger lists; nobody is held and dropped at once."""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from sleevegraph.audit.contract import Atoms, CandidateDrops, Cell, Selection, Stage, UniverseDrops
from sleevegraph.audit.evidence import Evidence
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, standing_of, verdict
from sleevegraph.audit.layout import LEDGER
from sleevegraph.certification import BLOCKED

DECIDING = {
    "sleeve": ("candidates", "winners", "synthetic_returns", "solver_cells", "risk_weights"),
    "meta": ("meta_weights",),
}
"""A portfolio is BLOCKED when one of these is."""


def stages(evidence: Evidence) -> Verdict:
    """A stage that is BLOCKED blocks the portfolio; rows are as many as the ledger lists."""
    name, at = evidence.resolved.portfolio, evidence.resolved.partition
    found = {stage.asset: stage for stage in evidence.of(Stage) if stage.partition == at}
    texts = [
        f"stage {stage.asset}: expected a standing {BLOCKED} of what rests on it, found {standing_of(evidence)}"
        for asset in DECIDING[evidence.kind]
        if (stage := found.get(f"{name}/{asset}")) is not None
        and stage.status == BLOCKED
        and standing_of(evidence) != BLOCKED
    ]
    counts = dict(_counts(evidence)) if evidence.kind == "sleeve" else {}
    for asset, count in counts.items():
        if asset in found and found[asset].status != BLOCKED and found[asset].rows != count:
            texts.append(f"stage {asset}: rows: expected {count} as the ledger lists them, found {found[asset].rows}")
    said = f"{len(evidence.of(Stage))} stages, rows counted of {len(counts)}"
    return verdict(said, (Failure(LEDGER, text) for text in texts))


def _counts(evidence: Evidence) -> Iterator[tuple[str, int]]:
    """By asset how many rows the ledger lists."""
    name, selection = evidence.resolved.portfolio, evidence.only(Selection)
    yield "universe", len(evidence.only(UniverseDrops).drops) + len(evidence.only(Atoms).eligible)
    yield f"{name}/winners", len(selection.winners) + len(selection.losers)
    yield f"{name}/solver_cells", len(evidence.of(Cell))


def selection(evidence: Evidence) -> Verdict:
    """Nobody is two of winner, loser, dropped candidate and dropped from the universe."""
    chosen = evidence.only(Selection)
    named = {
        "winner": [row.symbol for row in chosen.winners],
        "loser": [row.symbol for row in chosen.losers],
        "dropped candidate": [row.symbol for row in evidence.only(CandidateDrops).drops],
        "symbol dropped from the universe": [row.symbol for row in evidence.only(UniverseDrops).drops],
    }
    texts = [
        f"{symbol}: expected one {what}, found {times}"
        for what, symbols in named.items()
        for symbol, times in Counter(symbols).items()
        if times > 1
    ]
    texts += [
        f"{symbol}: expected no {what} that is a {other}, found one"
        for (what, symbols), (other, others) in combinations(named.items(), 2)
        for symbol in sorted({*symbols}.intersection(others))
    ]
    said = ", ".join(f"{what}s: {len(symbols)}" for what, symbols in list(named.items())[:3])
    return verdict(said, (Failure(LEDGER, text) for text in texts))
