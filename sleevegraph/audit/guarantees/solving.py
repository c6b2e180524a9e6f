"""Guarantee of the solves: what was answered is what the native engine answers to the same matrices and rules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isclose

import polars as pl

from sleevegraph.atoms import Atom
from sleevegraph.audit.contract import Atoms, Cell, Check, MetaCell, Selection
from sleevegraph.audit.document_contract import Weights
from sleevegraph.audit.evidence import Evidence, UnreadableError
from sleevegraph.audit.guarantees.held import HELD
from sleevegraph.audit.guarantees.streams import atoms_of, sleeve_of
from sleevegraph.audit.guarantees.tree import portfolios_of
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, standing_of, verdict
from sleevegraph.audit.guarantees.weights import cells_of_record
from sleevegraph.audit.layout import LEDGER, META_OPTIMISED, META_RETURNS, OPTIMISED, SYNTHETIC
from sleevegraph.certification import BLOCKED
from sleevegraph.engine_agreement import MAX_DIFFERENCE
from sleevegraph.engines.registry import engine_named
from sleevegraph.manifest import RISK_PROFILES, RiskRules, SleeveProfile
from sleevegraph.metas import meta_weights
from sleevegraph.risk_profiles.solver import EQUALLY_WEIGHTED, solve_posed
from sleevegraph.risk_weights import books, risk_weights
from sleevegraph.solver_cells import WEIGHTED, cells_frame
from sleevegraph.tournament import Outcome, enter
from sleevegraph.weight_sanity import NATIVE

TOLERANCE = 1e-9
"""Of a weight; the last bits are those of the machine."""


def sleeve_solves(evidence: Evidence) -> Verdict:
    """Solve every cell of record again; where another engine answered, the two agree as `engine_agreement` asks."""
    sleeve, cells = sleeve_of(evidence), cells_of_record(evidence)
    if standing_of(evidence) == BLOCKED:
        return Verdict("BLOCKED: no weights to solve again")
    if not evidence.only(Atoms).atoms:
        wrong = [cell for cell in cells.values() if cell.status in WEIGHTED]
        failures = [Failure(LEDGER, f"cell {c.engine}/{c.profile}: expected none solved without atoms") for c in wrong]
        return verdict("in cash: nothing was solved", failures)
    again = _solved_again(evidence, sleeve)
    left = {p: why for p, cell in cells.items() if (why := _not_comparable(evidence, cell, again.get(p)))}
    compared = [profile for profile in RISK_PROFILES if profile in cells and profile not in left]
    others = [profile for profile in compared if _by_another(cells[profile])]
    failures = [f for p in compared if p not in others for f in _different(evidence, cells[p], again[p])]
    failures += [f for p in others for f in _weights_apart(evidence, p, again[p], MAX_DIFFERENCE)]
    reasons = [f"{why} {', '.join(p for p in left if left[p] == why)}" for why in dict.fromkeys(left.values())]
    said = f"{len(compared)} cells solved again"
    if others:
        engine = sleeve.risk.engine_of_record
        said += f", {len(others)} of them by {NATIVE} where {engine} answered, compared to {MAX_DIFFERENCE:g}"
    return verdict(said + (f"; not solved again: {'; '.join(reasons)}" if reasons else ""), failures)


def _not_comparable(evidence: Evidence, cell: Cell, again: "_Again | None") -> str:
    """Why a cell cannot be solved again from the bundle; empty where it can."""
    if cell.status not in (*WEIGHTED, "rejected"):
        return "without an answer"
    limit = sleeve_of(evidence).risk.turnover_limit
    if limit is not None and cell.turnover is not None and cell.turnover > limit - TOLERANCE:
        return "bound to the previous weights by the turnover limit"
    if not _by_another(cell):
        return ""
    # Stand-ins solve other problems, and engines that are said to disagree are left to the warning.
    if cell.status != NATIVE or again is None or again.status != NATIVE:
        return f"stand-in, by the engine {cell.engine}"
    disagree = any(check.findings for check in evidence.of(Check) if check.check == "engine_agreement")
    return f"with a warning that engines disagree, by the engine {cell.engine}" if disagree else ""


def _by_another(cell: Cell) -> bool:
    """Whether another engine than the native one answered."""
    return cell.engine != NATIVE and cell.profile not in EQUALLY_WEIGHTED and cell.status != "rejected"


@dataclass(frozen=True, slots=True)
class _Again:
    """What solving a cell again gives."""

    status: str
    rung: str
    solved_by: str
    objective: float | None
    weights: Mapping[str, float]
    """By symbol."""


def _solved_again(evidence: Evidence, sleeve: SleeveProfile) -> dict[str, _Again]:
    """By risk profile the answer of the native engine, without a turnover limit."""
    selection, atoms = evidence.only(Selection), atoms_of(evidence)
    clusters = {winner.symbol: winner.cluster for winner in selection.winners if winner.cluster is not None}
    held = {winner.symbol for winner in selection.winners}
    rules = {"engines": (NATIVE,), "engine_of_record": NATIVE, "turnover_limit": None}
    alone = sleeve.model_copy(update={"risk": RiskRules(**{**sleeve.risk.model_dump(), **rules})})
    benchmarks, synthetic = evidence.manifest.market.benchmark_symbols, evidence.frame(SYNTHETIC)
    lost = [atom.id for atom in atoms if atom.id not in synthetic.columns]
    if lost:
        raise UnreadableError(SYNTHETIC, f"expected a column of every atom, found none of {lost[0]}")
    tournament = enter(
        synthetic,
        winners=[atom for atom in atoms if atom.symbol in held],
        market=[atom.symbol for atom in atoms if atom.symbol in benchmarks],
        benchmark=evidence.only(Atoms).eligible,
        sleeve=alone,
        unavailable={},
    )
    native = engine_named(NATIVE)
    outcomes = {
        cell: Outcome(solve_posed(task.profile, task.problem, native)) for cell, task in tournament.tasks.items()
    }
    cells = cells_frame(tournament, outcomes)
    weights = books(risk_weights(cells, alone, clusters))
    columns = ("profile", "status", "rung", "solved_by", "objective")
    return {
        profile: _Again(status, rung, solver, objective, weights.get((NATIVE, profile), {}))
        for profile, status, rung, solver, objective in cells.select(columns).iter_rows()
    }


def _different(evidence: Evidence, cell: Cell, again: _Again) -> Iterator[Failure]:
    """Where a cell is not what solving it again gives."""
    where = f"cell {cell.engine}/{cell.profile}"
    yield from _weights_apart(evidence, cell.profile, again, TOLERANCE)
    for key in ("status", "rung", "solved_by"):
        ours, theirs = getattr(again, key), getattr(cell, key)
        if ours != theirs:
            yield Failure(LEDGER, f"{where}: {key}: expected {ours!r} as solved again, found {theirs!r}")
    if (again.objective is None) != (cell.objective is None) or not isclose(
        again.objective or 0.0, cell.objective or 0.0, rel_tol=TOLERANCE
    ):
        yield Failure(
            LEDGER, f"{where}: objective: expected {again.objective!r} as solved again, found {cell.objective!r}"
        )


def _weights_apart(evidence: Evidence, profile: str, again: _Again, tolerance: float) -> Iterator[Failure]:
    """Whether a profile's weights are those of solving it again."""
    sleeve = sleeve_of(evidence)
    expected = {Atom(symbol, sleeve.logic, sleeve.direction).id: weight for symbol, weight in again.weights.items()}
    assets = evidence.document(OPTIMISED, Weights).profiles[profile].assets
    yield from _apart(OPTIMISED, profile, expected, {asset.symbol: asset.weight for asset in assets}, tolerance)


def _apart(
    file: str, profile: str, expected: Mapping[str, float], found: Mapping[str, float], tolerance: float = TOLERANCE
) -> Iterator[Failure]:
    """The weight that differs most."""
    apart = {name: abs(expected.get(name, 0.0) - found.get(name, 0.0)) for name in {*expected, *found}}
    worst = max(sorted(apart), key=apart.__getitem__, default=None)
    if worst is not None and not apart[worst] <= tolerance:
        text = f"expected {expected.get(worst)!r} as solved again, found {found.get(worst)!r}"
        yield Failure(file, f"{profile}: {worst}: {text}")


def meta_solves(evidence: Evidence) -> Verdict:
    """Solve the weights of a meta's children again from their realised streams."""
    cells = {cell.profile: cell for cell in evidence.of(MetaCell)}
    if standing_of(evidence) == BLOCKED:
        return Verdict("BLOCKED: no weights to solve again")
    held = sorted(profile for profile, cell in cells.items() if cell.status == HELD)
    portfolios = portfolios_of(evidence)
    meta = portfolios.metas[portfolios.root]
    returns, failures = evidence.frame(META_RETURNS), []
    if returns.columns[2:] != sorted(meta.children):
        text = (
            f"columns: expected date, profile, {', '.join(sorted(meta.children))}, found {', '.join(returns.columns)}"
        )
        return Verdict("", (Failure(META_RETURNS, text),))
    by_profile = returns.partition_by("profile", as_dict=True)
    for profile in [profile for profile in RISK_PROFILES if profile in cells and profile not in held]:
        rows = by_profile.get((profile,), returns.clear())
        streams = {child: pl.DataFrame([rows["date"], rows[child].alias("ret")]) for child in meta.children}
        again, cell = meta_weights(profile, streams, meta, evidence.at), cells[profile]
        for key in ("status", "rows_used", "rows_lost", "lost_share"):
            ours, theirs = getattr(again, key), getattr(cell, key)
            if ours != theirs:
                failures.append(Failure(LEDGER, f"cell {profile}: {key}: expected {ours}, found {theirs}"))
        assets = evidence.document(META_OPTIMISED, Weights).profiles[profile].assets
        failures += _apart(META_OPTIMISED, profile, again.weights, {a.symbol: a.weight for a in assets})
    said = f"{len(cells) - len(held)} risk profiles solved again"
    return verdict(said + (f"; held over, not solved: {', '.join(held)}" if held else ""), failures)
