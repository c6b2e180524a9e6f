"""What a sleeve really holds at a rebalance: its new weights where certified, else the last certified, drifted."""

from datetime import date

from assets.sleeves import WEIGHTS_CHECKS, stage
from resources.store import Store
from sleevegraph.ledgers import ledgers_from_rows
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.risk_weights import targets


def weights_in_force(store: Store, sleeve: str, at: date) -> tuple[dict[str, dict[str, float]], str]:
    """Signed weights by risk profile and symbol, and why they are held over (empty when they are new)."""
    weights = stage(sleeve, "risk_weights")
    refusal = store.receipts.refusal(weights, WEIGHTS_CHECKS, str(at))
    if not refusal:
        return targets(store.lake.read(weights, str(at))), ""
    held = ledgers_from_rows(store.lake.read(stage(sleeve, "track_record"), str(at)))
    since = held.weights_from or "never: in cash"
    return held.in_force(), f"{sleeve} holds its weights of {since}: {refusal}"


def books_in_force(
    store: Store, sleeves: list[str], at: date
) -> tuple[dict[str, dict[str, dict[str, float]]], list[str]]:
    """By risk profile and sleeve the signed weights in force, and the reasons of those held over."""
    found = {sleeve: weights_in_force(store, sleeve, at) for sleeve in sleeves}
    books = {profile: {sleeve: book[profile] for sleeve, (book, _) in found.items()} for profile in RISK_PROFILES}
    return books, [reason for _, reason in found.values() if reason]
