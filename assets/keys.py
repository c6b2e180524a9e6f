"""How sleeves and metas name their assets, and which checks gate each of them."""

from collections.abc import Sequence
from datetime import date

import dagster as dg
import polars as pl

from assets.market import UNIVERSE
from resources.lake import AssetPath
from resources.store import Store
from sleevegraph.atoms import Atom
from sleevegraph.manifest import SleeveProfile

BARS_CHECKS = ("bars_complete",)
STREAMS_CHECKS = ("directional_sign_test",)
CELLS_CHECKS = ("solver_failure_rate",)
WEIGHTS_CHECKS = ("directional_sign_test", "weight_sanity")
"""What must have passed on universe, synthetic_returns, solver_cells and risk_weights before anybody may use them."""


def stage(portfolio: str, asset: str) -> AssetPath:
    """Lake path and asset key of one stage of a sleeve or meta."""
    return (portfolio, asset)


def key(path: AssetPath) -> dg.AssetKey:
    """Asset key of a lake path."""
    return dg.AssetKey(list(path))


def atoms_of(symbols: Sequence[str], sleeve: SleeveProfile) -> list[Atom]:
    """Those symbols under the sleeve's logic, in its direction."""
    return [Atom(symbol, sleeve.logic, sleeve.direction) for symbol in symbols]


def eligible(store: Store, at: date) -> pl.DataFrame:
    """Rows of the universe that may be held."""
    return store.lake.read(UNIVERSE, str(at)).filter("eligible")
