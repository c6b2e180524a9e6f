"""A small market for signals, and signals as functions that are loaded anew."""

from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from profiles.signals import resolved
from sleevegraph.bars import BAR_SCHEMA
from sleevegraph.manifest import SignalRules
from sleevegraph.signals import Function, Scores
from tests.markets import bars_of, walk

AT = date(2023, 6, 10)
NAMES = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
MODULE = {name: f"sleevegraph.signals.{name}:signal" for name in ("momentum", "low_volatility", "liquidity")}


@cache
def market() -> pl.DataFrame:
    """Six walks of 200 days up to the day before AT, one of them listed late and one with gaps."""
    closes = {name: walk(200, seed, 0.02 + 0.01 * seed) for seed, name in enumerate(NAMES)}
    closes["EEE"] = np.where(np.arange(200) < 150, np.nan, closes["EEE"])
    closes["FFF"] = np.where(np.isin(np.arange(200), (160, 161, 180)), np.nan, closes["FFF"])
    frame = bars_of(closes, date(2023, 6, 9), {name: 1e6 * (i + 1) for i, name in enumerate(NAMES)})
    return frame.with_columns(quote_volume_derived=pl.lit(value=True)).select(BAR_SCHEMA.names()).sort("symbol", "date")


def signal_of(rules: Mapping[str, object], folder: Path = Path()) -> Function | Scores:
    """The signal of a logic `own`."""
    return resolved("own", SignalRules(**rules), folder)


def written(folder: Path, *lines: str) -> Function:
    """A signal whose function has those lines after some imports, in a file beside the profiles."""
    (folder / "sleeves").mkdir(exist_ok=True)
    head = ("from datetime import timedelta", "import numpy as np", "import polars as pl", "")
    (folder / "sleeves" / "own.py").write_text("\n".join([*head, *lines, ""]))
    found = signal_of({"function": "own.py:signal"}, folder)
    assert isinstance(found, Function)
    return found


def body(*lines: str) -> tuple[str, ...]:
    """Lines of a function that has `known`, the rows before `at`."""
    start = ("def signal(bars, at):", "known = bars.filter(pl.col('date') < at).sort('symbol', 'date').collect()")
    return (start[0], *(f"    {line}" for line in (start[1], *lines)))


LAST_CLOSE = "return known.group_by('symbol').agg(score=pl.col('close').last()).sort('symbol')"

Example = Callable[..., pl.DataFrame]
