"""Group market: what else is known of the bars before P, kept as it was known when the rebalance was made."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from assets.keys import KNOWN_BARS, key
from assets.partitioned import Compute, Partition, Stage, rules_of
from resources.evidence import evidence_before, fetched
from resources.lake import CORROBORATION
from resources.store import Store
from sleevegraph.bars import BAR_SCHEMA
from sleevegraph.manifest import MarketProfile
from sleevegraph.readiness.corroboration import corroborate
from sleevegraph.readiness.recorded import SCHEMA, to_rows

OWNER = "market"


def corroboration_stage(market: MarketProfile) -> Stage:
    """Build the asset whose rows `bars_complete` judges beside the bars.

    Archive and exchange go on answering after P: files are mended, a bar of the REST API is replaced by the archive's. A
    rebalance that is computed again elsewhere, without what was fetched, therefore keeps the rows that it has.
    """

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        known = store.lake.bars_before(max(days)) if fetched(store) else BAR_SCHEMA.to_frame()

        def compute(at: date) -> Partition:
            bars = known.filter(pl.col("date") < at)
            if not bars.is_empty():
                beside = corroborate(bars, at, market.completeness.max_defect_share, evidence_before(store, at))
                return Partition(to_rows(beside), {"findings": len(beside.findings), **beside.figures})
            if store.lake.has(CORROBORATION, str(at)):
                return Partition(store.lake.read(CORROBORATION, str(at)))
            return Partition(to_rows(None), {"evidence": "none beside the bars themselves"})

        return compute

    return Stage(
        CORROBORATION,
        "market",
        SCHEMA,
        [key(KNOWN_BARS)],
        prepare,
        description="Archive against REST, hours against days, files and listings against bars: what agrees and what does not.",
        rules=rules_of(market, "completeness.max_defect_share"),
        owner=OWNER,
        before_gates=True,
    )
