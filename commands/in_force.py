"""What is in force at a rebalance: the decision made there where it is certified, else the last certified one."""

from dataclasses import dataclass
from datetime import date

from assets.metas import sleeves_below
from assets.sleeves import BARS_CHECKS, STREAMS_CHECKS, UNIVERSE, WEIGHTS_CHECKS, stage
from resources.store import Store
from sleevegraph.errors import GateError
from sleevegraph.ledgers import ledgers_from_rows
from sleevegraph.manifest import Manifest, MetaProfile
from sleevegraph.physical import PhysicalBook, drifted, physical_book
from sleevegraph.track_record import market_window

FLAT_CHECKS = ("conservation", "concentration")
SHOWN_REASONS = 2


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


def book_in_force(store: Store, decision: Decision, profile: str) -> PhysicalBook:
    """Return the physical book of one risk profile; one decided earlier is drifted with the bars before `at`."""
    flat = store.lake.read(stage(decision.meta, "flattened_weights"), str(decision.decided))
    book = physical_book(flat, profile)
    days = (decision.at - decision.decided).days
    if days == 0:
        return book
    return drifted(book, market_window(store.lake.panel_before(decision.at), decision.decided, days))


def standings(store: Store, meta: MetaProfile, manifest: Manifest, at: date) -> dict[str, str]:
    """By sleeve of a meta: CERTIFIED, DEGRADED and why, or HELD since when and why."""
    return {sleeve: sleeve_standing(store, sleeve, at) for sleeve in sleeves_below(meta, manifest)}


def sleeve_standing(store: Store, sleeve: str, at: date) -> str:
    """CERTIFIED, DEGRADED and why, or HELD since when and why; GateError where nobody judged."""
    weights = stage(sleeve, "risk_weights")
    refusal = store.receipts.refusal(weights, WEIGHTS_CHECKS, str(at))
    if refusal:
        held = ledgers_from_rows(store.lake.read(stage(sleeve, "track_record"), str(at)))
        return f"HELD since {held.weights_from or 'the start, in cash,'} because {refusal}"
    receipt = store.receipts.read(weights, "weight_sanity", str(at))
    figures = receipt.figures if receipt else {}
    reasons = figures.get("reasons", [])
    more = f" (and {len(reasons) - SHOWN_REASONS} more)" if len(reasons) > SHOWN_REASONS else ""
    return ": ".join(filter(None, (figures.get("certification", "UNKNOWN"), "; ".join(reasons[:SHOWN_REASONS])))) + more


def held_over(store: Store, manifest: Manifest, key: str) -> list[str]:
    """Why weights of a rebalance are held over: the first refusal on the way to each sleeve and meta."""
    market = store.receipts.refusal(UNIVERSE, BARS_CHECKS, key)
    if market:
        return [market]
    chains = [
        [(stage(s.name, "synthetic_returns"), STREAMS_CHECKS), (stage(s.name, "risk_weights"), WEIGHTS_CHECKS)]
        for s in manifest.sleeves
    ]
    chains += [[(stage(m.name, "flattened_weights"), FLAT_CHECKS)] for m in manifest.metas]
    refusals = ([store.receipts.refusal(path, checks, key) for path, checks in chain] for chain in chains)
    return [next(reason for reason in found if reason) for found in refusals if any(found)]
