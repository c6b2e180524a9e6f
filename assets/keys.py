"""How assets are named."""

from collections.abc import Sequence

import dagster as dg

from resources.lake import AssetPath
from sleevegraph.atoms import Atom
from sleevegraph.manifest import SleeveProfile

KNOWN_BARS: AssetPath = ("known_bars",)
UNIVERSE: AssetPath = ("universe",)
RATINGS: AssetPath = ("technical_ratings",)


def signal_path(logic: str) -> AssetPath:
    """Lake path of the scores of a logic's own signal."""
    return ("signals", logic)


def signals_path(family: str) -> AssetPath:
    """Asset key of the scores of all logics that only a large family has."""
    return (family, "signals")


def scores_path(sleeve: SleeveProfile) -> AssetPath:
    """Lake path of what a sleeve chooses its candidates by."""
    return RATINGS if sleeve.signal is None else signal_path(sleeve.logic)


def stage(portfolio: str, asset: str) -> AssetPath:
    """Lake path and asset key of one stage of a sleeve or meta."""
    return (portfolio, asset)


def key(path: AssetPath) -> dg.AssetKey:
    """Asset key of a lake path."""
    return dg.AssetKey(list(path))


def atoms_of(symbols: Sequence[str], sleeve: SleeveProfile) -> list[Atom]:
    """Those symbols under the sleeve's logic, in its direction."""
    return [Atom(symbol, sleeve.logic, sleeve.direction) for symbol in symbols]
