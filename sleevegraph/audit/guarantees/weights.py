"""Guarantees of a sleeve's weights: signs, what a solve promises, and the way from atoms to physical symbols."""

from collections import Counter
from collections.abc import Iterator, Sequence

import polars as pl

from sleevegraph.atoms import Atom
from sleevegraph.audit.contract import Atoms, Cell
from sleevegraph.audit.document_contract import Asset, SignTest, Weights
from sleevegraph.audit.documents import weights_digest
from sleevegraph.audit.evidence import Evidence
from sleevegraph.audit.guarantees.streams import atoms_of, judged, miscounted, sleeve_of
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, standing_of, verdict
from sleevegraph.audit.layout import OPTIMISED, PHYSICAL, SIGN_TEST
from sleevegraph.certification import BLOCKED
from sleevegraph.manifest import RISK_PROFILES, SleeveProfile
from sleevegraph.sign_test import optimised_sign_test

_SIGNED = {
    "engine": pl.String,
    "profile": pl.String,
    "symbol": pl.String,
    "logic": pl.String,
    "direction": pl.String,
    "weight": pl.Float64,
    "net": pl.Float64,
}
_NET_CODES = ("LONG_MISMATCH", "SHORT_NOT_INVERTED")


def known_atoms(evidence: Evidence) -> dict[str, Atom]:
    """By id what may have a weight: the atoms of the matrices, and for `benchmark` whatever is eligible."""
    sleeve = sleeve_of(evidence)
    passive = [Atom(symbol, sleeve.logic, sleeve.direction) for symbol in evidence.only(Atoms).eligible]
    return {atom.id: atom for atom in (*passive, *atoms_of(evidence))}


def cells_of_record(evidence: Evidence) -> dict[str, Cell]:
    """The ledger's cells of the engine whose weights are traded, by risk profile."""
    record = sleeve_of(evidence).risk.engine_of_record
    return {cell.profile: cell for cell in evidence.of(Cell) if cell.engine == record}


def sign_test(evidence: Evidence) -> Verdict:
    """Weights >= 0 in synthetic space that sum to 1, and physical net = weight x sign."""
    optimised, stored = evidence.document(OPTIMISED, Weights), evidence.document(SIGN_TEST, SignTest)
    if standing_of(evidence) == BLOCKED:
        said = f"BLOCKED: the weights that were refused are not here; {len(stored.findings)} stored findings not recomputed"
        return verdict(said, [*held_anyway(OPTIMISED, optimised), *miscounted(SIGN_TEST, stored)])
    rows = _signed(evidence, optimised, evidence.document(PHYSICAL, Weights))
    passive = pl.col("profile") == "benchmark"
    found = [
        finding
        for part, tested in (
            (rows.filter(~passive), atoms_of(evidence)),
            (rows.filter(passive), list(known_atoms(evidence).values())),
        )
        if not part.is_empty()
        for finding in optimised_sign_test(part, tested)
    ]
    failures = list(judged(evidence, SIGN_TEST, OPTIMISED, found, dict.fromkeys(_NET_CODES, PHYSICAL)))
    for profile, assets in optimised.profiles.items():
        for asset in assets.assets:
            if asset.direction != "LONG" or asset.net_weight != asset.weight:
                text = f"{profile}: {asset.symbol}: expected LONG with Net_Weight = Weight in synthetic space"
                failures.append(Failure(OPTIMISED, f"{text}, found {asset.direction} {asset.net_weight!r}"))
    return verdict(f"{rows.height} weights, {len(found)} findings as stored", failures)


def _signed(evidence: Evidence, optimised: Weights, physical: Weights) -> pl.DataFrame:
    """Weights with their physical nets, as the sign test takes them."""
    atoms, record = known_atoms(evidence), sleeve_of(evidence).risk.engine_of_record
    rows = []
    for profile in RISK_PROFILES:
        nets = {asset.symbol: asset.net_weight for asset in physical.profiles[profile].assets}
        for asset in optimised.profiles[profile].assets:
            atom = atoms.get(asset.symbol)
            names = (atom.symbol, atom.logic, atom.direction) if atom else (asset.symbol, None, None)
            rows.append((record, profile, *names, asset.weight, nets.get(names[0])))
    return pl.DataFrame(rows, schema=_SIGNED, orient="row")


def held_anyway(file: str, weights: Weights) -> Iterator[Failure]:
    """Weights of a portfolio that is BLOCKED."""
    for profile, found in weights.profiles.items():
        if found.assets:
            yield Failure(
                file, f"{profile}: expected no assets of a portfolio that is BLOCKED, found {len(found.assets)}"
            )


def flattening(evidence: Evidence) -> Verdict:
    """Every physical weight is an atom's weight x its sign, exactly, and the one that the ledger's cell digests."""
    optimised, physical = evidence.document(OPTIMISED, Weights), evidence.document(PHYSICAL, Weights)
    sleeve, atoms, cells = sleeve_of(evidence), known_atoms(evidence), cells_of_record(evidence)
    if standing_of(evidence) == BLOCKED:
        return verdict("BLOCKED: no weights", held_anyway(PHYSICAL, physical))
    failures, count = [], 0
    for profile in RISK_PROFILES:
        expected = {
            atoms[a.symbol].symbol: (a.weight * atoms[a.symbol].sign, a.cluster_id)
            for a in optimised.profiles[profile].assets
            if a.symbol in atoms
        }
        assets = physical.profiles[profile].assets
        count += len(assets)
        failures += [Failure(PHYSICAL, f"{profile}: {text}") for text in _not_flat(sleeve, expected, assets)]
        digest = weights_digest((asset.symbol, asset.net_weight) for asset in assets)
        if profile in cells and digest != cells[profile].weights_digest:
            failures.append(
                Failure(PHYSICAL, f"{profile}: expected the weights that the ledger's cell digests, found others")
            )
    return verdict(f"{count} physical weights", failures)


def _not_flat(
    sleeve: SleeveProfile, expected: dict[str, tuple[float, int | None]], assets: Sequence[Asset]
) -> Iterator[str]:
    """Physical weights that are not those of the atoms."""
    counts = Counter(asset.symbol for asset in assets)
    for symbol in sorted({*expected, *counts}):
        wanted = int(symbol in expected)
        if counts[symbol] != wanted:
            yield f"{symbol}: expected {wanted or 'no'} asset of an atom, found {counts[symbol]}"
    for asset in assets:
        net, cluster = expected.get(asset.symbol, (asset.net_weight, asset.cluster_id))
        if asset.net_weight != net:
            yield f"{asset.symbol}: Net_Weight: expected {net!r}, found {asset.net_weight!r}"
        if asset.weight != abs(asset.net_weight) or asset.direction != sleeve.direction:
            yield f"{asset.symbol}: expected {sleeve.direction} with Weight = |Net_Weight|, found {asset.direction} {asset.weight!r}"
        if asset.cluster_id != cluster:
            yield f"{asset.symbol}: Cluster_ID: expected {cluster}, found {asset.cluster_id}"
