"""Reading a ticker: which base and quote it names, and which coin that is on a date."""

from collections.abc import Mapping
from datetime import date

from sleevegraph.manifest import SymbolRules

Pair = tuple[str, str]
"""Base and quote asset."""


def split_symbol(ticker: str, pairs: Mapping[str, Pair], rules: SymbolRules) -> Pair | None:
    """Base and quote of `ticker`; None where no quote ends it.

    Parameters
    ----------
    ticker
        As the exchange writes it, without its name: BTCUSDT.
    pairs
        The exchange's own base and quote by ticker; it has no delisted ones.
    rules
        Quote assets beside those of `pairs`.

    Returns
    -------
    tuple of str or None
        The exchange's own answer first. Else, of the quotes that end the ticker, the longest whose base the exchange
        knows: ADAEUR is ADA/EUR although AEUR is a quote. Else the longest. A quote of one letter (U) is taken from the
        exchange for exactly that ticker, never as an ending: MU and LULU are no pairs.
    """
    if ticker in pairs:
        return pairs[ticker]
    quotes = {*rules.quotes, *(quote for _, quote in pairs.values() if len(quote) > 1)}
    ends = [ticker[-length:] for length in range(len(ticker) - 1, 1, -1)]
    readings = [(ticker.removesuffix(end), end) for end in ends if end in quotes]
    bases = {base for base, _ in pairs.values()}
    return next((reading for reading in readings if reading[0] in bases), readings[0] if readings else None)


def renamed(base: str, on: date, rules: SymbolRules) -> str:
    """The name on the day `on` of the coin that is or was called `base`."""
    following = {rename.old: rename for rename in rules.renames}
    while base in following and following[base].since <= on:
        base = following[base].new
    return base


def former_names(base: str, rules: SymbolRules) -> tuple[str, ...]:
    """Every name that the coin `base` had before, the oldest first."""
    before = {rename.new: rename.old for rename in rules.renames}
    names: list[str] = []
    while base in before:
        base = before[base]
        names.append(base)
    return tuple(reversed(names))
