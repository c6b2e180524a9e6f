"""Group market: bars, who may be held, and the ratings of those who may."""

from collections.abc import Sequence
from datetime import date

import dagster as dg
import numpy as np
import polars as pl

from assets.corroboration import corroboration_stage
from assets.freshness import DAILY
from assets.gates import bars_gates
from assets.keys import KNOWN_BARS, RATINGS, UNIVERSE, key
from assets.known_bars import known_bars_asset, observe
from assets.partitioned import Compute, Partition, Stage, blocked, cash, inherited, rules_of, version_of
from resources.lake import BARS, CORROBORATION, Lake
from resources.lanes import BARS as BARS_LANE
from resources.store import Store
from resources.warehouse import write_warehouse
from sleevegraph.bars import MergeReport
from sleevegraph.errors import LakeError, SleevegraphError
from sleevegraph.listings import rate_listings
from sleevegraph.manifest import MarketProfile
from sleevegraph.ratings import VOTES
from sleevegraph.universe import SCHEMA as UNIVERSE_SCHEMA
from sleevegraph.universe import passing, universe

RATINGS_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "date": pl.Date(),
        **dict.fromkeys(("recommend_all", "recommend_ma", "recommend_other"), pl.Float64()),
        **dict.fromkeys(VOTES, pl.Int8()),
    }
)
OWNER = "market"


def market_assets(market: MarketProfile) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Bars, and the warehouse over the lake: what is not on the grid."""
    return [_daily_bars(market), known_bars_asset(), _warehouse()]


def market_stages(market: MarketProfile) -> list[Stage]:
    """What else is known of the bars, who may be held, and ratings."""
    return [corroboration_stage(market), _universe(market), _technical_ratings(market)]


def _daily_bars(market: MarketProfile) -> dg.AssetsDefinition:
    @dg.asset(
        key=list(BARS),
        group_name="market",
        kinds={"polars", "parquet"},
        pool=BARS_LANE,
        freshness_policy=DAILY,
        owners=[f"team:{OWNER}"],
        code_version=version_of(rules_of(market, "exchange", "symbols.quotes")),
    )
    def daily_bars(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
        """Daily OHLCV bars of every symbol, merged into monthly files; the newest record of a bar wins."""
        try:
            source = store.source(market)
            incoming = source.fetch(store.lake.known_bars() if store.lake.has_bars() else None)
            store.record_source(source)
            report = store.lake.store_bars(incoming, whole=source.whole)
            observed = list(observe(context.instance, store.lake))
        except SleevegraphError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        context.log.info("%s: %s added, %s revised", source.describe(), report.added, report.revised)
        for observation in observed:
            context.log_event(observation)
        if source.incomplete():
            # Loud, and not stuck: what came is stored, and a file that never comes holds back nobody else's bars.
            raise dg.Failure(source.incomplete(), allow_retries=False)
        metadata = {**_bars_metadata(store.lake, report), "rebalances_observed": len(observed), **source.figures()}
        return dg.MaterializeResult(
            metadata={"source": source.describe(), **metadata},
            data_version=dg.DataVersion(store.lake.bars_digest(date.max)),
        )

    return daily_bars


def _bars_metadata(lake: Lake, report: MergeReport) -> dict[str, object]:
    bars = lake.known_bars()
    gaps = bars.filter(pl.col("date").diff().over("symbol") > pl.duration(days=1)).height
    derived = int(bars["quote_volume_derived"].sum())
    return {
        "dagster/row_count": bars.height,
        "symbols": bars["symbol"].n_unique(),
        "first_bar": str(bars["date"].min()),
        "last_bar": str(bars["date"].max()),
        "digest": lake.bars_digest(date.max),
        "gaps": gaps,
        "added": report.added,
        "revised": report.revised,
        "withdrawn": report.withdrawn,
        "quote_volume": f"close x volume for {derived} of {bars.height} bars, as given for the rest",
    }


def _universe(market: MarketProfile) -> Stage:
    def prepare(store: Store, days: Sequence[date]) -> Compute:
        panel = store.lake.panel_before(max(days))

        def compute(at: date) -> Partition:
            frame = universe(panel.before(at), at, market.universe)
            if frame.is_empty():
                return blocked(f"no bar before {at}: the first is of {panel.dates[0]}")
            drops = frame.filter(~pl.col("eligible"))["rule"].value_counts(sort=True)
            counts = dict(drops.iter_rows())
            return Partition(
                frame, {"eligible": int(frame["eligible"].sum()), "symbols": frame.height, "drops": counts}
            )

        return compute

    return Stage(
        UNIVERSE,
        "market",
        UNIVERSE_SCHEMA,
        [key(KNOWN_BARS), key(CORROBORATION)],  # the check on the universe judges both
        prepare,
        description="Who may be held at P, and for every other symbol the first rule that says no.",
        rules=rules_of(market, "universe"),
        owner=OWNER,
        before_gates=True,
    )


def _technical_ratings(market: MarketProfile) -> Stage:
    def prepare(store: Store, days: Sequence[date]) -> Compute:
        bars = store.lake.bars_before(max(days))
        rated = rate_listings(bars, market.universe.max_return).sort("date", "symbol")
        dates = rated["date"].to_numpy()

        def compute(at: date) -> Partition:
            standing = inherited(store.lake, UNIVERSE, str(at))
            if standing:
                return standing
            asked = passing(store.lake.read(UNIVERSE, str(at)))
            if asked.is_empty():
                return cash("no symbol is eligible")
            # A rating depends on this symbol's bars up to its own date only, so rows dated < P are what P may see.
            known = rated.head(int(np.searchsorted(dates, np.datetime64(at, "D"))))
            newest = known.group_by("symbol", maintain_order=True).last()
            frame = newest.join(asked.select("symbol"), on="symbol", how="semi").sort("symbol")
            return Partition(frame.select(RATINGS_SCHEMA.names()), {"rated": frame.height})

        return compute

    return Stage(
        RATINGS,
        "market",
        RATINGS_SCHEMA,
        [key(KNOWN_BARS), key(UNIVERSE)],
        prepare,
        gates=bars_gates(market),
        description="TradingView technical ratings at P of the symbols that some sleeve may hold: three recommendations, 26 votes.",
        rules=rules_of(market, "universe.max_return"),
        owner=OWNER,
    )


def _warehouse() -> dg.AssetsDefinition:
    @dg.asset(
        deps=[dg.AssetKey(list(BARS))], group_name="market", kinds={"duckdb"}, pool=BARS_LANE, owners=[f"team:{OWNER}"]
    )
    def warehouse(store: Store) -> dg.MaterializeResult[None]:
        """DuckDB views over both lakes, for any SQL client that opens the file read-only."""
        try:
            folders = store.folders
            views = write_warehouse(folders.warehouse, folders.lake, folders.market)
        except LakeError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        reads = {"reads": f"{folders.lake}, with DuckDB's extension httpfs"} if folders.objects else {}
        return dg.MaterializeResult(metadata={"views": views, "dagster/uri": str(folders.warehouse), **reads})

    return warehouse
