"""What is in force at a rebalance: the decision made there where it is certified, else the last certified one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from assets.books import CERTIFIED_BY
from assets.keys import BARS_CHECKS, CELLS_CHECKS, STREAMS_CHECKS, WEIGHTS_CHECKS, stage
from assets.market import UNIVERSE
from assets.metas import FLAT_CHECKS, sleeves_below
from resources.lake import AssetPath, Status
from resources.store import Store
from sleevegraph.errors import GateError
from sleevegraph.ledgers import ledgers_from_rows
from sleevegraph.manifest import Manifest, MetaProfile
from sleevegraph.meta_book import subtree
from sleevegraph.physical import PhysicalBook, drifted, physical_book
from sleevegraph.track_record import market_window

SHOWN_REASONS = 2

Gate = tuple[AssetPath, tuple[str, ...]]
BARS_GATE: Gate = (UNIVERSE, BARS_CHECKS)


@dataclass(frozen=True, slots=True)
class Decision:
    """Which rebalance's weights a meta holds at `at`."""

    meta: str
    at: date
    decided: date
    blocked: str
    """Why `decided` is not `at`; empty when it is."""


def decision_in_force(store: Store, meta: str, at: date) -> Decision:
    """Find the newest certified flattened weights up to `at`; GateError where nobody judged, or none is certified."""
    path = stage(meta, "flattened_weights")
    refusal = store.receipts.refusal(path, FLAT_CHECKS, str(at))
    if not refusal:
        return Decision(meta, at, at, "")
    for key in reversed([key for key in store.lake.partitions(path) if key < str(at)]):
        if not store.receipts.refusal(path, FLAT_CHECKS, key):
            return Decision(meta, at, date.fromisoformat(key), refusal)
    raise GateError(f"{meta} {at} is blocked: {refusal}; no rebalance before it is certified, so it holds nothing")


def books_in_force(store: Store, decision: Decision, profiles: Sequence[str]) -> dict[str, PhysicalBook]:
    """Physical books by risk profile; what was decided earlier is drifted with the bars before `at`."""
    flat = store.lake.read(stage(decision.meta, "flattened_weights"), str(decision.decided))
    books = {profile: physical_book(flat, profile) for profile in profiles}
    days = (decision.at - decision.decided).days
    if days == 0:
        return books
    window = market_window(store.lake.panel_before(decision.at), decision.decided, days)
    return {profile: drifted(book, window) for profile, book in books.items()}


def standings(store: Store, meta: MetaProfile, manifest: Manifest, at: date) -> dict[str, str]:
    """Tell of every sleeve below a meta, and of every meta there that is held over, how it stands."""
    found = {sleeve.name: sleeve_standing(store, sleeve.name, at) for sleeve in sleeves_below(meta, manifest)}
    metas = {node.name: meta_standing(store, node.name, at) for node in subtree(meta, manifest.metas)}
    return found | {name: standing for name, standing in metas.items() if standing}


def sleeve_standing(store: Store, sleeve: str, at: date) -> str:
    """CERTIFIED, DEGRADED and why, or HELD since when and why; GateError where nobody judged."""
    weights = stage(sleeve, "risk_weights")
    if store.receipts.refusal(weights, WEIGHTS_CHECKS, str(at)):
        return _held(store, stage(sleeve, "track_record"), at, _first_refusal(store, _gates(sleeve), str(at)))
    receipt = store.receipts.read(weights, CERTIFIED_BY, str(at))
    figures = receipt.figures if receipt else {}
    reasons = figures.get("reasons", [])
    more = f" (and {len(reasons) - SHOWN_REASONS} more)" if len(reasons) > SHOWN_REASONS else ""
    return ": ".join(filter(None, (figures.get("certification", "UNKNOWN"), "; ".join(reasons[:SHOWN_REASONS])))) + more


def meta_standing(store: Store, meta: str, at: date) -> str:
    """HELD since when and why, where a meta did not weigh its children anew; else empty."""
    status, reason = store.lake.standing(stage(meta, "meta_weights"), str(at))
    return "" if status is Status.OK else _held(store, stage(meta, "meta_track_record"), at, reason)


def _held(store: Store, record: AssetPath, at: date, reason: str) -> str:
    since = ledgers_from_rows(store.lake.read(record, str(at))).weights_from
    return f"HELD since {since or 'the start, in cash,'} because {reason}"


def held_over(store: Store, manifest: Manifest, key: str) -> list[str]:
    """Why weights of a rebalance are held over: the first refusal on the way to each sleeve and meta."""
    market = store.receipts.refusal(*BARS_GATE, key)
    if market:
        return [market]
    chains = [_gates(sleeve.name) for sleeve in manifest.sleeves]
    chains += [[(stage(meta.name, "flattened_weights"), FLAT_CHECKS)] for meta in manifest.metas]
    return [refusal for refusal in (_first_refusal(store, chain, key) for chain in chains) if refusal]


def _gates(sleeve: str) -> list[Gate]:
    """What stands between the bars and a sleeve's weights, in order: each hands on what the one before refused."""
    return [
        BARS_GATE,
        (stage(sleeve, "synthetic_returns"), STREAMS_CHECKS),
        (stage(sleeve, "solver_cells"), CELLS_CHECKS),
        (stage(sleeve, "risk_weights"), WEIGHTS_CHECKS),
    ]


def _first_refusal(store: Store, gates: list[Gate], key: str) -> str:
    return next((r for r in (store.receipts.refusal(path, checks, key) for path, checks in gates) if r), "")
