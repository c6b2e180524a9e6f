"""`sleevegraph trades`: what to buy and sell to get from the holdings to the weights of a meta."""

from datetime import date, timedelta
from math import isfinite
from pathlib import Path

import click
import polars as pl

from assets.keys import stage
from assets.trades import decided_before, filters_before, nets, reduce_only_because, terms_of
from commands.home import GridDate, reading, stdout_console, with_home
from commands.in_force import Decision, books_in_force, decision_in_force, standings
from commands.in_use import sound_in_use
from commands.stored import chosen_rebalance, warning_of
from commands.trades_text import Told, as_csv, as_json, notes, print_table
from commands.weights import chosen_meta
from resources.home import Home
from resources.store import Store
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import RISK_PROFILES, Manifest, MetaProfile
from sleevegraph.panel import Panel
from sleevegraph.trading.holdings_file import RealHoldings, read_holdings
from sleevegraph.trading.lots import lots
from sleevegraph.trading.model import model_holdings
from sleevegraph.trading.quotes import market_quotes
from sleevegraph.trading.totals import totals
from sleevegraph.trading.trade_list import trade_list


@click.command()
@click.argument("meta")
@click.option("--on", type=GridDate(), help="Rebalance date; by default the newest that is stored.")
@click.option(
    "--equity",
    type=float,
    metavar="AMOUNT",
    help="In the first of universe.quotes; by default the meta's trading.equity.",
)
@click.option(
    "--holdings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="CSV of symbol,quantity, shorts negative, without cash; the equity is --equity or a row EQUITY,AMOUNT. "
    "By default the weights held so far.",
)
@click.option("--risk-profile", "profile", type=click.Choice(RISK_PROFILES), default="hrp", show_default=True)
@click.option("--format", "shape", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@with_home
@reading
def trades(
    home: Home, meta: str, on: date | None, equity: float | None, holdings: Path | None, profile: str, shape: str
) -> None:
    """List the trades that lead to the weights of META that are in force, in quantities that the exchange takes."""
    if equity is not None and not (isfinite(equity) and equity > 0):
        raise ConfigurationError(f"--equity: expected a positive, finite amount, found {_digits(equity)}; correct it")
    sound = sound_in_use()
    chosen, manifest = chosen_meta(meta, sound), sound.profiles.manifest
    store = Store(home=str(home.root))
    at = chosen_rebalance(home, store.lake, stage(meta, "flattened_weights"), on)
    decision = decision_in_force(store, chosen, at)
    rows, told = _listed(store, chosen, manifest, decision, equity, holdings, profile)
    standing = standings(store, chosen, manifest, decision.decided)
    held = [f"{name}: {text}" for name, text in standing.items() if text.startswith("HELD")]
    for note in [warning_of(home), *notes(rows, told), *held]:
        if note:
            click.echo(note, err=True)
    if shape == "table":
        print_table(stdout_console(), rows, told, warning_of(home))
        return
    click.echo(as_json(rows, told) if shape == "json" else as_csv(rows), nl=shape == "json")


def _listed(
    store: Store,
    meta: MetaProfile,
    manifest: Manifest,
    decision: Decision,
    equity: float | None,
    holdings: Path | None,
    profile: str,
) -> tuple[pl.DataFrame, Told]:
    """The trade list, and what it was made from."""
    at, refusal = decision.at, reduce_only_because(store, meta, manifest, decision.at)
    positions = books_in_force(store, decision, [profile])[profile].positions
    wanted = dict(positions.filter(pl.col("net") != 0).select("symbol", "net").iter_rows())
    panel = store.lake.panel_before(at)
    quotes = market_quotes(panel, at, manifest.market.currency)
    # By the rules of the day on which the orders go out: they are no news of the market.
    info, filters = filters_before(store, at + timedelta(days=1))
    real = None if holdings is None else _real(holdings, panel, info, manifest)
    amount = _equity(meta.trading.equity, equity, real, str(holdings))
    terms = terms_of(meta, manifest, at, amount, refusal)
    if real is None:
        before = decided_before(store, meta, at)
        held = nets(store, stage(meta.name, "flattened_weights"), before, at, panel)[profile]
        found = lots(info, {*wanted, *held}, meta.trading, quotes)
        quantities, source = model_holdings(held, quotes, found, terms), f"weights of {before}, drifted"
        source = source if before else "nothing: no earlier weights are certified"
    else:
        quantities, source = real.quantities, str(holdings)
        found = lots(info, {*wanted, *quantities}, meta.trading, quotes)
    rows = trade_list(wanted, quantities, quotes, found, terms)
    return rows, Told(decision, profile, source, filters, refusal, terms, totals(rows, terms))


def _real(file: Path, panel: Panel, info: pl.DataFrame | None, manifest: Manifest) -> RealHoldings:
    exchange = manifest.market.exchange
    listed = [] if info is None else [f"{exchange}:{ticker}" for ticker in info["symbol"]]
    return read_holdings(file.read_bytes(), str(file), {*panel.symbols, *listed}, exchange)


def _equity(usual: float, option: float | None, real: RealHoldings | None, file: str) -> float:
    """Of --equity or of the holdings' own row, which must agree; without holdings, --equity or the usual one."""
    if real is None:
        return usual if option is None else option
    if real.equity is None:
        if option is None:
            raise ConfigurationError(
                f"--equity: expected the equity that the holdings are part of, found none, and no row EQUITY in {file}; "
                "give either"
            )
        return option
    if option is not None and option != real.equity:
        raise ConfigurationError(
            f"{real.equity_at}: expected the equity of --equity, {_digits(option)}, found {_digits(real.equity)}; "
            "leave one of them out"
        )
    return real.equity


def _digits(amount: float) -> str:
    return repr(amount).removesuffix(".0")
