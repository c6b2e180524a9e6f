"""The physical book of a meta under one risk profile: what is held, and what the market makes of it."""

from dataclasses import dataclass
from math import fsum

import polars as pl

from sleevegraph.manifest import LedgerRules
from sleevegraph.track_record import CASH, Holdings, Window, earn

POSITIONS_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "net": pl.Float64(),
        "gross": pl.Float64(),
        "contributions": pl.List(
            pl.Struct({"path": pl.String(), "sleeve": pl.String(), "contribution": pl.Float64()}),
        ),
    }
)
_UNTRADED = LedgerRules(slippage=0.0, commission=0.0, borrow=0.0)


@dataclass(frozen=True, slots=True)
class PhysicalBook:
    """Positions, and beside them what is in none."""

    positions: pl.DataFrame
    """`POSITIONS_SCHEMA`, the largest |net| first, then by symbol; `gross` is before netting."""
    cash: float
    """Share of wealth that is in no position, before netting."""
    dust: float
    """Sum of |net| of what was too small to be held."""


def physical_book(flat: pl.DataFrame, profile: str) -> PhysicalBook:
    """One risk profile of `meta_book.flattened`'s rows, without dust and CASH."""
    rows = flat.filter(pl.col("profile") == profile)
    cash, dust = pl.col("symbol") == CASH, pl.col("dust")
    element = pl.element().struct
    sleeve = element.field("path").str.split("/").list.last().alias("sleeve")
    attributed = pl.struct(element.field("path"), sleeve, element.field("contribution"))
    return PhysicalBook(
        positions=_ordered(rows.filter(~cash & ~dust).with_columns(pl.col("contributions").list.eval(attributed))),
        cash=float(rows.filter(cash)["net"].sum()),
        dust=float(rows.filter(~cash & dust)["net"].abs().sum()),
    )


def drifted(book: PhysicalBook, window: Window) -> PhysicalBook:
    """Hold `book` through `window`, without costs, and return it as shares of the wealth it has become.

    Gross and contributions move with their symbol. A position that ends in the window (no bars, or a short that lost
    its allocation) is cash from then on. Raises what `earn` raises.
    """
    nets = dict(book.positions.select("symbol", "net").iter_rows())
    positions = {symbol: (net, abs(net)) for symbol, net in nets.items() if net != 0.0}
    _, held = earn(Holdings(1.0 - fsum(nets.values()), positions), None, window, _UNTRADED)
    # Legs that net out hold nothing, yet each of them moves with the price.
    netted = {symbol: (1.0, 1.0) for symbol, net in nets.items() if net == 0.0}
    _, legs = earn(Holdings(1.0, netted), None, window, _UNTRADED)
    moved = {symbol: legs.positions.get(symbol, (0.0, 0.0))[0] for symbol in netted}
    moved |= {symbol: held.positions.get(symbol, (0.0, 0.0))[0] / net for symbol, (net, _) in positions.items()}
    factors = {symbol: 0.0 if held.bankrupt else growth / held.equity for symbol, growth in moved.items()}
    scaled = _scaled(book.positions, factors)
    return PhysicalBook(_ordered(scaled), max(0.0, 1.0 - fsum(scaled["gross"])), book.dust)


def by_sleeve(positions: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Sum of contributions by symbol and sleeve, over all paths that end in the sleeve."""
    found: dict[str, dict[str, float]] = {}
    for symbol, contributions in positions.select("symbol", "contributions").iter_rows():
        sums = found.setdefault(symbol, {})
        for entry in contributions:
            sums[entry["sleeve"]] = sums.get(entry["sleeve"], 0.0) + entry["contribution"]
    return found


def _scaled(positions: pl.DataFrame, factors: dict[str, float]) -> pl.DataFrame:
    rows = []
    for row in positions.iter_rows(named=True):
        factor = factors[row["symbol"]]
        contributions = [{**entry, "contribution": entry["contribution"] * factor} for entry in row["contributions"]]
        rows.append((row["symbol"], row["net"] * factor, row["gross"] * factor, contributions))
    return pl.DataFrame(rows, schema=POSITIONS_SCHEMA, orient="row").filter(pl.col("gross") > 0.0)


def _ordered(positions: pl.DataFrame) -> pl.DataFrame:
    sort = positions.sort(pl.col("net").abs(), pl.col("symbol"), descending=[True, False])
    return sort.select(POSITIONS_SCHEMA.names()).cast(POSITIONS_SCHEMA)
