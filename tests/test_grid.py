from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import dagster as dg
import pytest
from dagster._core.definitions.partitions.snap import PartitionsSnap, TimeWindowPartitionsSnap
from dagster._core.test_utils import freeze_time
from dagster_shared.serdes import deserialize_value, serialize_value
from hypothesis import given
from hypothesis import strategies as st

from assets.grid import PREVIOUS, reaching_back
from resources.grid import GRID
from sleevegraph.calendar import HORIZON, START, STEP_DAYS, grid_dates, on_grid, previous, require_on_grid
from sleevegraph.errors import ConfigurationError

AFTER_THE_END = datetime(2035, 1, 1, tzinfo=UTC)


def keys_until(now: datetime) -> list[str]:
    with freeze_time(now):
        return list(GRID.get_partition_keys())


def upstream(mapping: dg.TimeWindowPartitionMapping, key: str) -> list[str]:
    with freeze_time(AFTER_THE_END):
        subset = GRID.subset_with_partition_keys([key])
        found = mapping.get_upstream_mapped_partitions_result_for_partitions(subset, GRID, GRID)
        return sorted(found.partitions_subset.get_partition_keys())


def test_every_gap_of_the_whole_grid_is_ten_days() -> None:
    days = [date.fromisoformat(key) for key in keys_until(AFTER_THE_END)]
    assert days[0] == date(2020, 1, 1)
    assert days[-1] == date(2028, 12, 24)  # the next would be 2029-01-03
    assert {later - earlier for earlier, later in pairwise(days)} == {timedelta(days=10)}


def test_the_grid_of_dagster_is_the_calendar_of_the_library() -> None:
    assert keys_until(AFTER_THE_END) == [str(day) for day in grid_dates(START, HORIZON)]


def test_the_grid_survives_its_serialisation() -> None:
    snapshot = PartitionsSnap.from_def(GRID)
    text = serialize_value(snapshot)
    again = deserialize_value(text, PartitionsSnap)
    assert again == snapshot
    with freeze_time(AFTER_THE_END):
        restored = again.get_partitions_definition()
        assert restored == GRID
        assert list(restored.get_partition_keys()) == list(GRID.get_partition_keys())
        windows = [GRID.time_window_for_partition_key(key) for key in ("2020-01-01", "2024-02-29")]
        assert [restored.time_window_for_partition_key(key) for key in ("2020-01-01", "2024-02-29")] == windows


def test_the_grid_travels_without_its_exclusions_whoever_sends_it() -> None:
    """Dagster sends it with every asset and every check; 255 kB each were more than a hundred sleeves could have."""
    restored = PartitionsSnap.from_def(GRID).get_partitions_definition()
    assert type(restored) is dg.TimeWindowPartitionsDefinition  # the only class that is stored with a run
    copies = [GRID, restored, deserialize_value(serialize_value(restored), dg.TimeWindowPartitionsDefinition)]
    sent = {serialize_value(PartitionsSnap.from_def(grid)) for grid in copies}
    assert len(sent) == 1
    assert len(sent.pop()) < 500


def test_other_partitions_travel_as_ever() -> None:
    shifted = GRID.exclusions[1:] if GRID.exclusions else []
    other = dg.DailyPartitionsDefinition("2020-01-01", end_date="2029-01-01", exclusions=shifted)
    for definition in (other, dg.DailyPartitionsDefinition("2020-01-01"), dg.MonthlyPartitionsDefinition("2020-01-01")):
        snapshot = PartitionsSnap.from_def(definition)
        assert type(snapshot) is TimeWindowPartitionsSnap
        assert snapshot.exclusions == definition.exclusions


def test_the_horizon_is_a_year_away() -> None:
    left = HORIZON - datetime.now(tz=UTC).date()
    assert left >= timedelta(days=365), f"{left.days} days of grid are left; raise HORIZON in sleevegraph/calendar.py"


def test_raising_the_horizon_would_keep_history() -> None:
    longer = [START + timedelta(days=STEP_DAYS * i) for i in range(400)]
    assert longer[: len(grid_dates(START, HORIZON))] == grid_dates(START, HORIZON)


@pytest.mark.parametrize(
    ("now", "newest"),
    [
        (datetime(2022, 3, 1, 23, 59, tzinfo=UTC), "2022-02-19"),
        (datetime(2022, 3, 2, tzinfo=UTC), "2022-03-01"),
        (datetime(2022, 3, 11, 12, tzinfo=UTC), "2022-03-01"),
    ],
)
def test_a_rebalance_date_becomes_a_partition_when_its_day_is_over(now: datetime, newest: str) -> None:
    with freeze_time(now):
        assert GRID.get_last_partition_key() == newest


@pytest.mark.parametrize("key", ["2020-01-11", "2022-03-01", "2024-03-10", "2028-12-24"])
def test_previous_is_the_rebalance_ten_days_before(key: str) -> None:
    assert upstream(PREVIOUS, key) == [str(date.fromisoformat(key) - timedelta(days=10))]


def test_the_first_rebalance_has_no_previous_one() -> None:
    assert upstream(PREVIOUS, "2020-01-01") == []


def test_reaching_back_counts_rebalances_and_stops_at_the_first() -> None:
    assert upstream(reaching_back(2), "2022-03-01") == ["2022-02-09", "2022-02-19", "2022-03-01"]
    assert upstream(reaching_back(3), "2020-01-11") == ["2020-01-01", "2020-01-11"]


@given(st.dates(date(2019, 6, 1), date(2029, 6, 1)))
def test_a_day_is_on_the_grid_when_whole_steps_lead_to_it(day: date) -> None:
    steps, rest = divmod((day - date(2020, 1, 1)).days, 10)
    assert on_grid(day) == (rest == 0 and steps >= 0 and day < date(2029, 1, 1))
    assert on_grid(day) == (grid_dates(day, day) == [day])


@given(st.dates(date(2019, 6, 1), date(2029, 6, 1)), st.integers(0, 400))
def test_grid_dates_are_the_days_of_the_range_that_are_on_the_grid(first: date, length: int) -> None:
    days = [first + timedelta(days=i) for i in range(length + 1)]
    assert grid_dates(first, days[-1]) == [day for day in days if on_grid(day)]


def test_previous_of_the_library_is_one_step_back() -> None:
    assert previous(date(2022, 3, 1)) == date(2022, 2, 19)


def test_a_date_off_the_grid_is_refused_with_its_neighbours() -> None:
    assert require_on_grid(date(2022, 3, 1), "--on") == date(2022, 3, 1)
    with pytest.raises(ConfigurationError) as off:
        require_on_grid(date(2022, 3, 2), "--on")
    for part in ("--on", "10-day grid", "2020-01-01", "found 2022-03-02", "2022-03-01 and 2022-03-11"):
        assert part in str(off.value)


@pytest.mark.parametrize("day", [date(2019, 12, 22), date(2029, 1, 3)])
def test_a_date_outside_the_grid_is_refused_with_its_ends(day: date) -> None:
    with pytest.raises(ConfigurationError) as outside:
        require_on_grid(day, "--to")
    assert str(outside.value) == f"--to: expected a rebalance date in [2020-01-01, 2029-01-01), found {day}"
