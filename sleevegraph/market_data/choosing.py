"""Which symbols an ingest is about, out of all that ever traded."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import SymbolRules
from sleevegraph.symbols import split_symbol

Pairs = Mapping[str, tuple[str, str]]
"""Base and quote of a symbol as the exchange names them."""


def choose(
    known: Sequence[str], pairs: Pairs, rules: SymbolRules, symbols: Sequence[str], quotes: Sequence[str]
) -> list[str]:
    """Return `symbols` where any are asked for, else every known symbol that is quoted in one of `quotes`; sorted.

    Raises
    ------
    ConfigurationError
        A symbol that neither the archive nor the exchange lists, or quotes in which nothing trades.
    """
    if symbols:
        listed = set(known)
        for symbol in symbols:
            if symbol not in listed:
                near = get_close_matches(symbol, known, n=1)
                advice = f"; did you mean {near[0]}?" if near else ""
                raise ConfigurationError(
                    f"--symbols: expected symbols that the exchange ever listed, found {symbol!r}{advice}"
                )
        return sorted(set(symbols))
    chosen = sorted(symbol for symbol in known if quote_of(symbol, pairs, rules) in quotes)
    if not chosen:
        raise ConfigurationError(
            f"--quotes: expected a quote asset that some symbol trades in, found {', '.join(quotes) or 'none'} "
            f"among {len(known)} symbols"
        )
    return chosen


def quote_of(symbol: str, pairs: Pairs, rules: SymbolRules) -> str | None:
    """Quote asset of a symbol; a dated future such as BTCUSDT_230331 has that of its pair."""
    pair = split_symbol(symbol.split("_", 1)[0], pairs, rules)
    return pair[1] if pair else None
