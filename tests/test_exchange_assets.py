"""What Dagster makes of the exchange beside the daily bars, and what a restated file makes stale."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.exchange import MONTHS
from profiles.load import load_manifest
from resources.binance.source import EXCHANGE_INFO
from resources.grid import GRID
from resources.holdings import Holding
from resources.store import SOURCE_VARIABLE
from sleevegraph.calendar import grid_dates
from sleevegraph.errors import LakeError
from sleevegraph.market_data.datasets import DATASETS
from sleevegraph.market_data.exchange_info import SCHEMA
from tests.exchange_homes import history, ingest, restate, scope
from tests.homes import KEYS, TemporaryHome, cause, environment, small_market
from tests.replica import markets
from tests.replica.build import build
from tests.replica.handle import Replica
from tests.test_staleness import stale

NewHome = Callable[[], TemporaryHome]
TWO = scope("BTCUSDT,ETHUSDT")
NEWEST = str(MONTHS.get_last_partition_key())[:7]
"""The month in which this is run: a range that ends with it ends with all there is."""
LAST_CLOSED = {"spot_klines_1h": datetime(2025, 2, 10, 12, tzinfo=UTC)}
"""Of what REST is asked for, at SMALL_NOW; the rest ends with the archive."""


def had(dataset: str, *months: str) -> pl.DataFrame:
    """Rows of BTCUSDT and ETHUSDT that archive and exchange have of these months, by the definition of each file."""
    rows = markets.small_market()[dataset].filter(pl.col("symbol").is_in(["BTCUSDT", "ETHUSDT"]))
    moment = pl.nth(1)
    if dataset == "um_metrics":  # a day's file goes from 00:05 to 00:00 of the next day
        moment -= timedelta(minutes=5)
    end = datetime.combine(markets.SMALL_ARCHIVE_UNTIL, time(23, 59, 59), UTC)
    if dataset == "um_funding_rates":  # by the month alone
        end = datetime(2025, 1, 31, 23, 59, 59, tzinfo=UTC)
    within = (moment <= LAST_CLOSED.get(dataset, end)) & moment.dt.strftime("%Y-%m").is_in(months)
    return rows.filter(within).select(DATASETS[dataset].schema.names()).sort("symbol", pl.nth(1))


@pytest.mark.parametrize(
    ("dataset", "files"),
    [
        ("spot_klines_1h", {"2024-12": 2, "2025-01": 2, "2025-02": 16}),
        ("um_klines_1d", {"2024-12": 2, "2025-01": 2, "2025-02": 16}),
        ("um_funding_rates", {"2024-12": 2, "2025-01": 2, "2025-02": 0}),
        ("um_metrics", {"2024-12": 0, "2025-01": 14, "2025-02": 6}),
    ],
)
def test_months_of_a_dataset_hold_what_archive_and_exchange_have_of_them(
    replica: Replica, new_home: NewHome, dataset: str, files: dict[str, int]
) -> None:
    home, months = new_home(), list(files)
    assert history(home, replica, dataset, months[0], NEWEST, **TWO).success
    assert home.store.market_lake.rows(DATASETS[dataset]).equals(had(dataset, *months))
    said = {month: home.metadata((dataset,), f"{month}-01") for month in months}
    assert {month: said[month]["stored_files"] for month in said} == files
    assert {month: said[month]["stored_symbols"] for month in said} == {month: 2 * bool(files[month]) for month in said}
    for month in months:
        assert said[month]["dagster/row_count"] == had(dataset, month).height
    run, log = said[months[-1]], replica.log()
    assert run["files"] == log["requests"]["zip"] == sum(files.values())
    assert run["rows_added"] == home.store.market_lake.sources(DATASETS[dataset])["rows"].sum()
    assert ("time" in log["requests"]) == dataset.startswith("spot"), "futures come from the archive alone"
    replica.reset_log()
    assert history(home, replica, dataset, months[0], NEWEST).success
    assert set(replica.log()["requests"]) <= {"listing", "exchangeInfo", "time"}
    assert home.metadata((dataset,), "2025-02-01")["files_unchanged"] == sum(files.values())


def test_a_range_that_ends_earlier_takes_its_own_months_and_asks_for_nothing_newer(
    replica: Replica, new_home: NewHome
) -> None:
    home, dataset = new_home(), "spot_klines_1h"
    assert history(home, replica, dataset, "2024-10", "2024-11", **TWO).success
    assert home.store.market_lake.rows(DATASETS[dataset]).equals(had(dataset, "2024-11"))
    assert home.metadata((dataset,), "2024-10-01")["dagster/row_count"] == 0
    assert home.metadata((dataset,), "2024-11-01")["dagster/row_count"] == had(dataset, "2024-11").height
    assert "klines" not in replica.log()["requests"]


def test_the_digest_of_a_month_differs_once_a_file_or_a_bar_of_it_does_and_only_of_that_month(
    replica: Replica, new_home: NewHome
) -> None:
    home, dataset, months = new_home(), "spot_klines_1h", ("2024-12", "2025-01", "2025-02")

    def digests() -> dict[str, str]:
        assert history(home, replica, dataset, months[0], NEWEST, **TWO).success
        return {month: home.metadata((dataset,), f"{month}-01")["digest"] for month in months}

    first = digests()
    assert len(set(first.values())) == len(months)
    assert digests() == first
    rows = markets.small_market()[dataset].filter(
        pl.col("symbol") == "ETHUSDT", pl.col("open_time").dt.strftime("%Y-%m") == "2024-12"
    )
    key = "data/spot/monthly/klines/ETHUSDT/1h/ETHUSDT-1h-2024-12.zip"
    restate(replica, dataset, key, rows.with_columns(pl.col("volume") * 2))
    second = digests()
    assert [month for month in months if second[month] != first[month]] == ["2024-12"]
    replica.now(markets.SMALL_NOW + timedelta(hours=1))
    third = digests()
    assert [month for month in months if third[month] != second[month]] == ["2025-02"], "by one bar of REST"


def test_base_and_quote_are_those_of_the_newest_day_that_names_a_symbol_for_bars_and_coverage(
    replica: Replica, new_home: NewHome
) -> None:
    home = new_home()
    assert ingest(home, replica, "exchange_info").success
    lake, market = home.store.lake, load_manifest().market
    (day,) = lake.partitions(EXCHANGE_INFO)
    info = lake.read(EXCHANGE_INFO, day)
    split = pl.col("symbol") == "SPLITUSDT"

    def keep(days: int, rows: pl.DataFrame, quote: str) -> None:
        named = rows.with_columns(pl.lit("X").alias("base_asset"), pl.lit(quote).alias("quote_asset"))
        moment = info["as_of"][0] + timedelta(days=days)
        lake.write(EXCHANGE_INFO, str(moment.date()), named.with_columns(pl.lit(moment).alias("as_of")))

    keep(-2, info, "OLD")
    keep(-1, info.filter(split), "NEWER")
    lake.write(EXCHANGE_INFO, day, info.filter(~split & (pl.col("symbol") != "GONEUSDT")))
    with environment(**{SOURCE_VARIABLE: "binance"}):
        pairs = home.store.binance(market).pairs()
    assert pairs["SPLITUSDT"] == ("X", "NEWER")
    assert pairs["GONEUSDT"] == ("X", "OLD")
    assert pairs["BTCUSDT"] == ("BTC", "USDT")
    holding = Holding("spot_klines_1d", lake, home.store.market_lake)
    named = holding.names(sorted(pairs), market.symbols)
    assert {symbol: (base, quote) for symbol, base, quote in named.iter_rows()} == pairs
    path = lake.path(EXCHANGE_INFO, day)
    path.write_bytes(b"junk")
    with pytest.raises(LakeError, match=f"exchange_info {day}: "):
        holding.names(["BTCUSDT"], market.symbols)


def test_symbols_that_the_home_remembers_and_a_dataset_lacks_are_left_out_and_asked_for_now_they_are_an_error(
    replica: Replica, new_home: NewHome
) -> None:
    home, asked = new_home(), scope("BTCUSDT,GONEUSDT", "2024-12-01")
    assert ingest(home, replica, "daily_bars", **asked).success
    assert history(home, replica, "um_metrics", "2024-12", "2025-02").success
    assert home.store.market_lake.rows(DATASETS["um_metrics"])["symbol"].unique().to_list() == ["BTCUSDT"]
    failed = history(home, replica, "um_metrics", "2025-01", "2025-02", **scope("GONEUSDT"))
    assert cause(failed).startswith("--symbols: expected symbols that the exchange ever listed, found 'GONEUSDT'")


def test_the_exchange_s_symbols_are_kept_by_day_and_what_changed_since_an_earlier_day_is_said(
    replica: Replica, new_home: NewHome
) -> None:
    home = new_home()
    replica.now(datetime(2025, 1, 19, 13, tzinfo=UTC))
    assert ingest(home, replica, "exchange_info").success
    first = home.metadata(EXCHANGE_INFO)
    assert (first["compared_with"], first["changed"]) == ("no earlier day", 0)
    replica.now(markets.SMALL_NOW)
    # Bars first: their ingest keeps today's snapshot as well, and is nothing to compare with.
    assert ingest(home, replica, "daily_bars", **scope("BTCUSDT", "2025-02-01")).success
    assert ingest(home, replica, "exchange_info").success
    assert home.store.lake.partitions(EXCHANGE_INFO) == ["2025-01-19", "2025-02-10"]
    info = home.store.lake.read(EXCHANGE_INFO, "2025-02-10")
    assert info.schema == SCHEMA
    assert dict(info.select("symbol", "status").iter_rows()) == {
        symbol: "BREAK" if symbol == "GONEUSDT" else "TRADING" for symbol in markets.SMALL_SYMBOLS
    }
    said = home.metadata(EXCHANGE_INFO)
    assert said["as_of"].startswith("2025-02-10 13:")
    assert said["dagster/row_count"] == len(markets.SMALL_SYMBOLS)
    assert said["compared_with"].startswith("2025-01-19 13:")
    assert said["changed"] == 1
    assert said["changes"].splitlines()[2:] == ["| GONEUSDT | delisted | status | TRADING | BREAK |"]
    assert "| TRADING | 5 |" in said["statuses"]


def test_in_a_home_of_other_bars_the_job_passes_over_the_exchange(new_home: NewHome) -> None:
    home = new_home()
    assert home.ingest(small_market()).success
    job = home.defs.resolve_job_def("ingest").get_subset(asset_selection={dg.AssetKey("exchange_info")})
    result = home._execute(job, {})
    assert result.success
    assert not result.get_asset_materialization_events()
    assert home.store.lake.partitions(EXCHANGE_INFO) == []


LONG_NOW = datetime(2022, 3, 14, 12, tzinfo=UTC)
"""A replica's clock on simulated bars that end on 2022-03-16; the archive is a day behind it."""
READER = "universe"
"""An asset that reads bars; test_staleness names all of them."""


def klines() -> pl.DataFrame:
    """The simulated market of the homes as klines."""
    bars = small_market().with_columns(
        pl.col("symbol").str.strip_prefix("BINANCE:"),
        pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("open_time"),
    )
    return bars.select("symbol", "open_time", "open", "high", "low", "close", "volume", "quote_volume")


@pytest.fixture(scope="module")
def long_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long") / "tree"
    build(
        folder,
        {"spot_klines_1d": klines()},
        now=datetime(2022, 3, 17, tzinfo=UTC),
        daily_from=date(2022, 3, 1),
        packed=True,
    )
    return folder


def test_a_restated_file_makes_stale_the_rebalances_after_its_day_and_new_bars_make_none(
    long_tree: Path, new_home: NewHome
) -> None:
    home = new_home()
    with Replica(long_tree) as replica:
        replica.now(LONG_NOW)
        assert ingest(home, replica, "daily_bars").success
        first = small_market()["date"].min()
        assert isinstance(first, date)
        observed = [str(day) for day in grid_dates(first, LONG_NOW.date())]
        assert versions(home).keys() == set(observed)
        assert home.metadata(("daily_bars",))["rebalances_observed"] == len(observed)
        made = home.run(*KEYS, assets=[(READER,)])
        assert made.success, cause(made)
        assert stale_at(home) == set()
        before = versions(home)

        replica.now(datetime(2022, 3, 16, 12, tzinfo=UTC))
        assert ingest(home, replica, "daily_bars").success
        assert home.metadata(("daily_bars",))["added"] > 0
        assert versions(home) == before
        assert stale_at(home) == set()

        day = date(2022, 2, 19)
        (symbol, *_) = klines()["symbol"].unique().sort()
        month = klines().filter((pl.col("symbol") == symbol) & (pl.col("open_time").dt.strftime("%Y-%m") == "2022-02"))
        higher = (
            pl.when(pl.col("open_time").dt.date() == day).then(pl.col("quote_volume") * 1.01).otherwise("quote_volume")
        )
        restate(
            replica,
            "spot_klines_1d",
            f"data/spot/monthly/klines/{symbol}/1d/{symbol}-1d-2022-02.zip",
            month.with_columns(higher.alias("quote_volume")),
        )
        assert ingest(home, replica, "daily_bars").success
    after = versions(home)
    assert {key for key in before if before[key] != after[key]} == {key for key in before if key > str(day)}
    assert stale_at(home) == {key for key in KEYS if key > str(day)}


def versions(home: TemporaryHome) -> dict[str, str]:
    """The data version of `known_bars` by rebalance."""
    found = {}
    for partition in GRID.get_partition_keys():
        record = home.instance.get_latest_data_version_record(
            dg.AssetKey("known_bars"), is_source=True, partition_key=partition
        )
        if record and record.event_log_entry.asset_observation:
            found[partition] = dict(record.event_log_entry.asset_observation.tags)["dagster/data_version"]
    return found


def stale_at(home: TemporaryHome) -> set[str]:
    """Rebalances at which the UI shows READER as stale because of `known_bars`."""
    found = {key: causes for (name, key), causes in stale(home, "unchanged").items() if name == READER}
    assert all(causes == {("DATA", "known_bars")} for causes in found.values())
    return set(found)
