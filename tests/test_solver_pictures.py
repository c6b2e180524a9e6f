"""Pictures of the tournament: drawn from what is stored, in colours that say what happened, small enough to keep."""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from matplotlib import image
from matplotlib.colors import to_rgb

from assets.solver_pictures import COLOURS, IDLE, WINDOWS, status_picture, weights_over_time_picture
from resources.lake import Lake, Status
from sleevegraph import risk_weights, solver_cells
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.track_record import CASH
from tests.homes import KEYS, LONG, TemporaryHome

CELLS, WEIGHTS = (LONG, "solver_cells"), (LONG, "risk_weights")
ENGINES = ("native", "skfolio", "riskfolio")
LARGEST_BASE64 = 250_000
"""Bytes that an event may hold, so that the event log stays small and the page quick."""
DARK, LONG_LINE = 110, 60
"""Brightness below which a pixel is a line's, and the length in pixels above which a line is the side of a panel."""
STATUSES = tuple(status for status in COLOURS if status != "no record")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def pixels(metadata: Mapping[str, object]) -> np.ndarray:
    """(height, width, 3) of the one PNG that the metadata's markdown shows, as bytes."""
    (found,) = re.findall(r"^!\[[^\]]+\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)$", metadata["picture"].md_str)
    return np.round(image.imread(BytesIO(base64.b64decode(found, validate=True)))[:, :, :3] * 255).astype(int)


def base64_size(metadata: Mapping[str, object]) -> int:
    return len(metadata["picture"].md_str)


def mask(shown: np.ndarray, colour: object) -> np.ndarray:
    """Where exactly this colour is."""
    return (shown == np.round(np.array(to_rgb(colour)) * 255).astype(int)).all(axis=2)


def areas(shown: np.ndarray, colour: object) -> list[tuple[int, int]]:
    """Centre (row, column) of every rectangle of this colour that is at least three pixels high and wide."""
    found, left = [], mask(shown, colour)
    while left.any():
        top, first = np.argwhere(left)[0]
        last = first + int(np.argmin(np.append(left[top, first:], False)))
        bottom = top + int(np.argmin(np.append(left[top:, first], False)))
        left[top:bottom, first:last] = False
        if min(bottom - top, last - first) >= 3:
            found.append(((top + bottom) // 2, (first + last) // 2))
    return found


def days(count: int) -> list[str]:
    return [str(date(2022, 1, 10) + timedelta(days=10 * step)) for step in range(count)]


def store_cells(
    lake: Lake,
    key: str,
    planted: Mapping[tuple[str, str], str] | None = None,
    engines: Sequence[str] = ENGINES,
) -> None:
    """Cells of a rebalance, all native but those planted."""
    rows = [
        {"engine": engine, "profile": profile, "status": (planted or {}).get((engine, profile), "native")}
        for engine in engines
        for profile in RISK_PROFILES
    ]
    lake.write(CELLS, key, pl.DataFrame(rows, schema=solver_cells.SCHEMA))


def store_weights(lake: Lake, key: str, books: Mapping[str, Mapping[str, float]], engine: str = "native") -> None:
    """Weights of one engine by risk profile and symbol."""
    rows = [
        {"engine": engine, "profile": profile, "status": "native", "symbol": symbol, "weight": weight}
        for profile, book in books.items()
        for symbol, weight in book.items()
    ]
    lake.write(WEIGHTS, key, pl.DataFrame(rows, schema=risk_weights.SCHEMA))


def everywhere(book: Mapping[str, float]) -> dict[str, Mapping[str, float]]:
    return dict.fromkeys(RISK_PROFILES, book)


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "native"])
def test_a_status_has_its_colour_in_the_heat_map_exactly_when_a_cell_has_it(lake: Lake, status: str) -> None:
    keys = days(6)
    for key in keys:
        store_cells(lake, key)
    without = pixels(status_picture(lake, CELLS, keys[-1]))
    store_cells(lake, keys[2], {("skfolio", "max_sharpe"): status})
    planted = pixels(status_picture(lake, CELLS, keys[-1]))
    assert not areas(without, COLOURS[status])
    assert len(areas(planted, COLOURS[status])) == 1
    for other in set(STATUSES) - {status, "native"}:
        assert not areas(planted, COLOURS[other])


def test_a_cell_stands_at_its_engine_and_profile_and_at_its_rebalance(lake: Lake) -> None:
    keys = days(4)
    for key in keys:
        store_cells(lake, key, engines=ENGINES[:2])
    store_cells(lake, keys[0], {("native", "hrp"): "failed"}, ENGINES[:2])
    store_cells(lake, keys[3], {("skfolio", "benchmark"): "unavailable"}, ENGINES[:2])
    shown = pixels(status_picture(lake, CELLS, keys[-1]))
    native = mask(shown, COLOURS["native"])
    top, bottom = np.flatnonzero(native.sum(axis=1) > LONG_LINE)[[0, -1]]
    left, right = np.flatnonzero(native.sum(axis=0) > LONG_LINE)[[0, -1]]
    ((row, column),) = areas(shown, COLOURS["failed"])
    assert row < top + (bottom - top) / 16 + 2
    assert column < left + (right - left) / 4
    ((row, column),) = areas(shown, COLOURS["unavailable"])
    assert row > bottom - (bottom - top) / 16 - 2
    assert column > right - (right - left) / 4


def test_a_rebalance_that_a_gate_blocked_has_no_record(lake: Lake) -> None:
    keys = days(5)
    for key in keys:
        store_cells(lake, key)
    before = mask(pixels(status_picture(lake, CELLS, keys[-1])), COLOURS["native"]).sum()
    lake.write(CELLS, keys[1], solver_cells.SCHEMA.to_frame(), Status.BLOCKED, "a gate")
    shown = pixels(status_picture(lake, CELLS, keys[-1]))
    after = mask(shown, COLOURS["native"]).sum()
    assert after == pytest.approx(before * 4 / 5, rel=0.02)
    assert not any(areas(shown, COLOURS[status]) for status in STATUSES if status != "native")


def test_only_what_was_known_at_the_newest_partition_of_the_run_is_drawn(lake: Lake) -> None:
    keys = days(3)
    for key in keys:
        store_cells(lake, key)
        store_weights(lake, key, everywhere({"A": 1.0}))
    cells, weights = status_picture(lake, CELLS, keys[1]), weights_over_time_picture(lake, WEIGHTS, keys[1], "native")
    store_cells(lake, keys[2], {("native", "hrp"): "failed"})
    store_weights(lake, keys[2], everywhere({"B": 1.0}))
    assert status_picture(lake, CELLS, keys[1]) == cells
    assert weights_over_time_picture(lake, WEIGHTS, keys[1], "native") == weights


def test_an_engine_that_was_dropped_from_the_manifest_keeps_its_rows(lake: Lake) -> None:
    keys = days(3)
    store_cells(lake, keys[0], {("riskfolio", "hrp"): "failed"})
    for key in keys[1:]:
        store_cells(lake, key, engines=("native",))
    assert areas(pixels(status_picture(lake, CELLS, keys[-1])), COLOURS["failed"])


def test_a_sleeve_without_a_single_record_has_no_picture(lake: Lake) -> None:
    lake.write(CELLS, KEYS[0], solver_cells.SCHEMA.to_frame(), Status.BLOCKED, "a gate")
    assert status_picture(lake, CELLS, KEYS[0]) == {}


def panels(shown: np.ndarray) -> int:
    """Axes of a picture: each has one long dark line on its left and one on its right."""
    dark = shown.max(axis=2) < DARK
    lines = [_long_runs(column) for column in dark.T]
    return sum(found for found, before in zip(lines, [0, *lines], strict=False) if not before) // 2


def _long_runs(line: np.ndarray) -> int:
    ends = np.flatnonzero(np.diff(np.concatenate(([False], line, [False])).astype(int)))
    return int((ends[1::2] - ends[::2] > LONG_LINE).sum())


@pytest.mark.parametrize("count", [1, 5])
def test_the_weights_have_one_panel_per_risk_profile_from_the_first_rebalance_on(lake: Lake, count: int) -> None:
    for key in days(count):
        store_weights(lake, key, everywhere({"BINANCE:AUSDT": 0.6, "BINANCE:BUSDT": 0.4}))
    assert panels(pixels(weights_over_time_picture(lake, WEIGHTS, days(count)[-1], "native"))) == len(RISK_PROFILES)


def test_every_rebalance_is_as_wide_as_another_so_that_one_alone_is_seen(lake: Lake) -> None:
    store_weights(lake, days(1)[0], everywhere({CASH: 1.0}))
    alone = pixels(weights_over_time_picture(lake, WEIGHTS, days(1)[0], "native"))
    assert len(areas(alone, IDLE)) == 2 * len(RISK_PROFILES), "a band and an entry of the legend in each panel"
    for cash in days(3):
        for key in days(3):
            store_weights(lake, key, everywhere({CASH if key == cash else "A": 1.0}))
        shown = mask(pixels(weights_over_time_picture(lake, WEIGHTS, days(3)[-1], "native")), IDLE)
        assert shown.sum() == pytest.approx(mask(alone, IDLE).sum() / 3, rel=0.1)


def test_cash_has_a_colour_of_its_own_in_the_weights(lake: Lake) -> None:
    keys = days(4)
    for key in keys:
        store_weights(lake, key, everywhere({"A": 1.0}))
    assert not areas(pixels(weights_over_time_picture(lake, WEIGHTS, keys[-1], "native")), IDLE)
    store_weights(lake, keys[1], everywhere({CASH: 1.0}))
    cash = areas(pixels(weights_over_time_picture(lake, WEIGHTS, keys[-1], "native")), IDLE)
    assert len(cash) == 2 * len(RISK_PROFILES), "a band and an entry of the legend in each panel"
    for key in keys:
        store_weights(lake, key, everywhere({CASH: 1.0}))
    assert areas(pixels(weights_over_time_picture(lake, WEIGHTS, keys[-1], "native")), IDLE)


def test_the_weights_shown_are_those_of_the_engine_of_record(lake: Lake) -> None:
    keys = days(3)
    for key in keys:
        store_weights(lake, key, everywhere({CASH: 1.0}), engine="skfolio")
    assert areas(pixels(weights_over_time_picture(lake, WEIGHTS, keys[-1], "skfolio")), IDLE)
    assert not areas(pixels(weights_over_time_picture(lake, WEIGHTS, keys[-1], "native")), IDLE)


def test_both_pictures_of_two_years_are_small_enough_for_the_event_log(lake: Lake) -> None:
    draw = np.random.default_rng(7)
    keys = days(WINDOWS + 1)
    for key in keys:
        planted = {(e, p): STATUSES[draw.integers(len(STATUSES))] for e in ENGINES for p in RISK_PROFILES}
        store_cells(lake, key, planted)
        names = [f"BINANCE:C{number}USDT" for number in draw.choice(200, 20, replace=False)]
        books = {profile: dict(zip(names, draw.dirichlet(np.ones(20)), strict=True)) for profile in RISK_PROFILES}
        store_weights(lake, key, books)
    heat, weights = status_picture(lake, CELLS, keys[-1]), weights_over_time_picture(lake, WEIGHTS, keys[-1], "native")
    assert base64_size(heat) < LARGEST_BASE64
    assert base64_size(weights) < LARGEST_BASE64
    failed = sum(row[2] == "failed" for key in keys[1:] for row in lake.read(CELLS, key).iter_rows())
    assert mask(pixels(heat), COLOURS["failed"]).sum() > 10 * failed, "single cells can still be told apart"


def test_a_run_draws_its_newest_partition_only(home: TemporaryHome) -> None:
    for path in (CELLS, WEIGHTS):
        assert [key for key in KEYS if "picture" in home.metadata(path, key)] == [KEYS[-1]]
        assert home.metadata(path, KEYS[-1])["picture"].startswith(f"![{LONG}: ")
