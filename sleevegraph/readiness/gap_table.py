"""Which bars are missing inside a symbol's life, and whether the exchange or the symbol stood still."""

from datetime import timedelta

import polars as pl

from sleevegraph.readiness.gaps import gaps


def gap_table(times: pl.DataFrame, step: timedelta, outages: pl.DataFrame) -> pl.DataFrame:
    """Every gap of every symbol, the largest first.

    Parameters
    ----------
    times
        [symbol, open_time] of the bars, in any order.
    step
        From one bar to the next.
    outages
        [from, to] of the exchange's outages, ascending and apart.

    Returns
    -------
    pl.DataFrame
        [symbol, from, to, missing, kind], sorted by missing (descending), symbol and from. `kind` is `outage` where the
        whole gap lies inside one of `outages`, else `gap`: the symbol alone, as in a halt or when another coin takes
        over its ticker.
    """
    return with_kind(gaps(times, step), outages)


def with_kind(gaps_found: pl.DataFrame, outages: pl.DataFrame) -> pl.DataFrame:
    """The same from gaps that are known already: [symbol, from, to, missing]."""
    stood_still = outages.select(pl.col("from").alias("outage_from"), pl.col("to").alias("outage_to"))
    return (
        gaps_found.sort("from")
        .join_asof(stood_still, left_on="from", right_on="outage_from", strategy="backward")
        .with_columns(kind=pl.when(pl.col("outage_to") >= pl.col("to")).then(pl.lit("outage")).otherwise(pl.lit("gap")))
        .select("symbol", "from", "to", "missing", "kind")
        .sort("missing", "symbol", "from", descending=[True, False, False])
    )
