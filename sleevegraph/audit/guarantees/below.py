"""What a meta says of the portfolios below it, against their own ledgers where these lie beside its bundle."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sleevegraph.audit.contract import Child
from sleevegraph.audit.document_contract import SleeveNode, Tree
from sleevegraph.audit.documents import weights_digest
from sleevegraph.audit.evidence import Evidence
from sleevegraph.audit.facts import run_id
from sleevegraph.audit.guarantees.tree import walk
from sleevegraph.audit.guarantees.verdict import Failure, standing_of
from sleevegraph.audit.layout import LEDGER, TREE
from sleevegraph.certification import BLOCKED
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.solver_cells import WEIGHTED
from sleevegraph.track_record import CASH
from sleevegraph.weight_sanity import IN_CASH

Generation = Sequence[Mapping[str, Any]]
Pairs = Sequence[tuple[str, float]]


def unlike_below(evidence: Evidence) -> Iterator[Failure]:
    """Children that stand otherwise by their own ledger, and weights in the tree that it does not have."""
    anchors = evidence.begins[-1].children if evidence.kind == "meta" else {}
    tree = evidence.document(TREE, Tree) if evidence.kind == "meta" and standing_of(evidence) != BLOCKED else None
    for child in evidence.of(Child):
        name = run_id(child.name, evidence.at)
        if name not in evidence.neighbours:
            continue
        generations = _used(_generations(evidence.neighbours[name]), anchors.get(name))
        ends = [(r.get("standing"), r.get("reasons")) for records in generations for r in records if _is(r, "end")]
        if (child.standing, child.reasons) not in ends:
            text = f"child {child.name}: expected a standing that its own ledger has, found {child.standing}"
            yield Failure(LEDGER, text)
        if tree and child.kind == "sleeve" and not (child.held and child.standing == BLOCKED):
            yield from _unlike_weights(tree, child.name, generations)


def _generations(ledger: bytes) -> list[list[dict[str, Any]]]:
    found: list[list[dict[str, Any]]] = []
    for line in ledger.split(b"\n"):
        record = plain(line)
        if _is(record, "begin") or not found:
            found.append([])
        found[-1].append(record)
    return found


def _used(generations: list[list[dict[str, Any]]], anchor: str | None) -> list[list[dict[str, Any]]]:
    """The generation that an anchor lies in; all of them where there is none, as of what is below a child."""
    named = [records for records in generations if any(record.get("hash") == anchor for record in records)]
    return named or generations


def _unlike_weights(tree: Tree, name: str, generations: Sequence[Generation]) -> Iterator[Failure]:
    """Risk profiles under which a sleeve holds in the tree what none of these generations decided."""
    for profile in RISK_PROFILES:
        leaf = next((n for n in walk(tree.profiles[profile]) if isinstance(n, SleeveNode) and n.node == name), None)
        if leaf is None:
            continue  # said by `children`
        pairs = [(asset.symbol, asset.net_weight) for asset in leaf.assets if asset.symbol != CASH]
        if not any(_decided(records, profile, leaf, pairs) for records in generations):
            yield Failure(TREE, f"{profile}: {name}: expected the weights that its own ledger digests, found others")


def _decided(records: Generation, profile: str, leaf: SleeveNode, pairs: Pairs) -> bool:
    """Whether a generation's cell of record digests these weights; the tree leaves out those of zero."""
    cells = [r for r in records if _is(r, "cell") and r.get("of_record") and r.get("profile") == profile]
    if len(cells) != 1 or cells[0].get("status") not in (*WEIGHTED, *IN_CASH):
        return len(cells) == 1  # it keeps what it held, which its ledger does not have
    nothing = 0.0 if leaf.direction == "LONG" else -0.0
    known = {symbol for symbol, _ in pairs}
    for symbols in _held(records):
        missing = symbols - known
        if known <= symbols and len(symbols) == cells[0].get("assets"):
            filled = [*pairs, *((symbol, nothing) for symbol in missing)]
            if weights_digest(filled) == cells[0].get("weights_digest"):
                return True
    return weights_digest(pairs) == cells[0].get("weights_digest")


def _held(records: Generation) -> Iterator[set[str]]:
    """Sets of symbols that a cell may weigh: the winners, and of the benchmark profiles the symbols that are eligible."""
    for record in records:
        if _is(record, "selection"):
            yield _symbols(record.get("winners"))
        if _is(record, "atoms"):
            yield _symbols(record.get("atoms"))
            eligible = record.get("eligible")
            yield {symbol for symbol in eligible if isinstance(symbol, str)} if isinstance(eligible, list) else set()


def _symbols(rows: object) -> set[str]:
    found = (row.get("symbol") for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()
    return {symbol for symbol in found if isinstance(symbol, str)}


def _is(record: Mapping[str, Any], event: str) -> bool:
    return record.get("event") == event


def plain(line: bytes) -> dict[str, Any]:
    """A record of a ledger that is judged elsewhere; empty when it is none."""
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
