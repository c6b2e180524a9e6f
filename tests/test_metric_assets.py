"""Metrics as assets of a home that has four rebalances of the small market, and the warnings on them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.building import grid_assets
from assets.metrics import meta_metrics_stage, sleeve_metrics_stage
from checks.benchmark_beta import benchmark_beta_check
from checks.extreme_metrics import extreme_metrics_check
from checks.partitioned import partition_checks
from resources.lake import BARS, AssetPath
from resources.receipts import State
from resources.store import Store
from sleevegraph.manifest import RISK_PROFILES
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome, cause, copied_home, remove_homes, small_manifest

SLEEVES: Sequence[AssetPath] = ((LONG, "sleeve_metrics"), (SHORT, "sleeve_metrics"))
METAS: Sequence[AssetPath] = ((META, "meta_metrics"), (NESTED, "meta_metrics"))
HIT = KEYS[3]
"""The rebalance before which each ledger has earned thirty days, so that everything is measured."""
BTC = "BINANCE:BTCUSDT"


@cache
def definitions(benchmark: str = BTC) -> dg.Definitions:
    """The metrics of the small manifest and their checks, and nothing else."""
    manifest = small_manifest()
    market = manifest.market.model_copy(update={"benchmark_symbols": (benchmark,)})
    return dg.Definitions(
        assets=grid_assets(
            [
                *(sleeve_metrics_stage(sleeve, market) for sleeve in manifest.sleeves),
                *(meta_metrics_stage(meta, market) for meta in manifest.metas),
            ],
            {},
        ),
        asset_checks=partition_checks(
            [
                *(extreme_metrics_check(path) for path in (*SLEEVES, *METAS)),
                *(benchmark_beta_check(sleeve) for sleeve in manifest.sleeves),
            ],
            {},
        ),
        jobs=[dg.define_asset_job("rebalance")],
        resources={"store": Store()},
        executor=dg.in_process_executor,
    )


@pytest.fixture(scope="module")
def _with_metrics(_four_rebalances: Path) -> Iterator[Path]:
    """Root of a home with metrics of every rebalance, made in one range run."""
    made = copied_home(_four_rebalances, definitions())
    result = made.run(*KEYS)
    assert result.success, cause(result)
    made.close()
    yield made.root
    remove_homes([made])


@pytest.fixture
def measured(_with_metrics: Path) -> Iterator[TemporaryHome]:
    """A copy of one's own of that home."""
    own = copied_home(_with_metrics, definitions())
    yield own
    remove_homes([own])


def record_of(path: AssetPath) -> AssetPath:
    return (path[0], "track_record" if path in SLEEVES else "meta_track_record")


def bits(home: TemporaryHome, path: AssetPath) -> list[str]:
    return [home.store.lake.digest(path, key) for key in KEYS]


def test_metrics_say_what_the_ledgers_own_wealth_says(measured: TemporaryHome) -> None:
    for path in (*SLEEVES, *METAS):
        for position, key in enumerate(KEYS):
            rows = pl.concat(measured.read(record_of(path), earlier) for earlier in KEYS[: position + 1])
            found = measured.read(path, key).filter(
                (pl.col("horizon") == "record") & (pl.col("kind") == "risk_profile")
            )
            assert found["series"].to_list() == list(RISK_PROFILES)
            assert found["observations"].to_list() == [10 * position] * len(RISK_PROFILES)
            for profile, total, drawdown in found.select("series", "total_return", "max_drawdown").iter_rows():
                wealth = rows.filter(pl.col("profile") == profile)["equity"].to_numpy()
                assert total == pytest.approx(wealth[-1] - 1.0, abs=1e-12)
                assert drawdown == pytest.approx(np.min(wealth / np.maximum.accumulate(wealth)) - 1.0, abs=1e-12)


def test_the_benchmark_is_measured_from_the_bars_before_the_rebalance(measured: TemporaryHome) -> None:
    closes = measured.store.lake.bars_before(date.fromisoformat(HIT)).filter(pl.col("symbol") == BTC)["close"].to_list()
    for path in (*SLEEVES, *METAS):
        benchmark = measured.read(path, HIT).filter(pl.col("series") == BTC)
        assert dict(benchmark.select("horizon", "observations").iter_rows()) == {
            "window": 10,
            "lookback": 30,
            "record": 30,
        }
        earned = dict(benchmark.select("horizon", "total_return").iter_rows())
        assert earned["window"] == pytest.approx(closes[-1] / closes[-11] - 1.0)
        assert earned["record"] == pytest.approx(closes[-1] / closes[-31] - 1.0)


def test_a_partition_alone_is_the_same_to_the_bit_and_reads_no_later_record(measured: TemporaryHome) -> None:
    before = {path: bits(measured, path) for path in (*SLEEVES, *METAS)}
    for path in before:
        measured.plant(record_of(path), HIT, pl.col("ret") * 2.0)
    assert measured.run(KEYS[2], assets=list(before)).success
    assert {path: bits(measured, path) for path in before} == before


def test_a_record_that_changed_after_it_was_judged_is_refused(measured: TemporaryHome) -> None:
    measured.plant((LONG, "track_record"), HIT, pl.col("ret") * 2.0)
    result = measured.run(HIT, assets=[SLEEVES[0]])
    assert not result.success
    assert f"ledger_identities of {LONG}/track_record at {HIT}: the partition changed after it was judged" in cause(
        result
    )


def test_metadata_shows_hrp_beside_the_benchmark_and_counts_anomalies(measured: TemporaryHome) -> None:
    path = SLEEVES[1]
    rows = measured.read(path, HIT)
    metadata = measured.metadata(path, HIT)
    table = metadata["metrics"].splitlines()
    assert [line.split(" | ")[:2] for line in table[2:]] == [
        [f"| {series}", horizon] for series in ("hrp", BTC) for horizon in ("window", "lookback", "record")
    ]
    lookback = rows.row(by_predicate=(pl.col("series") == "hrp") & (pl.col("horizon") == "lookback"), named=True)
    assert metadata["hrp_beta"] == lookback["beta"]
    assert lookback["beta"] < 0.0
    assert metadata["anomalies"] == rows["anomalies"].list.len().sum()
    assert "hrp_beta" not in measured.metadata(path, KEYS[2]), "twenty days are too few for a beta"


def test_a_benchmark_without_bars_is_named_and_beta_is_not_measured(measured: TemporaryHome) -> None:
    other = replace(measured, defs=definitions("BINANCE:NONEUSDT"))
    assert other.run(*KEYS, assets=[SLEEVES[0]]).success
    found = other.read(SLEEVES[0], HIT)
    assert set(found["series"]) == set(RISK_PROFILES)
    assert found["beta"].is_null().all()
    assert other.metadata(SLEEVES[0], HIT)["benchmark_without_returns"] == ["BINANCE:NONEUSDT"]
    other.close()


def test_an_ingest_without_the_benchmark_leaves_a_gap_and_no_invented_return(measured: TemporaryHome) -> None:
    gap = (pl.col("symbol") == BTC) & (pl.col("date") == date(2022, 3, 5))
    measured.plant(BARS, "2022-03", rows=~gap)
    assert measured.run(HIT, assets=[SLEEVES[0]]).success
    benchmark = measured.read(SLEEVES[0], HIT).filter((pl.col("series") == BTC) & (pl.col("horizon") == "record"))
    assert benchmark["observations"].item() == 28, "neither the day itself nor the return across it"
    assert measured.read(SLEEVES[0], HIT)["beta"].is_null().all(), "28 joint days are too few"


EXTREME = (
    pl.when(pl.col("series") == "hrp").then(pl.lit(["|sharpe| 12 > 10"])).otherwise(pl.lit([], pl.List(pl.String)))
)
WARNINGS = {
    "an extreme metric of a sleeve": (
        SLEEVES[0],
        "extreme_metrics",
        EXTREME.alias("anomalies"),
        "EXTREME_METRIC: hrp/",
    ),
    "an extreme metric of a meta": (METAS[0], "extreme_metrics", EXTREME.alias("anomalies"), "EXTREME_METRIC: hrp/"),
    "a short sleeve that is long": (SLEEVES[1], "benchmark_beta", -pl.col("beta"), "BETA_SIGN: hrp"),
    "a long sleeve that is short": (SLEEVES[0], "benchmark_beta", pl.lit(-0.4).alias("beta"), "BETA_SIGN: hrp"),
}


@pytest.mark.parametrize("defect", WARNINGS)
def test_a_warning_shows_at_exactly_its_partition_and_fails_nobody(measured: TemporaryHome, defect: str) -> None:
    path, check, change, code = WARNINGS[defect]
    assert not measured.receipt(path, check, HIT).findings, "sound before it was planted"
    measured.plant(path, HIT, change)
    result = measured.run(*KEYS, checks=[(path, check)])
    assert result.success
    assert measured.evaluations(path, check, result.run_id) == {key: key != HIT for key in KEYS}
    (evaluation,) = [e for e in result.get_asset_check_evaluations() if e.partition == HIT]
    assert evaluation.severity is dg.AssetCheckSeverity.WARN
    receipt = measured.receipt(path, check, HIT)
    assert receipt.passed
    assert receipt.findings[0].startswith(f"WARN {code}")
    assert measured.store.receipts.state(path, check, HIT)[0] is State.PASSED
