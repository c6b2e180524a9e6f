"""Made markets and books for trade lists: exact prices, steps and limits, without a home."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
from hypothesis import strategies as st

from sleevegraph.manifest import TradingRules
from sleevegraph.trading.lots import Lot
from sleevegraph.trading.quotes import QUOTES, rates
from sleevegraph.trading.trade_list import Terms, trade_list

AT = date(2024, 9, 11)
COST = 0.0014
STEPS = ("1E-8", "0.001", "0.1", "1", "0.025", "10")
PAIRS = {("BTC", "USDT"): 63_250.17, ("USDT", "TRY"): 34.07, ("USDT", "BRL"): 5.6}
"""Closes of pairs of money, by base and quote."""
RATES = {
    "USDT": Fraction(1),
    "BTC": Fraction("63250.17"),
    "TRY": 1 / Fraction("34.07"),
    "BRL": 1 / Fraction("5.6"),
    "USDC": None,
}
"""What a unit of each comes to in USDT by those pairs; nothing says it of USDC."""


@dataclass
class Book:
    """Everything that a trade list is made from, by symbol."""

    wanted: dict[str, float] = field(default_factory=dict)
    held: dict[str, Decimal] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    volumes: dict[str, float] = field(default_factory=dict)
    lots: dict[str, Lot] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()
    """Symbols whose last close is of P-2."""
    pairs: dict[tuple[str, str], float] = field(default_factory=lambda: dict(PAIRS))

    def add(
        self,
        symbol: str,
        weight: float = 0.0,
        held: str = "0",
        *,
        price: float = 10.0,
        volume: float = 1e9,
        step: str = "0.001",
        least: str = "5",
        **filters: Any,
    ) -> "Book":
        """One more symbol."""
        self.wanted[symbol], self.held[symbol], self.prices[symbol] = weight, Decimal(held), price
        self.volumes[symbol] = volume
        self.lots[symbol] = Lot(
            **{"min_quantity": Fraction(0), "max_quantity": None, **filters},
            step=Fraction(step),
            min_notional=Fraction(least),
        )
        return self

    def quotes(self, currency: str = "USDT") -> pl.DataFrame:
        """As `market_quotes` would have it."""
        days = {symbol: AT - timedelta(days=2 if symbol in self.stale else 1) for symbol in self.prices}
        rows = [
            (s, s.split(":")[1].removesuffix(quote_of(s)), quote_of(s), self.prices[s], days[s], self.volumes[s], None)
            for s in self.prices
        ]
        for (base, quote), close in self.pairs.items():
            symbol = f"BINANCE:{base}{quote}"
            day = AT - timedelta(days=2 if symbol in self.stale else 1)
            rows += [(symbol, base, quote, close, day, 1e9, None)] if symbol not in self.prices else []
        found = pl.DataFrame(rows, schema=QUOTES, orient="row")
        return found.with_columns(pl.Series("rate", rates(found, currency, AT), pl.Float64()))


def quote_of(symbol: str) -> str:
    """The quote at the end of a made symbol."""
    return next(quote for quote in RATES if symbol.endswith(quote))


def terms(equity: float = 100_000.0, *, reduce_only: bool = False, currency: str = "USDT", **rules: Any) -> Terms:
    """Terms at AT."""
    return Terms(AT, equity, currency, COST, TradingRules(**rules), reduce_only=reduce_only)


def listed(book: Book, under: Terms | None = None) -> pl.DataFrame:
    """The trade list of a book."""
    found = under or terms()
    return trade_list(book.wanted, book.held, book.quotes(found.currency), book.lots, found)


@st.composite
def books(draw: st.DrawFn) -> Book:
    """Up to six symbols in up to four quotes, held and wanted on either side, liquid or not, lent on margin or not, with
    holdings that are no whole steps."""
    book = Book()
    for i in range(draw(st.integers(1, 6))):
        book.add(
            f"BINANCE:S{i}{draw(st.sampled_from(['USDT', 'USDT', 'USDT', 'TRY', 'TRY', 'BTC', 'USDC']))}",
            draw(st.sampled_from([0.0, 0.3, -0.3]) | st.floats(-0.4, 0.4).map(lambda weight: round(weight, 15))),
            str(draw(st.sampled_from([Decimal(0)]) | st.decimals(-20_000, 20_000, places=5))),
            price=draw(st.sampled_from([0.00001234, 0.1, 1.0, 63_250.17]) | st.floats(0.001, 5_000)),
            volume=draw(st.sampled_from([0.0, 1e12]) | st.floats(1_000, 1e7)),
            step=draw(st.sampled_from(STEPS)),
            least=draw(st.sampled_from(["0", "5", "100"])),
            min_quantity=Fraction(draw(st.sampled_from(["0", "0.001", "2"]))),
            refusal=draw(st.sampled_from(["", "", "", "not_trading"])),
            margin=draw(st.sampled_from([None, True, False])),
        )
    return book


def under() -> st.SearchStrategy[Terms]:
    """Terms of every short policy, with and without reduce-only and a tight cap."""
    return st.builds(
        terms,
        st.sampled_from([500.0, 100_000.0, 3_333_333.33]),
        reduce_only=st.booleans(),
        short_policy=st.sampled_from(["margin", "perpetual", "drop"]),
        participation_cap=st.sampled_from([0.05, 1.0]),
    )
