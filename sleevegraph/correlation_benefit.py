"""What a meta gains from children that do not move together: its volatility against those of its children."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
import polars as pl

from sleevegraph.calendar import ANNUAL_DAYS
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.metrics import FLAT
from sleevegraph.panel import Floats

BENEFITS_SCHEMA = pl.Schema(
    {
        "profile": pl.String(),
        "meta": pl.Float64(),
        "best_child": pl.String(),
        "best": pl.Float64(),
        "mean": pl.Float64(),
        "against_best": pl.Float64(),
        "against_mean": pl.Float64(),
    }
)


@dataclass(frozen=True, slots=True)
class CorrelationBenefit:
    """Annualised volatilities over one joint window, and what the meta has less of; None where there is none."""

    meta: float | None
    best_child: str | None
    """The child of lowest volatility, the first by name of several."""
    best: float | None
    mean: float | None
    """Plain mean over the children, whatever they weigh."""
    against_best: float | None
    """1 - meta / best; below zero where the best child alone would have been calmer. None when best is zero."""
    against_mean: float | None
    """1 - meta / mean. None when mean is zero."""


NO_BENEFIT = CorrelationBenefit(None, None, None, None, None, None)


def volatility(returns: Floats) -> Floats:
    """Annualised standard deviation (N,) of daily returns (T, N) with T >= 2; exactly zero of one that does not vary."""
    centred = returns - returns.mean(axis=0)
    deviation = np.sqrt(np.einsum("ti,ti->i", centred, centred) / (len(returns) - 1))
    flat = np.ptp(returns, axis=0) <= FLAT * np.abs(returns).max(axis=0)
    return np.where(flat, 0.0, deviation * np.sqrt(ANNUAL_DAYS))


def correlation_benefit(children: Mapping[str, float | None], meta: float | None) -> CorrelationBenefit:
    """Compare the volatility of a meta with those of its children over the same days.

    A child or a meta without a volatility is one without a window: then nothing can be said.
    """
    known = {name: value for name, value in sorted(children.items()) if value is not None}
    if meta is None or not known or len(known) < len(children):
        return NO_BENEFIT
    best_child = min(known, key=known.__getitem__)
    best, mean = known[best_child], sum(known.values()) / len(known)
    return CorrelationBenefit(meta, best_child, best, mean, _less(meta, best), _less(meta, mean))


def benefits(rows: pl.DataFrame) -> pl.DataFrame:
    """`BENEFITS_SCHEMA` of every risk profile in the rows of a meta (`meta_book.WEIGHTS_SCHEMA`)."""
    found = []
    for profile in RISK_PROFILES:
        own = rows.filter(pl.col("profile") == profile)
        if own.height:
            children = dict(own.select("child", "volatility").iter_rows())
            found.append((profile, *astuple(correlation_benefit(children, own["meta_volatility"][0]))))
    return pl.DataFrame(found, schema=BENEFITS_SCHEMA, orient="row")


def _less(meta: float, other: float) -> float | None:
    return 1.0 - meta / other if other > 0.0 else None
