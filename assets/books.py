"""What is really in force at a rebalance: new weights where certified, else the last certified ones, drifted."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from assets.sleeves import WEIGHTS_CHECKS, stage
from resources.lake import Status
from resources.store import Store
from sleevegraph.ledgers import ledgers_from_rows
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.meta_book import held_rows
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


def children_in_force(store: Store, metas: Sequence[str], at: date) -> tuple[dict[str, pl.DataFrame], list[str]]:
    """By meta the child weights in force as `WEIGHTS_SCHEMA` rows, and the reasons of those held over.

    A blocked meta that has never held anything has no rows.
    """
    found, reasons = {}, []
    for meta in metas:
        weights = stage(meta, "meta_weights")
        status, reason = store.lake.standing(weights, str(at))
        if status is Status.OK:
            found[meta] = store.lake.read(weights, str(at))
            continue
        held = ledgers_from_rows(store.lake.read(stage(meta, "meta_track_record"), str(at)))
        found[meta] = held_rows(held.in_force(), reason)
        reasons.append(f"{meta} holds its weights of {held.weights_from or 'never: in cash'}: {reason}")
    return found, reasons
