"""What `sleevegraph trades` prints: a table for people, JSON and CSV for programs, and notes beside them."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any, Final

import polars as pl
from rich.console import Console
from rich.table import Table

from commands.in_force import Decision
from sleevegraph.fate import percent
from sleevegraph.trading.orders import ASSUMED, KEEP, NO_CONVERSION, NO_MARGIN
from sleevegraph.trading.quantities import written
from sleevegraph.trading.totals import Totals
from sleevegraph.trading.trade_list import Terms

LEVERED: Final = 3.0
"""Holdings of more than so many times the equity are more likely an equity that is wrong."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a reader must know of a trade list beside its rows."""

    decision: Decision
    profile: str
    holdings: str
    """Where they come from."""
    filters: str
    """Day of the exchange's own; empty where they are assumed."""
    reduce_only: str
    """Which gates refused, as `reduce_only_because` says it; empty where none did."""
    terms: Terms
    totals: Totals


def notes(rows: pl.DataFrame, told: Told) -> Iterator[str]:
    """What a reader of the rows alone would miss."""
    decision, sums, rules = told.decision, told.totals, told.terms.rules
    if decision.blocked:
        yield f"{decision.at} is blocked: {decision.blocked}; the target is the weights of {decision.decided}, drifted"
    if told.reduce_only:
        yield _reduced(told)
    yield f"holdings: {told.holdings}"
    if not rows.height:
        yield "nothing is held or wanted"
    if not told.filters:
        steps = f"step {rules.quantity_step:g}, minimum notional {rules.min_notional:g}"
        yield f"no filters of the exchange are stored up to {decision.at}: {steps} are assumed"
    if sums.before.gross > LEVERED:
        held, currency = sums.before.gross * sums.equity, told.terms.currency
        times = f"{sums.before.gross:,.1f} times the equity of {sums.equity:,.2f} {currency}"
        yield f"holdings of {held:,.2f} {currency} are {times}: check EQUITY or --equity, and the quantities"
    yield from _conversions(rows, told)
    net, left = _net(sums.wanted.net), _net(sums.permitted.net)
    if sums.shorts_dropped:
        yield f"{sums.shorts_dropped} shorts dropped: net exposure {left} where {net} was wanted"
    if unlent := sums.untradable.get(NO_MARGIN):
        refused = (
            f"{unlent} shorts are not opened: the exchange's symbols of {told.filters} allow none of them on margin"
        )
        yield f"{refused}; net exposure {left} where {net} was wanted; trading.short_policy says how else to be short"
    if sums.unpriced:
        yield f"{sums.unpriced} holdings have no price in the last 30 days: they count as nothing in the exposures"


def _conversions(rows: pl.DataFrame, told: Told) -> Iterator[str]:
    """At which rates the rows in other quotes are counted, and those that are not."""
    currency, eve = told.terms.currency, told.terms.at - timedelta(days=1)
    foreign = rows.filter(pl.col("quote") != currency)
    known = foreign.drop_nulls("rate").select("quote", "rate").unique().sort("quote").iter_rows()
    rates = ", ".join(f"1 {quote} = {rate:.8g} {currency}" for quote, rate in known)
    if rates:
        yield f"cost, totals and exposures are in {currency}, at the closes of {eve}: {rates}"
    lost = foreign.filter(pl.col("reason") == NO_CONVERSION)
    for (quote,), group in lost.group_by("quote", maintain_order=True):
        held = group.filter(pl.col("holding_quantity") != 0)["symbol"].to_list()
        kept = f" (held: {', '.join(held)})" if held else ""
        yield (
            f"{group.height} symbols in {quote} are not traded and count as nothing{kept}: no close of {quote}{currency} "
            f"or {currency}{quote} on {eve} says what they are worth in {currency}; ingest the bars of either pair"
        )


def _reduced(told: Told) -> str:
    return f"reduce-only, nothing is opened or added to: {told.reduce_only}"


def as_json(rows: pl.DataFrame, told: Told) -> str:
    """One object: what the list is of, its totals, and its rows; quantities are strings, so that they stay exact."""
    found = {
        "meta": told.decision.meta,
        "on": str(told.decision.at),
        "weights_of": str(told.decision.decided),
        "risk_profile": told.profile,
        "holdings": told.holdings,
        "filters_of": told.filters or None,
        "reduce_only": told.reduce_only or None,
        "currency": told.terms.currency,
        "notes": list(notes(rows, told)),
        "short_policy": told.terms.rules.short_policy,
        "totals": asdict(told.totals),
        "trades": [{name: _plain(value) for name, value in row.items()} for row in rows.iter_rows(named=True)],
    }
    return json.dumps(found, indent=1, ensure_ascii=False)


def as_csv(rows: pl.DataFrame) -> str:
    """One line per row, flags separated by semicolons."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.columns)
    for row in rows.iter_rows():
        writer.writerow([";".join(value) if isinstance(value, list) else _plain(value) for value in row])
    return text.getvalue()


def print_table(console: Console, rows: pl.DataFrame, told: Told, warning: str) -> None:
    """Trades, the largest symbol first, and what cannot be traded; then the sums."""
    decision, sums = told.decision, told.totals
    title = f"{decision.meta} at {decision.at}, {told.profile}, equity {sums.equity:,.2f} {told.terms.currency}"
    table = Table(title=title + (f" ({warning})" if warning else ""))
    for name in ("symbol", "route", "side"):
        table.add_column(name, no_wrap=True)
    for name in ("held", "trade", "after", "price", "notional", "cost", "of volume"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("notes", overflow="fold")
    size = (pl.col("notional") * pl.col("rate").fill_null(0.0)).sum().over("symbol")
    for row in rows.filter(pl.col("status") != KEEP).sort(-size, "symbol", "leg").iter_rows(named=True):
        table.add_row(*_cells(row, said=() if told.filters else (ASSUMED,)))
    console.print(table)
    reduced = [_reduced(told)] if told.reduce_only else []
    for line in [*reduced, *_sums(rows, sums)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _cells(row: dict[str, Any], said: Sequence[str]) -> Iterator[str]:
    """Texts of a row; flags that are `said` of all of them are left out."""
    yield from (row["symbol"], row["route"], row["side"] or "none")
    for name in ("holding_quantity", "trade_quantity", "resulting_quantity"):
        yield written(row[name])
    yield "" if row["price"] is None else f"{row['price']:.8g}"
    yield f"{row['notional']:,.2f}" + ("" if row["quote"] in {None, row["currency"]} else f" {row['quote']}")
    yield f"{row['cost']:,.2f}"
    yield "" if row["participation"] is None else f"{100 * row['participation']:.3f} %"
    why = [text for text in dict.fromkeys([row["reason"], *row["flags"]]) if text and text not in said]
    yield ", ".join(text.replace("_", " ") for text in why)


def _sums(rows: pl.DataFrame, sums: Totals) -> Iterator[str]:
    kept = rows.filter(pl.col("status") == KEEP)["symbol"].n_unique()
    short = f", of it {sums.sold_short:,.2f} short" if sums.sold_short else ""
    yield f"{sums.trades} trades: bought {sums.bought:,.2f}, sold {sums.sold:,.2f}{short}; {kept} symbols stay as they are"
    yield f"turnover {percent(sums.turnover)}, estimated cost {sums.cost:,.2f} ({percent(sums.cost_share)})"
    named = {"before": sums.before, "wanted": sums.wanted, "short policy": sums.permitted, "after": sums.after}
    yield "gross / net: " + ", ".join(f"{name} {percent(e.gross)} / {_net(e.net)}" for name, e in named.items())
    reasons = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in sums.untradable.items()) or "none"
    yield f"untradable: {reasons}; clipped {sums.clipped}, above the participation warning {sums.warned}"


def _net(share: float) -> str:
    return percent(round(share, 6) + 0.0)


def _plain(value: Any) -> Any:
    return written(value) if isinstance(value, Decimal) else value
