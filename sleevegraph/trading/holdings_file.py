"""Real holdings as a person exports them: a CSV of symbol and quantity, and the equity that they are part of."""

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from io import StringIO
from math import isfinite
from re import compile as pattern
from typing import Final

from sleevegraph.bars import KNOWN_QUOTES
from sleevegraph.errors import ConfigurationError
from sleevegraph.trading.quantities import DIGITS, PLACES

COLUMNS: Final = ("symbol", "quantity")
_NUMBER: Final = pattern(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


EQUITY: Final = "EQUITY"
"""Stands where a symbol stands, for what holdings and cash come to in the manifest's currency."""
_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


@dataclass(frozen=True, slots=True)
class RealHoldings:
    """What a file says is held."""

    quantities: dict[str, Decimal]
    """Signed, by symbol."""
    equity: float | None
    """Of the row EQUITY; None where there is none."""
    equity_at: str
    """File, line and column of that row."""


def read_holdings(content: bytes, where: str, known: Collection[str], exchange: str) -> RealHoldings:
    """Signed quantities by symbol, and the equity where a row EQUITY gives it.

    Parameters
    ----------
    content
        UTF-8 text with a header; columns `symbol` and `quantity`, in any order and no others. Shorts are negative.
    where
        The file's name, for errors.
    known
        Every symbol, `EXCHANGE:TICKER`, that has bars or that the exchange lists.
    exchange
        Of a ticker that stands alone.

    Raises
    ------
    ConfigurationError
        With file, line and column: text of another encoding, missing or other columns, a line of another length, a
        symbol that is not known or stands twice, a quantity that is no number or has more digits than can be stored,
        an equity that is no positive, finite amount.
    """
    found: dict[str, Decimal] = {}
    lines: dict[str, int] = {}
    equity, equity_at = None, ""
    for line, name, text in _fields(_decoded(content, where), where):
        at, is_equity = f"{where}: line {line}", name.upper() == EQUITY
        symbol = EQUITY if is_equity else _symbol(name, known, exchange, f"{at}: symbol")
        if symbol in lines:
            advice = "leave one of them out" if is_equity else "add them up"
            raise _error(f"{at}: symbol", "each symbol once", f"{name!r}, as in line {lines[symbol]}", advice)
        lines[symbol] = line
        if is_equity:
            equity_at = f"{at}: quantity"
            equity = _amount(text, equity_at)
        else:
            found[symbol] = _quantity(text, f"{at}: quantity")
    return RealHoldings(found, equity, equity_at)


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{content[error.start]:02x}"
        raise _error(f"{where}: line {line}", "text in UTF-8", found, "save it as CSV in UTF-8") from error


def _fields(text: str, where: str) -> Iterator[tuple[int, str, str]]:
    """Line, symbol and quantity of every line that is not blank."""
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        for column in COLUMNS:
            if header.count(column) != 1:
                expected = f"one column of that name in {','.join(COLUMNS)}"
                raise _error(f"{where}: line 1: {column}", expected, *_headless(text, header))
        for column in header:
            if column not in COLUMNS:
                advice = f"give it in a row {EQUITY},<amount>" if column == EQUITY.lower() else "leave it out"
                raise _error(f"{where}: line 1", f"no column beside {','.join(COLUMNS)}", f"{column!r:.60}", advice)
        at = [header.index(column) for column in COLUMNS]
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(header):
                raise _error(
                    f"{where}: line {reader.line_num}", f"{len(header)} fields", str(len(fields)), "correct it"
                )
            name, quantity = (fields[i].strip() for i in at)
            yield reader.line_num, name, quantity
    except csv.Error as error:
        raise _error(f"{where}: line {reader.line_num}", "a line of CSV", str(error), "export it again") from error


def _headless(text: str, header: list[str]) -> tuple[str, str]:
    """What stands in place of the header, and what to do."""
    names, line = ",".join(COLUMNS), ",".join(header)
    if not text.strip():
        return "an empty file", f"begin it with {names}"
    if not any(header):
        return "a blank line", f"begin the file with {names}"
    for mark, separator in _SEPARATORS.items():
        if mark in line:
            return f"{separator} in {line!r:.120}", "separate columns by commas, and write decimals with a point"
    return f"{header!r:.120}", f"name the columns {names}"


def _symbol(name: str, known: Collection[str], exchange: str, where: str) -> str:
    upper = name.upper()
    symbol = upper if ":" in upper else f"{exchange}:{upper}"
    if symbol in known:
        return symbol
    tickers = {each.partition(":")[2]: each for each in sorted(known)}
    pairs = [tickers[upper + quote] for quote in KNOWN_QUOTES if upper + quote in tickers][:1]
    near = pairs or [tickers[ticker] for ticker in get_close_matches(symbol.partition(":")[2], tickers, n=3)]
    advice = f"did you mean {' or '.join(near)}" if near else "leave it out"
    if upper in KNOWN_QUOTES:  # some are coins as well, which are no cash
        coin = f"did you mean {pairs[0]}? " if pairs else ""
        advice = f"{coin}leave cash out: it is part of the equity"
    raise _error(where, f"one of the {len(known)} symbols with bars or listed", f"{name!r:.60}", advice)


def _quantity(text: str, where: str) -> Decimal:
    if not _NUMBER.fullmatch(text) or not text.isascii():
        raise _error(where, "a number such as -0.25", f"{text!r:.60}", "correct it")
    quantity = Decimal(text)
    whole_units = (Fraction(quantity) * 10**PLACES).denominator == 1
    if not whole_units or quantity.copy_abs() >= 10**DIGITS:
        raise _error(
            where, f"at most {DIGITS} digits before the point and {PLACES} after it", f"{text!r:.60}", "correct it"
        )
    return quantity


def _amount(text: str, where: str) -> float:
    amount = float(text) if _NUMBER.fullmatch(text) and text.isascii() else 0.0
    if not (isfinite(amount) and amount > 0):
        raise _error(where, "a positive, finite amount of equity such as 84213.50", f"{text!r:.60}", "correct it")
    return amount


def _error(where: str, expected: str, found: str, advice: str) -> ConfigurationError:
    return ConfigurationError(f"{where}: expected {expected}, found {found}; {advice}")
