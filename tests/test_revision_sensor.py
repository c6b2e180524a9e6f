from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.test_utils import freeze_time

from assets.certification_board import BOARD
from assets.keys import UNIVERSE
from resources.lake import CORROBORATION
from sensors.revision import DELAYS, TAG
from tests.homes import KEYS, LONG, TemporaryHome, copied_home, made_home, remove_homes, small_definitions, small_market
from tests.ticks import moment, on_record, tick

NAME = "revision_sensor"
GATE = (UNIVERSE, "bars_complete")
BEFORE_THIRD = date(2022, 2, 25)
"""A day that the last two of KEYS saw, and the first two did not."""


@pytest.fixture
def home(_universes: Path) -> Iterator[TemporaryHome]:
    """A copy of one's own of a home that has universe, gate on bars and board of KEYS."""
    own = copied_home(_universes, small_definitions())
    yield own
    remove_homes([own])


@pytest.fixture(scope="module")
def _universes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = made_home(small_definitions(), tmp_path_factory.mktemp("universes") / "home")
    home.ingest(small_market())
    judged(home, *KEYS)
    for key in KEYS:
        home.store.lake.write(BOARD, key, pl.DataFrame({"planted": [1]}))
    home.close()
    return home.root


def judged(home: TemporaryHome, *keys: str) -> None:
    """What the bars before some rebalances decide first, and the verdict on them."""
    assert home.run(*keys, assets=[CORROBORATION, UNIVERSE], checks=[GATE]).success


def revised_at(home: TemporaryHome, at: str, factor: float = 1.01) -> None:
    """Ingest bars of which one volume is another one than before."""
    one = (pl.col("date") == BEFORE_THIRD) & (pl.col("symbol") == "BINANCE:SIM003USDT")
    volume = pl.when(one).then(pl.col("volume") * factor).otherwise(pl.col("volume"))
    with freeze_time(moment(at)):
        assert home.ingest(small_market().with_columns(volume)).success


def request(home: TemporaryHome, at: str) -> dg.RunRequest:
    (found,), *_ = tick(home, NAME, at)
    return found


def said(home: TemporaryHome, at: str) -> str:
    requests, text, _ = tick(home, NAME, at)
    assert not requests
    return text


def test_bars_that_nobody_revised_and_bars_that_were_appended_launch_nothing(home: TemporaryHome) -> None:
    assert said(home, "2022-03-18") == "no stored rebalance was decided on bars that were revised since"
    later = small_market().filter(pl.col("date") == date(2022, 3, 16)).with_columns(date=date(2022, 3, 17))
    home.ingest(pl.concat([small_market(), later]))
    assert said(home, "2022-03-18").startswith("no stored rebalance")


def test_a_revision_is_run_once_from_the_first_rebalance_that_saw_the_day_to_the_last_and_then_is_done(
    home: TemporaryHome,
) -> None:
    revised_at(home, "2022-03-18T12:00")
    assert said(home, "2022-03-18T12:29") == (
        f"bars before {KEYS[2]} were revised, which touches 2 rebalances up to {KEYS[3]}; "
        "waits until no bars have come for 30 min"
    )
    asked = request(home, "2022-03-18T12:30")
    span = asked.tags["dagster/asset_partition_range_start"], asked.tags["dagster/asset_partition_range_end"]
    assert span == (KEYS[2], KEYS[3])
    assert asked.tags["dagster/max_retries"] == "0"
    assert request(home, "2022-03-18T13:00").run_key == asked.run_key
    judged(home, KEYS[2], KEYS[3])
    assert said(home, "2022-03-18T14:00").startswith("no stored rebalance")


def test_it_waits_for_a_rebalance_or_an_ingest_in_progress(home: TemporaryHome) -> None:
    revised_at(home, "2022-03-18T12:00")
    ingest = on_record(home, dg.DagsterRunStatus.STARTED, "2022-03-18T12:40", job="ingest")
    assert said(home, "2022-03-18T13:00").endswith("waits: an ingest is in progress")
    home.instance.report_run_canceled(home.instance.get_runs(dg.RunsFilter([ingest]))[0])
    on_record(home, dg.DagsterRunStatus.STARTED, "2022-03-18T12:40", partition=KEYS[3])
    assert said(home, "2022-03-18T13:00").endswith(f"waits: {KEYS[3]} is in progress")


def test_a_failed_one_is_tried_again_with_back_off_and_then_one_alert_and_another_revision_begins_anew(
    home: TemporaryHome,
) -> None:
    revised_at(home, "2022-03-18T12:00")
    at: datetime = moment("2022-03-18T13:00")
    for attempt, delay in enumerate((*DELAYS, timedelta(0)), 1):
        asked = request(home, f"{at:%Y-%m-%dT%H:%M}")
        assert str(asked.run_key).endswith(f":{attempt}")
        failed(home, at, asked.tags[TAG])
        at += delay
    requests, text, cursor = tick(home, NAME, "2022-03-18T16:00")
    assert not requests
    assert "failed 4 times; look at run" in text
    assert tick(home, NAME, "2022-03-18T17:00", cursor)[1] == text
    with home.store.alerts.writing() as connection:
        assert [tuple(row) for row in connection.execute("SELECT kind, count FROM facts")] == [("rebalance_gave_up", 1)]
    revised_at(home, "2022-03-18T18:00", 1.02)
    assert str(request(home, "2022-03-18T19:00").run_key).endswith(":1")


def failed(home: TemporaryHome, at: datetime, revision: str) -> None:
    run_id = on_record(home, dg.DagsterRunStatus.FAILURE, f"{at:%Y-%m-%dT%H:%M}")
    home.instance.add_run_tags(run_id, {TAG: revision})


@pytest.mark.parametrize(("kept", "first"), [(KEYS[2:], KEYS[0]), (KEYS[1:], KEYS[2])])
def test_a_revision_before_which_all_was_pruned_is_run_from_the_first_rebalance(
    home: TemporaryHome, kept: tuple[str, ...], first: str
) -> None:
    revised_at(home, "2022-03-17")
    for name, keys in (("winners", KEYS), ("candidates", kept)):
        for key in keys:
            home.store.lake.write((LONG, name), key, pl.DataFrame({"planted": [1]}))
    assert request(home, "2022-03-18").tags["dagster/asset_partition_range_start"] == first
