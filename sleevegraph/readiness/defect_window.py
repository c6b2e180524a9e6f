"""When defects of single symbols block a rebalance: the window that ends at P-1, and how many symbols have them."""

from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from sleevegraph.findings import Finding

LISTED_SYMBOLS: Final = 10


@dataclass(frozen=True, slots=True)
class DefectWindow:
    """Defects block when they are dated at or after `since` and of too many symbols to be theirs alone.

    Attributes
    ----------
    exchange
        Prefix of physical symbols.
    since
        First day of the window.
    active
        Symbols that have a bar in it.
    max_share
        Of these symbols, how many may have defects.
    """

    exchange: str
    since: date
    active: pl.Series
    max_share: float

    def findings(self, code: str, expected: str, defects: pl.DataFrame) -> list[Finding]:
        """One finding on the window, another on what is older.

        `defects` is [symbol, date, certain, what]: only those that are `certain` block; `what` is quoted of the first.
        """
        recent = pl.col("date") >= self.since
        found = []
        for rows, now in ((defects.filter(recent), True), (defects.filter(~recent), False)):
            if not rows.height:
                continue
            symbols = rows["symbol"].unique().sort()
            total = pl.concat([self.active, symbols]).n_unique()
            certain = rows.filter("certain")["symbol"].n_unique()
            # One symbol is left out or traded with a warning; a source gone wrong stops the desk.
            blocks = now and certain > 1 and certain > self.max_share * total
            first = rows.sort("date", "symbol", maintain_order=True).row(0, named=True)
            message = (
                f"{expected}: {rows.n_unique(['symbol', 'date'])} bars of {len(symbols)} of {total} symbols "
                f"({listed_names(symbols.to_list())}), first {first['symbol']} {first['date']}: {first['what']}"
            )
            one = f"{self.exchange}:{symbols[0]}" if len(symbols) == 1 else ""
            found.append(Finding("ERROR" if blocks else "WARN", code, one, message))
        return found


def listed_names(names: list[str]) -> str:
    """The first LISTED_SYMBOLS of them, and how many more there are."""
    more = len(names) - LISTED_SYMBOLS
    return ", ".join(names[:LISTED_SYMBOLS]) + (f" and {more} more" if more > 0 else "")
