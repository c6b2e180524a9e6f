"""Guarantees of a meta's physical book: it is what the tree flattens to, nothing is lost, and no symbol carries it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from sleevegraph.audit.contract import Check
from sleevegraph.audit.document_contract import MetaNode, PhysicalBook, Position, Tree
from sleevegraph.audit.evidence import Evidence
from sleevegraph.audit.guarantees.tree import portfolios_of, walk
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, standing_of, verdict
from sleevegraph.audit.layout import FLATTENED, LEDGER, TREE
from sleevegraph.certification import BLOCKED
from sleevegraph.conservation import concentration as concentration_findings
from sleevegraph.conservation import conservation as conservation_findings
from sleevegraph.flattening import contributions, flatten
from sleevegraph.manifest import RISK_PROFILES

TOLERANCE = 1e-12
"""Of what is computed again by the same arithmetic."""
CONCENTRATED_BY_DESIGN = ("market",)

DUST = 1e-6
_ALL, _SEPARATOR = "all", "\x1f"
"""The root above the trees of all risk profiles, and what stands between a profile's name and another: in no name itself."""
Names = Mapping[str, type[pl.DataType]]
_EDGES: Names = {"node": pl.String, "parent": pl.String, "weight": pl.Float64}
_LEAVES: Names = {"node": pl.String, "symbol": pl.String, "weight": pl.Float64}
_FLAT = {"symbol": pl.String, "net": pl.Float64, "gross": pl.Float64}


@dataclass(frozen=True, slots=True)
class _Row:
    """One symbol as the tree gives it."""

    net: float
    gross: float
    paths: list[tuple[str, float]] = field(default_factory=list)


def flattening(evidence: Evidence) -> Verdict:
    """Net, gross and every path's contribution, computed again from the tree."""
    book = evidence.document(FLATTENED, PhysicalBook)
    if standing_of(evidence) == BLOCKED:
        return verdict("BLOCKED: no book", _held_anyway(book))
    again = _flattened_again(evidence.document(TREE, Tree))
    failures, count = [], 0
    for profile in RISK_PROFILES:
        rows, assets = again[profile], book.profiles[profile].assets
        count += len(assets)
        names = [asset.symbol for asset in assets]
        if names != sorted(rows):
            wrong = ", ".join(sorted(set(names) ^ rows.keys())[:3]) or "one twice"
            failures.append(Failure(FLATTENED, f"{profile}: expected the symbols of the tree, found others: {wrong}"))
        failures += [
            Failure(FLATTENED, f"{profile}: {asset.symbol}: {text}")
            for asset in assets
            if asset.symbol in rows
            for text in _unlike(asset, rows[asset.symbol])
        ]
    return verdict(f"{count} physical weights with their contributions", failures)


def _flattened_again(tree: Tree) -> dict[str, dict[str, _Row]]:
    """By risk profile and symbol what the tree flattens to; all trees are flattened as one, a branch each."""
    edges: dict[tuple[str, str | None], float] = {(_ALL, None): 1.0}
    leaves: dict[tuple[str, str], float] = {}
    for profile, root in tree.profiles.items():
        own, held = _edges(root)
        names = {name: f"{profile}{_SEPARATOR}{name}" for name, _ in (*own, *held)}
        edges |= {(names[node], names[parent] if parent else _ALL): weight for (node, parent), weight in own.items()}
        leaves |= {(names[node], f"{profile}{_SEPARATOR}{symbol}"): weight for (node, symbol), weight in held.items()}
    forest, rows = _frame(edges, _EDGES), _frame(leaves, _LEAVES)
    found: dict[str, dict[str, _Row]] = {profile: {} for profile in RISK_PROFILES}
    for name, net, gross in flatten(forest, rows).iter_rows():
        profile, _, symbol = name.partition(_SEPARATOR)
        found[profile][symbol] = _Row(net, gross)
    for name, path, contribution in contributions(forest, rows).iter_rows():
        profile, _, symbol = name.partition(_SEPARATOR)
        plain = path.removeprefix(f"{_ALL}/").replace(f"{profile}{_SEPARATOR}", "")
        found[profile][symbol].paths.append((plain, contribution))
    return found


def _unlike(asset: Position, row: _Row) -> Iterator[str]:
    """Where a position is not what the tree gives."""
    for key, expected, found in (
        ("Net_Weight", row.net, asset.net_weight),
        ("Gross", row.gross, asset.gross),
        ("Weight", abs(row.net), asset.weight),
    ):
        if not abs(found - expected) <= TOLERANCE:
            yield f"{key}: expected {expected!r}, found {found!r}"
    direction, dust = "SHORT" if asset.net_weight < 0.0 else "LONG", row.gross < DUST
    if (asset.direction, asset.dust, asset.cluster_id) != (direction, dust, None):
        yield f"expected {direction} with Dust {dust}, found {asset.direction} with {asset.dust}"
    if [path for path, _ in row.paths] != [part.path for part in asset.contributions]:
        yield f"Contributions: expected {len(row.paths)} paths of the tree, found others"
        return
    for (path, expected), part in zip(row.paths, asset.contributions, strict=True):
        if not abs(part.contribution - expected) <= TOLERANCE:
            yield f"Contributions: {path}: expected {expected!r}, found {part.contribution!r}"


def _held_anyway(book: PhysicalBook) -> Iterator[Failure]:
    """Positions of a portfolio that is BLOCKED."""
    for profile, found in book.profiles.items():
        if found.assets:
            yield Failure(
                FLATTENED, f"{profile}: expected no assets of a portfolio that is BLOCKED, found {len(found.assets)}"
            )


def conservation(evidence: Evidence) -> Verdict:
    """Gross before netting and every net equal a plain walk down the tree, which shares no code with flattening."""
    if standing_of(evidence) == BLOCKED:
        return Verdict("BLOCKED: no book")
    tree, book = evidence.document(TREE, Tree), evidence.document(FLATTENED, PhysicalBook)
    failures = []
    for profile in RISK_PROFILES:
        edges, leaves = _edges(tree.profiles[profile])
        flat = _flat(book.profiles[profile].assets)
        found = conservation_findings(_frame(edges, _EDGES), _frame(leaves, _LEAVES), flat)
        failures += [Failure(FLATTENED, f"{profile}: {f.code} {f.symbol}: {f.message}") for f in found]
    return verdict(f"{len(RISK_PROFILES)} risk profiles, to 1e-9", failures)


def _edges(root: MetaNode) -> tuple[dict[tuple[str, str | None], float], dict[tuple[str, str], float]]:
    """Weights by (node, parent) and by (sleeve, symbol); a node that stands in several places weighs the same in each."""
    edges: dict[tuple[str, str | None], float] = {(root.node, None): root.weight}
    leaves: dict[tuple[str, str], float] = {}
    for node in walk(root):
        if isinstance(node, MetaNode):
            edges |= {(child.node, node.node): child.weight for child in node.children}
        else:
            leaves |= {(node.node, asset.symbol): asset.net_weight for asset in node.assets}
    return edges, leaves


def _frame(
    weights: Mapping[tuple[str, str | None], float] | Mapping[tuple[str, str], float], names: Names
) -> pl.DataFrame:
    return pl.DataFrame([(*key, weight) for key, weight in weights.items()], schema=names, orient="row")


def _flat(assets: Sequence[Position]) -> pl.DataFrame:
    return pl.DataFrame([(a.symbol, a.net_weight, a.gross) for a in assets], schema=_FLAT, orient="row")


def concentration(evidence: Evidence) -> Verdict:
    """No symbol above the manifest's share of gross but for those that the check of that name reports."""
    if standing_of(evidence) == BLOCKED:
        return Verdict("BLOCKED: no book")
    book, name = evidence.document(FLATTENED, PhysicalBook), evidence.resolved.portfolio
    meta, found = portfolios_of(evidence).metas[name], []
    for profile in RISK_PROFILES:
        if profile not in CONCENTRATED_BY_DESIGN:
            flat = _flat([asset for asset in book.profiles[profile].assets if not asset.dust])
            judged = concentration_findings(flat, meta.concentration_warn, meta.concentration_block)
            found += [f"{f.level} {f.code} {f.symbol}: {profile}: {f.message}" for f in judged]
    asset = f"{name}/flattened_weights"
    reported = [f for c in evidence.of(Check) if (c.asset, c.check) == (asset, "concentration") for f in c.findings]
    unsaid = sorted(set(found) - set(reported))
    failures = [
        Failure(FLATTENED, f"expected no symbol above its share that nobody reported, found {text}") for text in unsaid
    ]
    unfounded = sorted(set(reported) - set(found))
    failures += [
        Failure(LEDGER, f"check concentration: expected this of the book, found otherwise: {text}")
        for text in unfounded
    ]
    return verdict(f"{len(found)} symbols above their share, as reported", failures)
