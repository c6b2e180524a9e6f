"""What is really in force at a rebalance: new weights where certified, else the last certified ones, drifted."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import islice
from typing import Any

import polars as pl

from assets.gates import children_gates, deciding_gates
from assets.keys import stage
from resources.lake import Status
from resources.store import Store
from sleevegraph.ledgers import ledgers_from_rows
from sleevegraph.manifest import RISK_PROFILES, Manifest, MarketProfile, MetaProfile, SleeveProfile
from sleevegraph.meta_book import held_rows
from sleevegraph.risk_weights import targets
from sleevegraph.weight_sanity import CERTIFIED, DEGRADED

CERTIFIED_BY = "weight_sanity"
"""The check whose receipt says CERTIFIED or DEGRADED."""

MAX_NAMED = 40
"""Sleeves named one by one in metadata."""


def weights_in_force(
    store: Store, sleeve: SleeveProfile, market: MarketProfile, at: date
) -> tuple[dict[str, dict[str, float]], str]:
    """Signed weights by risk profile and symbol, and why they are held over (empty when they are new)."""
    refusal = store.receipts.refusal(deciding_gates(sleeve, market), str(at))
    decided = {} if refusal else targets(store.lake.read(stage(sleeve.name, "risk_weights"), str(at)))
    undecided = [profile for profile in RISK_PROFILES if profile not in decided]
    if not undecided:
        return decided, ""
    held = ledgers_from_rows(store.lake.read(stage(sleeve.name, "track_record"), str(at)))
    if not refusal:
        before = held.in_force()
        decided |= {profile: before[profile] for profile in undecided}
        return decided, f"{sleeve.name} holds what it held under {', '.join(undecided)}: no engine of record solved it"
    since = held.weights_from or "never: in cash"
    return held.in_force(), f"{sleeve.name} holds its weights of {since}: {refusal}"


def books_in_force(
    store: Store, sleeves: Sequence[SleeveProfile], market: MarketProfile, at: date
) -> tuple[dict[str, dict[str, dict[str, float]]], list[str]]:
    """By risk profile and sleeve the signed weights in force, and the reasons of those held over."""
    found = {sleeve.name: weights_in_force(store, sleeve, market, at) for sleeve in sleeves}
    books = {profile: {sleeve: book[profile] for sleeve, (book, _) in found.items()} for profile in RISK_PROFILES}
    return books, [reason for _, reason in found.values() if reason]


def children_in_force(
    store: Store, metas: Sequence[MetaProfile], manifest: Manifest, at: date
) -> tuple[dict[str, pl.DataFrame], list[str]]:
    """By meta the child weights in force as `WEIGHTS_SCHEMA` rows, and the reasons of those held over.

    A blocked meta that has never held anything has no rows.
    """
    found, reasons = {}, []
    for meta in metas:
        weights = stage(meta.name, "meta_weights")
        status, reason = store.lake.standing(weights, str(at))
        refusal = store.receipts.refusal(children_gates(meta, manifest), str(at))
        if status is Status.OK and not refusal:
            found[meta.name] = store.lake.read(weights, str(at))
            continue
        held = ledgers_from_rows(store.lake.read(stage(meta.name, "meta_track_record"), str(at)))
        found[meta.name] = held_rows(held.in_force(), reason or refusal)
        reasons.append(f"{meta.name} holds its weights of {held.weights_from or 'never: in cash'}: {reason or refusal}")
    return found, reasons


def certificates(store: Store, sleeves: Sequence[SleeveProfile], market: MarketProfile, at: date) -> dict[str, Any]:
    """Metadata: whether every sleeve is CERTIFIED, and of each that is not, how it stands and why.

    Of more than MAX_NAMED sleeves it says how many stand how, and names the first of those that fall short.
    """
    found = {sleeve.name: _certificate(store, sleeve, market, at) for sleeve in sleeves}
    short = {name: standing for name, (standing, _) in found.items()}
    overall = CERTIFIED if set(short.values()) == {CERTIFIED} else DEGRADED
    said = short if len(short) <= MAX_NAMED else Counter(short.values())
    reasons = {name: reasons for name, (_, reasons) in found.items() if reasons}
    named = dict(islice(reasons.items(), MAX_NAMED))
    return {"certification": overall, "sleeves": dict(said), **({"degraded": named} if named else {})}


def _certificate(store: Store, sleeve: SleeveProfile, market: MarketProfile, at: date) -> tuple[str, list[str]]:
    refusal = store.receipts.refusal(deciding_gates(sleeve, market), str(at))
    if refusal:
        return "HELD", [refusal]
    receipt = store.receipts.read(stage(sleeve.name, "risk_weights"), CERTIFIED_BY, str(at))
    figures = receipt.figures if receipt else {}
    return figures.get("certification", DEGRADED), figures.get("reasons", [])
