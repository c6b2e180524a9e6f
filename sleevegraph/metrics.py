"""Performance of every risk profile and of the benchmark beside them, over three horizons (section 8)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import isfinite

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sleevegraph.anomalies import extremes
from sleevegraph.calendar import ANNUAL_DAYS, STEP_DAYS
from sleevegraph.errors import IdentityError
from sleevegraph.panel import Floats

Days = NDArray[np.datetime64]

MIN_OBSERVATIONS = 30
"""Below it only total return, maximum drawdown and turnover are given."""
LOOKBACK_WINDOWS = 24
HORIZONS: Mapping[str, int | None] = {"window": STEP_DAYS, "lookback": LOOKBACK_WINDOWS * STEP_DAYS, "record": None}
"""Days before P; None is everything since the ledger opened."""
FLAT = 1e-12
"""Returns that differ by less than this share of the largest one differ by rounding only: they do not vary."""

SCHEMA = pl.Schema(
    {
        "series": pl.String(),
        "kind": pl.String(),
        "horizon": pl.String(),
        "first": pl.Date(),
        "last": pl.Date(),
        "observations": pl.Int64(),
        "total_return": pl.Float64(),
        "cagr": pl.Float64(),
        "volatility": pl.Float64(),
        "sharpe": pl.Float64(),
        "sortino": pl.Float64(),
        "calmar": pl.Float64(),
        "max_drawdown": pl.Float64(),
        "cvar_95": pl.Float64(),
        "turnover": pl.Float64(),
        "beta": pl.Float64(),
        "correlation": pl.Float64(),
        "anomalies": pl.List(pl.String()),
    }
)
_VALUES = [name for name, dtype in SCHEMA.items() if dtype == pl.Float64()]


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    """One series over the days since the ledger opened; NaN where it has no return."""

    name: str
    kind: str
    returns: Floats
    turnover: Floats | None


def metrics(record: pl.DataFrame, benchmark: pl.DataFrame, at: date) -> pl.DataFrame:
    """Measure each risk profile and each benchmark symbol over each horizon that ends before `at`.

    No horizon begins before the ledger earned its first day, so that all series are measured over the same days.

    Parameters
    ----------
    record
        Track record [profile, date, ret, turnover], whose opening row has no return. Days from `at` on are not read.
    benchmark
        Daily returns [symbol, date, ret] of the benchmark symbols, without the days that have none. Beta and correlation
        are to the mean of all symbols, over the days that all of them have. Days from `at` on are not read.
    at
        The rebalance date.

    Returns
    -------
    pl.DataFrame
        Rows in `SCHEMA`: three horizons per series, risk profiles first. Values are raw; `first`, `last` and
        `observations` count days with a return; drawdown is at most 0 and begins at the wealth before the first day;
        CVaR is the mean of the worst 5 % of the days. Null is what was not measured: too few observations, returns that
        do not vary, or a value that is not finite, such as the Sortino ratio of a series that never fell. A Sharpe ratio
        that is infinite is null, too, but listed among the anomalies.

    Raises
    ------
    IdentityError
        A return that is not finite: a record without that day would be another one.
    """
    known, market = record.filter(pl.col("date") < at), benchmark.filter(pl.col("date") < at)
    earned = known.drop_nulls("ret")
    _require_finite(earned, "profile")
    _require_finite(market, "symbol")
    opened = earned["date"].min()
    days = np.arange(np.datetime64(opened if isinstance(opened, date) else at, "D"), np.datetime64(at, "D"))
    parts, passive = _parts(earned, "profile"), _parts(market, "symbol").items()
    idle = earned.clear()
    active = [(name, parts.get(name, idle)) for name in known["profile"].unique(maintain_order=True)]
    series = [
        *(_Series(name, "risk_profile", _daily(p, "ret", days), _daily(p, "turnover", days)) for name, p in active),
        *(_Series(name, "benchmark", _daily(p, "ret", days), None) for name, p in passive),
    ]
    held = [one.returns for one in series if one.turnover is None]
    mean = np.mean(held, axis=0) if held else np.full(len(days), np.nan)
    return pl.DataFrame([_row(one, horizon, days, mean) for one in series for horizon in HORIZONS], schema=SCHEMA)


def _require_finite(rows: pl.DataFrame, name: str) -> None:
    finite = rows["ret"].is_finite()
    if not finite.all():
        day, who, found = rows.filter(~finite).select("date", name, "ret").row(0)
        raise IdentityError(f"metrics: expected finite returns, found {found} of {who} on {day}")


def _parts(rows: pl.DataFrame, name: str) -> dict[str, pl.DataFrame]:
    return {str(key): part for (key,), part in rows.partition_by(name, as_dict=True).items()}


def _daily(rows: pl.DataFrame, value: str, days: Days) -> Floats:
    """The value on each of the days, which follow one another; NaN where there is none."""
    found = np.full(len(days), np.nan)
    if len(days):
        day = (rows["date"].to_numpy().astype("datetime64[D]") - days[0]).astype(np.intp)
        found[day[day >= 0]] = rows[value].to_numpy()[day >= 0]
    return found


def _row(series: _Series, horizon: str, days: Days, market: Floats) -> dict[str, object]:
    length = HORIZONS[horizon]
    cut = slice(0 if length is None else max(len(days) - length, 0), None)
    returns, seen = series.returns[cut], np.isfinite(series.returns[cut])
    measured = _performance(returns[seen])
    if series.turnover is not None:
        measured |= {"turnover": float(np.nansum(series.turnover[cut]))}
        joint = seen & np.isfinite(market[cut])
        measured |= _against(returns[joint], market[cut][joint])
    values = {name: value if isfinite(value) else None for name, value in measured.items()}
    observed = days[cut][seen]
    return {
        "series": series.name,
        "kind": series.kind,
        "horizon": horizon,
        "first": observed[0].item() if len(observed) else None,
        "last": observed[-1].item() if len(observed) else None,
        "observations": len(observed),
        **dict.fromkeys(_VALUES),
        **values,
        "anomalies": extremes(horizon, measured),
    }


def _performance(returns: Floats) -> dict[str, float]:
    """Metrics of one series (T,) by name; only the first two below `MIN_OBSERVATIONS`."""
    import empyrical  # noqa: PLC0415 - takes a second, because it imports pandas and scipy.stats

    if not len(returns):
        return {"total_return": 0.0, "max_drawdown": 0.0}
    measured = {"total_return": empyrical.cum_returns_final(returns), "max_drawdown": empyrical.max_drawdown(returns)}
    if len(returns) >= MIN_OBSERVATIONS:
        measured |= {
            "cagr": empyrical.cagr(returns, annualization=ANNUAL_DAYS),
            "volatility": empyrical.annual_volatility(returns, annualization=ANNUAL_DAYS),
            "sharpe": empyrical.sharpe_ratio(returns, annualization=ANNUAL_DAYS),
            "sortino": empyrical.sortino_ratio(returns, annualization=ANNUAL_DAYS),
            "calmar": empyrical.calmar_ratio(returns, annualization=ANNUAL_DAYS),
            "cvar_95": empyrical.conditional_value_at_risk(returns, cutoff=0.05),
        }
    return {name: float(value) for name, value in measured.items()}


def _against(returns: Floats, market: Floats) -> dict[str, float]:
    """Beta and correlation over the same days; none below `MIN_OBSERVATIONS` and of returns that do not vary.

    The library itself gives no beta to a market that does not.
    """
    import empyrical  # noqa: PLC0415 - see above

    if len(returns) < MIN_OBSERVATIONS or np.ptp(returns) <= FLAT * np.abs(returns).max():
        return {}
    beta = float(empyrical.beta_aligned(returns, market))
    return {"beta": beta, "correlation": beta * float(np.std(market) / np.std(returns))}
