"""The ledgers of all risk profiles of one sleeve or meta, walked from rebalance to rebalance.

A decision is in force from its date until the next certified one: a blocked rebalance trades nothing and the
holdings drift.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from sleevegraph.errors import LakeError
from sleevegraph.manifest import RISK_PROFILES, LedgerRules
from sleevegraph.track_record import (
    Holdings,
    Window,
    earn,
    holdings_frame,
    holdings_from_frame,
    in_force_weights,
    opening,
)

Targets = Mapping[str, Mapping[str, float]]
"""Signed targets by risk profile and symbol."""

_HOLDING = pl.Struct({"symbol": pl.String(), "value": pl.Float64(), "basis": pl.Float64(), "bankrupt": pl.Boolean()})
SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "date": pl.Date(),
        "ret": pl.Float64(),
        "equity": pl.Float64(),
        "cash": pl.Float64(),
        "gross": pl.Float64(),
        "net": pl.Float64(),
        "cost": pl.Float64(),
        "turnover": pl.Float64(),
        "borrow_paid": pl.Float64(),
        "weights_from": pl.Date(),
        "held": pl.String(),
        "holdings": pl.List(_HOLDING),
    }
)


@dataclass(frozen=True, slots=True)
class Ledgers:
    """State at the close of `day`, before any rebalance."""

    day: date
    holdings: dict[str, Holdings]
    """By risk profile."""
    weights_from: date | None
    """Date of the decision in force; None before the first."""

    def in_force(self) -> dict[str, dict[str, float]]:
        """Drifted signed weights by risk profile and symbol."""
        return {profile: in_force_weights(held) for profile, held in self.holdings.items()}


def open_ledgers(at: date) -> Ledgers:
    """Wealth 1 in cash at the close before the first rebalance."""
    return Ledgers(at - timedelta(days=1), {profile: opening() for profile in RISK_PROFILES}, None)


def opening_rows(ledgers: Ledgers) -> pl.DataFrame:
    """The record of a ledger that has earned nothing yet: one row per profile, without a return."""
    rows = [
        {"profile": profile, "date": ledgers.day, "equity": held.equity, "cash": held.cash, "gross": 0.0, "net": 0.0}
        for profile, held in ledgers.holdings.items()
    ]
    frame = pl.DataFrame(rows, schema={name: SCHEMA[name] for name in rows[0]})
    return _complete(frame, ledgers, "")


def advance(
    ledgers: Ledgers, decision: Targets | None, held: str, window: Callable[[str], Window], rules: LedgerRules
) -> tuple[pl.DataFrame, Ledgers]:
    """Walk every profile through one window.

    Parameters
    ----------
    ledgers
        State at the close before the window.
    decision
        Targets decided at the window's first day; None when a gate blocked them. A profile that is missing holds.
    held
        Why the decision was blocked; empty otherwise.
    window
        The days of the window, exactly, for a risk profile.
    rules
        Costs.

    Returns
    -------
    tuple
        Rows in `SCHEMA`, one per profile and day, the last of each with its holdings; and the new state.
    """
    first = ledgers.day + timedelta(days=1)
    frames, after = [], {}
    for profile, before in ledgers.holdings.items():
        targets = None if decision is None or profile not in decision else dict(decision[profile])
        rows, after[profile] = earn(before, targets, window(profile), rules)
        frames.append(rows.with_columns(profile=pl.lit(profile)))
    weights_from = ledgers.weights_from if decision is None else first
    moved = Ledgers(first + timedelta(days=frames[0].height - 1), after, weights_from)
    return _complete(pl.concat(frames), moved, held), moved


def ledgers_from_rows(rows: pl.DataFrame) -> Ledgers:
    """Read the state that `advance` or `opening_rows` stored; LakeError when a profile has none."""
    last = rows.filter(pl.col("holdings").list.len() > 0)
    if sorted(last["profile"]) != sorted(RISK_PROFILES):
        raise LakeError(f"track record: expected holdings of {sorted(RISK_PROFILES)}, found {sorted(last['profile'])}")
    holdings = {
        row["profile"]: holdings_from_frame(pl.DataFrame(row["holdings"], schema=dict(_HOLDING.to_schema())))
        for row in last.iter_rows(named=True)
    }
    return Ledgers(last["date"][0], {profile: holdings[profile] for profile in RISK_PROFILES}, last["weights_from"][0])


def _complete(rows: pl.DataFrame, ledgers: Ledgers, held: str) -> pl.DataFrame:
    """Add what holds for the whole window, and each profile's holdings on its last day."""
    stored = pl.DataFrame(
        {
            "profile": list(ledgers.holdings),
            "date": [ledgers.day] * len(ledgers.holdings),
            "holdings": [holdings_frame(held_by).to_dicts() for held_by in ledgers.holdings.values()],
        },
        schema={name: SCHEMA[name] for name in ("profile", "date", "holdings")},
    )
    return (
        rows.join(stored, on=["profile", "date"], how="left", maintain_order="left")
        .with_columns(
            pl.col("holdings").fill_null([]),
            weights_from=pl.lit(ledgers.weights_from, pl.Date),
            held=pl.lit(held),
        )
        .pipe(lambda frame: frame.select(*(_column(name, frame) for name in SCHEMA)))
    )


def _column(name: str, frame: pl.DataFrame) -> pl.Expr:
    return (pl.col(name) if name in frame.columns else pl.lit(None).alias(name)).cast(SCHEMA[name])
