"""Guarantee: at P the market's bars before P are complete enough to decide on."""

from datetime import date

import polars as pl

from assets.gates import bars_gates
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.lake import BARS, CORROBORATION
from resources.store import Store
from sleevegraph.completeness import bars_complete
from sleevegraph.manifest import MarketProfile
from sleevegraph.readiness.recorded import from_rows


def bars_complete_check(market: MarketProfile) -> PartitionCheck:
    """Judge the bars that the universe at P was made from."""

    def prepare(store: Store, keys: list[str]) -> Judge:
        bars = store.lake.bars_before(date.fromisoformat(keys[-1]))

        def judge(key: str) -> Judgement:
            at = date.fromisoformat(key)
            beside = from_rows(store.lake.read(CORROBORATION, key))
            findings, figures = bars_complete(bars.filter(pl.col("date") < at), at, market.completeness, beside)
            return Judgement(findings, {name: _plain(value) for name, value in figures.items()})

        return judge

    return PartitionCheck(
        *bars_gates(market),
        prepare,
        inputs=[BARS, CORROBORATION],
        description="No duplicates, OHLC order, fresh to P-1, no session or file missing (weekends are sessions), "
        "archive and REST agree, hours add up to days; gaps and outages are listed.",
    )


def _plain(value: object) -> object:
    return str(value) if isinstance(value, date) else value
