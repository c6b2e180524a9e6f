"""Guarantees of a meta's tree: every sleeve of the manifest, in its place, with weights within bounds and its own sign."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from sleevegraph.audit.contract import Child, MetaCell
from sleevegraph.audit.document_contract import Held, MetaNode, Node, SignTest, SleeveNode, Tree, Weights
from sleevegraph.audit.evidence import Evidence, UnreadableError
from sleevegraph.audit.facts import run_id
from sleevegraph.audit.guarantees.held import HELD, held_without_cause
from sleevegraph.audit.guarantees.streams import miscounted
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, standing_of, verdict
from sleevegraph.audit.layout import LEDGER, MANIFEST, META_OPTIMISED, SIGN_TEST, TREE
from sleevegraph.certification import BLOCKED
from sleevegraph.manifest import RISK_PROFILES, MetaProfile, SleeveProfile
from sleevegraph.track_record import CASH

TOLERANCE = 1e-9
STATUSES = ("native", "fallback", HELD)


@dataclass(frozen=True, slots=True)
class Portfolios:
    """What the manifest has, by name, and which metas keep their weights."""

    root: str
    sleeves: Mapping[str, SleeveProfile]
    metas: Mapping[str, MetaProfile]
    held: frozenset[str]


def portfolios_of(evidence: Evidence) -> Portfolios:
    """The manifest's sleeves and metas."""
    sleeves = {sleeve.name: sleeve for sleeve in evidence.manifest.sleeves}
    metas = {meta.name: meta for meta in evidence.manifest.metas}
    root = evidence.resolved.portfolio
    if root not in metas:
        raise UnreadableError(MANIFEST, f"metas: expected {root} among them, found {', '.join(metas) or 'none'}")
    held = {child.name for child in evidence.of(Child) if child.held}
    own = {root} if any(cell.status == HELD for cell in evidence.of(MetaCell)) else set()
    return Portfolios(root, sleeves, metas, frozenset(held | own))


def children(evidence: Evidence) -> Verdict:
    """The tree has exactly the manifest's children at every level; their weights sum to 1 within bounds."""
    portfolios, tree = portfolios_of(evidence), evidence.document(TREE, Tree)
    failures = [Failure(LEDGER, text) for text in _children_records(evidence, portfolios)]
    failures += [Failure(LEDGER, text) for text in held_without_cause(evidence, portfolios.sleeves)]
    nodes = 0
    for profile in RISK_PROFILES:
        root = tree.profiles[profile]
        if (root.node, root.weight) != (portfolios.root, 1.0):
            failures.append(
                Failure(TREE, f"{profile}: expected the root {portfolios.root} with weight 1, found {root.node}")
            )
        if standing_of(evidence) == BLOCKED:
            texts = [f"expected no children of a portfolio that is BLOCKED, found {len(root.children)}"] * bool(
                root.children
            )
        else:
            texts = list(_misplaced(root, portfolios))
            texts += _unlike([node for node in walk(root) if isinstance(node, SleeveNode)])
        failures += [Failure(TREE, f"{profile}: {text}") for text in texts]
        nodes += sum(1 for _ in walk(root))
    blocked = "BLOCKED: no weights; " if standing_of(evidence) == BLOCKED else ""
    return verdict(f"{blocked}{nodes} nodes of {len(RISK_PROFILES)} trees", failures)


def walk(node: Node) -> Iterator[Node]:
    """A node and every node below."""
    yield node
    if isinstance(node, MetaNode):
        for child in node.children:
            yield from walk(child)


def _children_records(evidence: Evidence, portfolios: Portfolios) -> Iterator[str]:
    expected = dict.fromkeys(portfolios.sleeves, "sleeve") | dict.fromkeys(portfolios.metas, "meta")
    del expected[portfolios.root]
    found: Counter[tuple[str, str]] = Counter((child.name, child.kind) for child in evidence.of(Child))
    for child in sorted({*expected.items(), *found}):
        wanted = int(child in expected.items())
        if found[child] != wanted:
            yield f"child {child[0]}: expected {wanted or 'no'} record of a {child[1]}, found {found[child]}"


def _misplaced(node: Node, portfolios: Portfolios) -> Iterator[str]:
    """What is wrong below a node."""
    if isinstance(node, SleeveNode):
        yield from _misheld(node, portfolios.sleeves.get(node.node))
        return
    meta = portfolios.metas.get(node.node)
    if meta is None:
        yield f"{node.node}: expected a meta of the manifest, found none"
        return
    names = [child.node for child in node.children]
    if names != sorted(meta.children):
        wrong = sorted((Counter(names) - Counter(meta.children)) + (Counter(meta.children) - Counter(names)))
        yield f"{node.node}: expected the children {', '.join(sorted(meta.children))}, found others: {', '.join(wrong)}"
    total = fsum(child.weight for child in node.children)
    if not abs(total - 1.0) <= TOLERANCE:
        yield f"{node.node}: expected child weights that sum to 1, found {total!r}"
    for child in node.children:
        if node.node in portfolios.held:
            low, high = 0.0, 1.0  # drifted since they were decided
        else:
            low, high = meta.weight_min, meta.weight_max
        if not low - TOLERANCE <= child.weight <= high + TOLERANCE:
            yield f"{child.node}: expected a weight in [{low:g}, {high:g}] of {node.node}, found {child.weight!r}"
        yield from _misplaced(child, portfolios)


def _misheld(node: SleeveNode, sleeve: SleeveProfile | None) -> Iterator[str]:
    """What is wrong with a leaf, its signs aside."""
    if sleeve is None:
        yield f"{node.node}: expected a sleeve of the manifest, found none"
        return
    if (node.logic, node.direction) != (sleeve.logic, sleeve.direction):
        yield f"{node.node}: expected {sleeve.logic} {sleeve.direction}, found {node.logic} {node.direction}"
    names = [asset.symbol for asset in node.assets]
    if not names or names[-1] != CASH or names[:-1] != sorted(set(names[:-1]) - {CASH}):
        yield f"{node.node}: expected each symbol once, sorted, then {CASH}, found another order"
        return
    for asset in node.assets:
        direction = "SHORT" if asset.net_weight < 0.0 else "LONG"
        if asset.weight != abs(asset.net_weight) or asset.direction != direction:
            yield f"{node.node}: {asset.symbol}: expected Weight = |Net_Weight| and {direction}, found {asset.weight!r} {asset.direction}"
    idle = max(1.0 - fsum(asset.weight for asset in node.assets[:-1]), 0.0)
    if not abs(node.assets[-1].net_weight - idle) <= TOLERANCE:
        yield f"{node.node}: {CASH}: expected {idle!r}, what the sleeve does not hold, found {node.assets[-1].net_weight!r}"


def _unlike(nodes: Sequence[SleeveNode]) -> Iterator[str]:
    """A sleeve that stands in several places holds the same in all of them."""
    first: dict[str, list[Held]] = {}
    for node in nodes:
        if first.setdefault(node.node, node.assets) != node.assets:
            yield f"{node.node}: expected the same assets in every place of the tree, found others"


def child_weights(evidence: Evidence) -> Verdict:
    """The weights of the children are those of the root's children in the tree, exactly."""
    tree, weights = evidence.document(TREE, Tree), evidence.document(META_OPTIMISED, Weights)
    failures = []
    cells = Counter(cell.profile for cell in evidence.of(MetaCell))
    blocked = standing_of(evidence) == BLOCKED
    for profile in RISK_PROFILES:
        expected = [(child.node, child.weight) for child in tree.profiles[profile].children]
        assets = weights.profiles[profile].assets
        if [(asset.symbol, asset.weight) for asset in assets] != expected:
            wrong = next((a.symbol for a in assets if (a.symbol, a.weight) not in expected), "a child that is missing")
            failures.append(
                Failure(META_OPTIMISED, f"{profile}: expected the weights of the tree's root, found others: {wrong}")
            )
        for asset in assets:
            if asset.net_weight != asset.weight or asset.direction != "LONG" or asset.cluster_id is not None:
                text = f"{profile}: {asset.symbol}: expected LONG with Net_Weight = Weight and no cluster"
                failures.append(Failure(META_OPTIMISED, f"{text}, found {asset.direction} {asset.net_weight!r}"))
        if cells[profile] != 1 and not blocked:
            failures.append(Failure(LEDGER, f"cell {profile}: expected one, found {cells[profile]}"))
    failures += [
        Failure(LEDGER, f"cell {cell.profile}: expected one of {', '.join(STATUSES)}, found {cell.status!r}")
        for cell in evidence.of(MetaCell)
        if cell.profile not in RISK_PROFILES or cell.status not in STATUSES
    ]
    return verdict("BLOCKED: no weights" if blocked else f"{len(cells)} risk profiles", failures)


def sign_test(evidence: Evidence) -> Verdict:
    """Every sleeve in the tree holds with the sign of its direction; only a sleeve that is BLOCKED has stored findings."""
    tree, stored = evidence.document(TREE, Tree), evidence.document(SIGN_TEST, SignTest)
    failures, count = list(miscounted(SIGN_TEST, stored)), 0
    for profile in RISK_PROFILES:
        for node in walk(tree.profiles[profile]):
            if isinstance(node, SleeveNode):
                count += len(node.assets)
                failures += [Failure(TREE, f"{profile}: {node.node}: {text}") for text in _missigned(node)]
    failures += [Failure(SIGN_TEST, text) for text in _contradicted(evidence, stored)]
    return verdict(f"{count} signs, {len(stored.findings)} stored findings", failures)


def _missigned(node: SleeveNode) -> Iterator[str]:
    sign = 1 if node.direction == "LONG" else -1
    for asset in node.assets:
        wanted = 1 if asset.symbol == CASH else sign
        if asset.net_weight * wanted < 0.0:
            yield f"{asset.symbol}: expected a net weight with the sign of {node.direction}, found {asset.net_weight!r}"


def _contradicted(evidence: Evidence, stored: SignTest) -> Iterator[str]:
    """Findings of a sleeve that is not BLOCKED, or of none below."""
    runs = {run_id(child.name, evidence.at): child for child in evidence.of(Child) if child.kind == "sleeve"}
    for run, times in Counter(finding.run_id for finding in stored.findings).items():
        if run not in runs:
            yield f"expected findings of the sleeves below, found {times} of {run}"
        elif runs[run].standing != BLOCKED:
            yield f"{run}: expected no findings of a sleeve that is {runs[run].standing}, found {times}"
