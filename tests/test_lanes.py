"""Which runs wait for which, and what the page calls late."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.instance.config import PoolGranularity

import definitions
from assets.freshness import DAILY, EVERY_REBALANCE
from resources.lanes import BARS, GRID, HISTORY, TAG
from tests.homes import META, NESTED, TemporaryHome, small_definitions, small_manifest


@pytest.mark.parametrize(("job", "lane"), [("ingest", BARS), ("history", HISTORY), ("rebalance", GRID)])
def test_every_step_of_a_job_is_in_its_lane_so_that_any_selection_of_it_is(job: str, lane: str) -> None:
    definition = small_definitions().resolve_job_def(job)
    assert definition.tags[TAG] == lane
    assert {str(node.definition.pool) for node in definition.graph.nodes} == {lane}


def test_what_writes_this_machines_files_runs_on_it_whatever_rebalances_are_run_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(definitions, "chosen_executor", lambda: dg.multiprocess_executor)
    defs = definitions.build_definitions(small_manifest())
    for job, executor in {"ingest": "in_process", "history": "in_process", "rebalance": "multiprocess"}.items():
        assert defs.resolve_job_def(job).executor_def.name == executor


def test_the_queue_lets_one_run_of_each_lane_go_and_three_in_all(new_home: Callable[[], TemporaryHome]) -> None:
    config = new_home().instance.get_concurrency_config()
    assert config.pool_config.pool_granularity is PoolGranularity.RUN
    assert config.pool_config.default_pool_limit == 1
    assert config.run_queue_config is not None
    assert config.run_queue_config.max_concurrent_runs == 3


def test_a_run_of_some_assets_without_a_job_of_ours_carries_its_lane(new_home: Callable[[], TemporaryHome]) -> None:
    home = new_home()
    chosen = [key for key in small_definitions().resolve_asset_graph().get_all_asset_keys() if key.path[0] == META]
    result = home.run("2022-03-11", assets=[tuple(key.path) for key in chosen][:1])
    (run,) = home.instance.get_runs(dg.RunsFilter([result.run_id]))
    assert run.run_op_concurrency is not None
    assert run.run_op_concurrency.all_pools == {GRID}


def test_an_ingest_goes_before_and_a_backfill_waits_behind_a_rebalance() -> None:
    priority = {
        job: small_definitions().resolve_job_def(job).tags.get("dagster/priority", "0")
        for job in ("ingest", "rebalance")
    }
    assert int(priority["ingest"]) > 5 > int(priority["rebalance"])


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        (("daily_bars",), DAILY),
        (("certification_board",), EVERY_REBALANCE),
        *(((meta, asset), EVERY_REBALANCE) for meta in (META, NESTED) for asset in ("flattened_weights", "trade_list")),
        ((META, "meta_weights"), None),
    ],
)
def test_what_must_be_fresh_has_a_policy_and_nothing_else(path: tuple[str, ...], policy: Any) -> None:
    specs = {spec.key: spec for spec in small_definitions().resolve_all_asset_specs()}
    assert specs[dg.AssetKey(list(path))].freshness_policy == policy


def test_a_rebalance_in_time_is_never_late_and_one_left_out_is() -> None:
    latest = timedelta(days=10 + 1)  # decided as soon as its day is over, ten days after the one before
    assert EVERY_REBALANCE.warn_window.to_timedelta() >= latest
    assert EVERY_REBALANCE.fail_window.to_timedelta() < timedelta(days=20)
    assert DAILY.warn_window.to_timedelta() > timedelta(days=1)
