"""`sleevegraph explain`: one symbol at one rebalance, through every stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from typing import Any

import click
import polars as pl

from assets.keys import RATINGS, UNIVERSE, signal_path, stage
from commands.home import GridDate, reading, with_home
from commands.in_force import books_in_force, decision_in_force, meta_standing, sleeve_standing
from commands.in_use import manifest_in_use
from commands.stored import chosen_rebalance, warning_of
from resources.home import Home
from resources.lake import AssetPath
from resources.store import Store
from sleevegraph.errors import ConfigurationError, GateError, LakeError
from sleevegraph.fate import (
    Stop,
    candidate_drop,
    gaps_in_words,
    percent,
    quote_drop,
    rating_label,
    signed,
    universe_drop,
    verdict,
)
from sleevegraph.manifest import RISK_PROFILES, Manifest, MarketProfile, SleeveProfile, UniverseRules
from sleevegraph.physical import by_sleeve
from sleevegraph.universe import eligible_in

Row = dict[str, Any]

HEADLINE = "hrp"
"""The risk profile that the verdict is about."""
DECIDED = ("CERTIFIED", "DEGRADED")
"""How the standing of a sleeve begins that holds what it decided at this rebalance."""


@dataclass(slots=True)
class Story:
    """What is told of a symbol, line by line, and what the verdict is made from."""

    store: Store
    symbol: str
    at: date
    lines: list[tuple[str, str]] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    chosen: bool = False
    """Whether a sleeve gives it a weight."""
    held: dict[str, dict[str, float]] = field(default_factory=dict)
    """Net weight by meta and risk profile."""

    def tell(self, what: str, text: str) -> None:
        """Add a line."""
        self.lines.append((what, text))

    def stop(self, what: str, portfolio: str, reason: str) -> None:
        """Add a line on where the symbol went no further."""
        self.tell(f"  {what}" if portfolio else what, f"dropped: {reason}")
        self.stops.append(Stop(what, portfolio, reason))

    def row(self, path: AssetPath) -> tuple[Row | None, str]:
        """Return the symbol's row of a stage, or why it has none."""
        if str(self.at) not in self.store.lake.partitions(path):
            return None, "not stored for this rebalance; backfill it"
        status, reason = self.store.lake.standing(path, str(self.at))
        rows = self.store.lake.read(path, str(self.at)).filter(pl.col("symbol") == self.symbol)
        if rows.height:
            return rows.row(0, named=True), ""
        return None, f"{status}: {reason}" if reason else "not listed"


@click.command()
@click.argument("symbol")
@click.option("--on", type=GridDate(), help="Rebalance date; by default the newest that is stored.")
@with_home
@reading
def explain(home: Home, symbol: str, on: date | None) -> None:
    """Follow SYMBOL (BTCUSDT or BINANCE:BTCUSDT) through one rebalance: where it was dropped or what it weighs."""
    manifest = manifest_in_use()
    store = Store(home=str(home.root))
    at = chosen_rebalance(home, store.lake, UNIVERSE, on)
    bars = store.lake.known_bars().select("symbol", "date")
    story = Story(store, _known(symbol, bars["symbol"].unique().to_list(), manifest), at)
    somebody = _market(story, bars, manifest)
    for sleeve in manifest.sleeves:
        standing = _standing(story, sleeve, manifest.market)
        if somebody or not standing.startswith(DECIDED):
            story.tell(sleeve.name, standing)
        if somebody:
            _sleeve(story, sleeve, standing, manifest.market.universe)
    _metas(story, manifest)
    if warning_of(home):
        click.echo(warning_of(home), err=True)
    click.echo(f"{story.symbol} at {at}")
    width = max(len(what) for what, _ in story.lines) + 2
    for what, text in story.lines:
        click.echo(f"{what:<{width}}{text}".rstrip())
    click.echo(verdict(story.stops, story.held, HEADLINE))


def _known(given: str, symbols: Sequence[str], manifest: Manifest) -> str:
    """Return the symbol in full; an unknown one is an error with the nearest names."""
    name = given.upper()
    full = name if ":" in name else f"{manifest.market.exchange}:{name}"
    if full in symbols:
        return full
    tickers = {symbol.split(":", 1)[1]: symbol for symbol in sorted(symbols)}
    near = [tickers[ticker] for ticker in get_close_matches(full.split(":", 1)[1], tickers, n=3)]
    advice = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ConfigurationError(f"SYMBOL: expected one of the {len(symbols)} symbols with bars, found {given!r}{advice}")


def _market(story: Story, bars: pl.DataFrame, manifest: Manifest) -> bool:
    """Tell of bars, universe and ratings; return whether some sleeve could choose the symbol."""
    dates = bars.filter(pl.col("symbol") == story.symbol)["date"].sort()
    known = dates.filter(dates < story.at).to_list()
    if not known:
        story.stop("bars", "", f"the first bar is of {dates[0]}, none is from before the rebalance")
        return False
    story.tell("bars", f"{len(known)} from {known[0]} to {known[-1]}, {gaps_in_words(known)}")
    row, absent = story.row(UNIVERSE)
    rules = manifest.market.universe
    reason = absent if row is None else universe_drop(row, rules)
    users = [] if row is None else [s.name for s in manifest.sleeves if not _refusal(story, s, row, rules)]
    if row is None or (reason and not users):
        story.stop("universe", "", reason)
        return False
    story.tell("universe", f"{reason}; eligible for {', '.join(users)} by its quotes" if reason else "eligible")
    rating, absent = story.row(RATINGS)
    story.tell("ratings", _rating(rating) if rating else absent)
    return True


def _refusal(story: Story, sleeve: SleeveProfile, row: Row, rules: UniverseRules) -> str:
    """Why one sleeve may not hold a row of the universe; empty when it may."""
    if story.symbol in eligible_in(story.store.lake.read(UNIVERSE, str(story.at)), sleeve.quotes)["symbol"]:
        return ""
    return universe_drop(row, rules) or quote_drop(row, sleeve)


def _rating(row: Row) -> str:
    values = ", ".join(f"{name} {signed(row[f'recommend_{name}'])}" for name in ("all", "ma", "other"))
    return f"{values}: {rating_label(row['recommend_all'])}, bar of {row['date']}"


def _sleeve(story: Story, sleeve: SleeveProfile, standing: str, rules: UniverseRules) -> None:
    """Tell how far the symbol came in one sleeve."""
    row, reason = story.row(UNIVERSE)
    reason = reason if row is None else _refusal(story, sleeve, row, rules)
    if reason:
        story.stop("universe", sleeve.name, reason)
        return
    if sleeve.signal is not None:
        score, absent = story.row(signal_path(sleeve.logic))
        story.tell("  signal", f"{sleeve.logic} {signed(score['score'])}" if score else f"{sleeve.logic}: {absent}")
    row, absent = story.row(stage(sleeve.name, "candidates"))
    reason = absent if row is None else candidate_drop(row, sleeve)
    if row is None or reason:
        story.stop("candidates", sleeve.name, reason)
        return
    story.tell("  candidates", f"rank {row['rank']}, {sleeve.scored_by} {signed(row['rating'])}")
    row, absent = story.row(stage(sleeve.name, "winners"))
    if row is None or not row["winner"]:
        story.stop("winners", sleeve.name, absent if row is None else f"{row['reason']}{_score(row)}")
        return
    story.tell("  winners", f"{row['reason']}{_score(row)}")
    _weights(story, sleeve.name, standing)


def _weights(story: Story, sleeve: str, standing: str) -> None:
    """Tell what a winner weighs in its sleeve; a sleeve that holds older weights gives it none."""
    path = stage(sleeve, "risk_weights")
    row, absent = story.row(path)
    if row is None or not standing.startswith(DECIDED):
        story.stop("risk weights", sleeve, absent if row is None else standing)
        return
    cells = story.store.lake.read(path, str(story.at))
    nets = cells.filter((pl.col("symbol") == story.symbol) & (pl.col("net") != 0.0)).select("engine", "profile", "net")
    for (engine,), rows in nets.group_by("engine", maintain_order=True):
        text = ", ".join(f"{profile} {percent(net)}" for _, profile, net in rows.iter_rows())
        story.tell("  risk weights", f"{engine}: {text}")
    if HEADLINE in nets["profile"]:
        story.chosen = True
    else:
        story.stop("risk weights", sleeve, f"{HEADLINE} gives it no weight")


def _score(row: Row) -> str:
    return f" (score {row['score']:.4g}, rank {row['rank']}, cluster {row['cluster']})"


def _standing(story: Story, sleeve: SleeveProfile, market: MarketProfile) -> str:
    try:
        return sleeve_standing(story.store, sleeve, market, story.at)
    except (GateError, LakeError) as error:
        return f"without a verdict: {error}"


def _metas(story: Story, manifest: Manifest) -> None:
    """Tell of every meta what it holds of the symbol, by risk profile and sleeve."""
    for meta in manifest.metas:
        try:
            decision = decision_in_force(story.store, meta, story.at)
            books = books_in_force(story.store, decision, RISK_PROFILES)
            standing = meta_standing(story.store, meta, manifest, decision.decided)
        except (GateError, LakeError) as error:
            story.tell(meta.name, f"without weights: {error}")
            if story.chosen:
                story.stops.append(Stop("flattened weights", meta.name, str(error)))
            continue
        drift = f"blocked: {decision.blocked}; weights of {decision.decided}, drifted" if decision.blocked else ""
        rows = {p: book.positions.filter(pl.col("symbol") == story.symbol) for p, book in books.items()}
        held = {profile: row for profile, row in rows.items() if row.height}
        story.tell(meta.name, "; ".join(filter(None, (drift, standing, "" if held else "not held"))))
        for profile, row in held.items():
            net, gross = row.row(0)[1:3]
            story.held.setdefault(meta.name, {})[profile] = net
            story.tell(f"  {profile}", _holding(net, gross, by_sleeve(row)[story.symbol]))
        if story.chosen and drift:
            story.stops.append(Stop("flattened weights", meta.name, drift))


def _holding(net: float, gross: float, sleeves: Mapping[str, float]) -> str:
    parts = ", ".join(f"{sleeve} {percent(share)}" for sleeve, share in sleeves.items())
    return f"net {percent(net)}, gross {percent(gross)}: {parts}"
