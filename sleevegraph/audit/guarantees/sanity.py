"""Guarantee of the cells: every expected one is in the ledger once, and the weights of record are what they promise."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from sleevegraph.atoms import Atom
from sleevegraph.audit.contract import Atoms, Cell, Selection, Stage
from sleevegraph.audit.document_contract import Asset, Weights
from sleevegraph.audit.evidence import Evidence
from sleevegraph.audit.guarantees.streams import atoms_of, sleeve_of
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, standing_of, verdict
from sleevegraph.audit.guarantees.weights import cells_of_record, held_anyway, known_atoms
from sleevegraph.audit.layout import LEDGER, OPTIMISED
from sleevegraph.certification import BLOCKED
from sleevegraph.cluster_caps import feasible_limit
from sleevegraph.manifest import RISK_PROFILES, SleeveProfile
from sleevegraph.risk_weights import CHOOSING
from sleevegraph.solver_cells import WEIGHTED
from sleevegraph.tournament import cap_of, expected_cells
from sleevegraph.weight_sanity import STATUSES
from sleevegraph.weight_sanity import weight_sanity as sanity_findings

_JUDGED = {
    "engine": pl.String,
    "profile": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "symbol": pl.String,
    "weight": pl.Float64,
    "cap": pl.Float64,
    "cluster": pl.Int64,
    "cluster_limit": pl.Float64,
}


def weight_sanity(evidence: Evidence) -> Verdict:
    """Every expected cell is in the ledger once; the weights of record are what their cells promise."""
    sleeve, optimised = sleeve_of(evidence), evidence.document(OPTIMISED, Weights)
    failures = [Failure(LEDGER, text) for text in _cells(evidence, sleeve)]
    cells = cells_of_record(evidence)
    said = f"{len(evidence.of(Cell))} cells, {len(cells)} of them of record"
    if standing_of(evidence) == BLOCKED:
        return verdict(f"BLOCKED: {said}, no weights", [*failures, *held_anyway(OPTIMISED, optimised)])
    rows: list[tuple[object, ...]] = []
    atoms = known_atoms(evidence)
    for profile, cell in cells.items():
        assets = optimised.profiles[profile].assets if profile in optimised.profiles else []
        failures += [
            Failure(file, f"{cell.engine}/{profile}: {text}") for file, text in _misheld(evidence, atoms, cell, assets)
        ]
        limit = _cluster_limit(sleeve, cell, assets)
        if limit != cell.cluster_limit:
            text = f"{cell.engine}/{profile}: cluster_limit: expected {limit}, found {cell.cluster_limit}"
            failures.append(Failure(LEDGER, text))
        common = (cell.engine, profile, cell.status, cell.reason)
        if cell.status in WEIGHTED:
            rows += [(*common, a.symbol, a.weight, cell.cap, a.cluster_id, limit) for a in assets]
        else:
            rows.append(
                (*common, "CASH", 1.0, None, None, None) if cell.status == "rejected" else (*common, *[None] * 5)
            )
    frame = pl.DataFrame(rows, schema=_JUDGED, orient="row")
    for finding in sanity_findings(frame, [(sleeve.risk.engine_of_record, p) for p in RISK_PROFILES], sleeve.risk):
        if finding.level == "ERROR":
            file = LEDGER if finding.code in {"CELL_MISSING", "STATUS_UNKNOWN", "CAP_UNKNOWN"} else OPTIMISED
            failures.append(Failure(file, f"{finding.code} {finding.symbol}: {finding.message}"))
    return verdict(said, failures)


def _cells(evidence: Evidence, sleeve: SleeveProfile) -> Iterator[str]:
    """What is wrong with the ledger's cells, whatever they weigh."""
    found = Counter((cell.engine, cell.profile) for cell in evidence.of(Cell))
    asked = [stage for stage in evidence.of(Stage) if stage.asset == f"{sleeve.name}/solver_cells"]
    if not found and asked and asked[-1].status == "BLOCKED":
        return  # the solvers were not asked
    expected = expected_cells(sleeve)
    for name in (*expected, *(name for name in found if name not in expected)):
        wanted = int(name in expected)
        if found[name] != wanted:
            yield f"cell {'/'.join(name)}: expected {wanted or 'none'}, found {found[name] or 'none'}"
    for cell in evidence.of(Cell):
        yield from (f"cell {cell.engine}/{cell.profile}: {text}" for text in _cell(cell, sleeve))


def _cell(cell: Cell, sleeve: SleeveProfile) -> Iterator[str]:
    """What a cell says against the manifest or against itself."""
    if cell.status not in STATUSES:
        yield f"status: expected one of {', '.join(STATUSES)}, found {cell.status!r}"
    if cell.status != "native" and not cell.reason:
        yield f"reason: expected why it is {cell.status}, found nothing"
    if cell.of_record != (cell.engine == sleeve.risk.engine_of_record):
        yield f"of_record: expected {not cell.of_record} by the manifest, found {cell.of_record}"
    weighted = cell.status in WEIGHTED
    if weighted != (cell.assets > 0):
        yield f"assets: expected {'some' if weighted else 'none'} of a cell that is {cell.status}, found {cell.assets}"
    cap = cap_of(cell.assets, sleeve) if weighted and cell.assets else None
    if cell.cap != cap:
        yield f"cap: expected {cap}, found {cell.cap}"
    if cell.turnover is not None and sleeve.risk.turnover_limit is None:
        yield f"turnover: expected none without a limit, found {cell.turnover}"


def _misheld(
    evidence: Evidence, atoms: Mapping[str, Atom], cell: Cell, assets: Sequence[Asset]
) -> Iterator[tuple[str, str]]:
    """Assets that a cell must have and lacks, or may not have, with the file that shows it."""
    if cell.status not in WEIGHTED:
        if assets:
            yield OPTIMISED, f"expected no assets of a cell that is {cell.status}, found {len(assets)}"
        return
    selection, sleeve = evidence.only(Selection), sleeve_of(evidence)
    clusters = {winner.symbol: winner.cluster for winner in selection.winners}
    tested = {atom.symbol for atom in atoms_of(evidence)}
    passive = {"market": tested.intersection(evidence.manifest.market.benchmark_symbols)}
    passive["benchmark"] = set(evidence.only(Atoms).eligible)
    expected = {Atom(s, sleeve.logic, sleeve.direction).id for s in passive.get(cell.profile, set(clusters))}
    found = {asset.symbol for asset in assets}
    for name in sorted(expected ^ found)[:3]:
        yield (
            OPTIMISED,
            f"{name}: expected {'a weight, found none' if name in expected else 'no weight of it, found one'}",
        )
    if cell.assets != len(assets):
        yield OPTIMISED, f"expected the {cell.assets} assets that the ledger counts, found {len(assets)}"
    for asset in assets:
        atom = atoms.get(asset.symbol)
        if atom and asset.cluster_id != clusters.get(atom.symbol):
            yield (
                OPTIMISED,
                f"{asset.symbol}: Cluster_ID: expected {clusters.get(atom.symbol)}, found {asset.cluster_id}",
            )


def _cluster_limit(sleeve: SleeveProfile, cell: Cell, assets: Sequence[Asset]) -> float | None:
    """The limit on a cluster's weight that applies to a cell."""
    limit = sleeve.risk.max_cluster_weight
    if limit is None or cell.profile not in CHOOSING or cell.status not in WEIGHTED or not assets:
        return None
    labels = np.array([-1 if asset.cluster_id is None else asset.cluster_id for asset in assets], dtype=np.int64)
    return feasible_limit(labels, cap_of(len(assets), sleeve), limit)
