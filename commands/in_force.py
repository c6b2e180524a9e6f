"""What is in force at a rebalance: the decision made there where it is certified, else the last certified one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from assets.books import CERTIFIED_BY
from assets.gates import bars_gates, children_gates, deciding_gates, flat_gates, weights_gates
from assets.keys import stage
from assets.metas import sleeves_below
from resources.lake import AssetPath, Status
from resources.store import Store
from sleevegraph.errors import GateError
from sleevegraph.ledgers import ledgers_from_rows
from sleevegraph.manifest import Manifest, MarketProfile, MetaProfile, SleeveProfile
from sleevegraph.meta_book import subtree
from sleevegraph.physical import PhysicalBook, drifted, physical_book
from sleevegraph.track_record import market_window

SHOWN_REASONS = 2


@dataclass(frozen=True, slots=True)
class Decision:
    """Which rebalance's weights a meta holds at `at`."""

    meta: str
    at: date
    decided: date
    blocked: str
    """Why `decided` is not `at`; empty when it is."""


def decision_in_force(store: Store, meta: MetaProfile, at: date) -> Decision:
    """Find the newest certified flattened weights up to `at`; GateError where nobody judged, or none is certified."""
    gates, path = flat_gates(meta), stage(meta.name, "flattened_weights")
    refusal = store.receipts.refusal(gates, str(at))
    if not refusal:
        return Decision(meta.name, at, at, "")
    for key in reversed([key for key in store.lake.partitions(path) if key < str(at)]):
        if not store.receipts.refusal(gates, key):
            return Decision(meta.name, at, date.fromisoformat(key), refusal)
    raise GateError(f"{meta.name} {at} is blocked: {refusal}; no rebalance before it is certified, so it holds nothing")


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
    found = {
        sleeve.name: sleeve_standing(store, sleeve, manifest.market, at) for sleeve in sleeves_below(meta, manifest)
    }
    metas = {node.name: meta_standing(store, node, manifest, at) for node in subtree(meta, manifest.metas)}
    return found | {name: standing for name, standing in metas.items() if standing}


def sleeve_standing(store: Store, sleeve: SleeveProfile, market: MarketProfile, at: date) -> str:
    """CERTIFIED, DEGRADED and why, or HELD since when and why; GateError where nobody judged."""
    refusal = store.receipts.refusal(weights_gates(sleeve), str(at))
    if refusal:
        first = store.receipts.refusal(deciding_gates(sleeve, market), str(at))
        return _held(store, stage(sleeve.name, "track_record"), at, first)
    receipt = store.receipts.read(stage(sleeve.name, "risk_weights"), CERTIFIED_BY, str(at))
    figures = receipt.figures if receipt else {}
    reasons = figures.get("reasons", [])
    more = f" (and {len(reasons) - SHOWN_REASONS} more)" if len(reasons) > SHOWN_REASONS else ""
    return ": ".join(filter(None, (figures.get("certification", "UNKNOWN"), "; ".join(reasons[:SHOWN_REASONS])))) + more


def meta_standing(store: Store, meta: MetaProfile, manifest: Manifest, at: date) -> str:
    """HELD since when and why, where a meta did not weigh its children anew; else empty."""
    status, reason = store.lake.standing(stage(meta.name, "meta_weights"), str(at))
    refusal = store.receipts.refusal(children_gates(meta, manifest), str(at)) if status is Status.OK else reason
    return _held(store, stage(meta.name, "meta_track_record"), at, refusal) if refusal else ""


def _held(store: Store, record: AssetPath, at: date, reason: str) -> str:
    since = ledgers_from_rows(store.lake.read(record, str(at))).weights_from
    return f"HELD since {since or 'the start, in cash,'} because {reason}"


def held_over(store: Store, manifest: Manifest, key: str) -> list[str]:
    """Why weights of a rebalance are held over: the first refusal on the way to each sleeve and meta."""
    market = store.receipts.refusal(bars_gates(manifest.market), key)
    if market:
        return [market]
    chains = [deciding_gates(sleeve, manifest.market) for sleeve in manifest.sleeves]
    chains += [flat_gates(meta) for meta in manifest.metas]
    return [refusal for refusal in (store.receipts.refusal(chain, key) for chain in chains) if refusal]
