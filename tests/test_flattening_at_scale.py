"""What `bench.metas` shows of ten thousand sleeves, of a hundred and a thousand."""

from pathlib import Path

import numpy as np
import pytest

from bench.made_trees import (
    SYMBOLS,
    dictionaries,
    flattened_dates,
    make,
    recursive,
    stored_dates,
    stored_shares,
    stored_tree,
)
from bench.metas import EQUAL, facts, fitted, with_arrays
from sleevegraph.metas import MAX_DEPTH

SIZES = ((100, 15), (1_000, 15))
DATES = 3


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]} sleeves")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    sleeves, atoms = request.param
    folder = tmp_path_factory.mktemp("made")
    make(folder, sleeves, atoms, DATES)
    return folder, sleeves


def test_sleeves_lie_below_four_metas_and_some_have_two_parents(made: tuple[Path, int]) -> None:
    folder, sleeves = made
    tree = stored_tree(folder)
    found = tree.places["node"].value_counts()
    assert len([node for node in tree.nodes if node.startswith("sleeve")]) == sleeves
    assert len(tree.levels) == MAX_DEPTH + 1
    assert found["count"].max() == 2


def test_every_date_agrees_with_recursive_dictionaries(made: tuple[Path, int]) -> None:
    folder, _ = made
    tree = stored_tree(folder)
    days = []
    for shares, (day, *found) in zip(stored_shares(folder), flattened_dates(folder), strict=True):
        expected = recursive(*dictionaries(folder, tree, shares, day))
        for weights, sums in zip(found, expected, strict=True):
            np.testing.assert_allclose(weights, [sums.get(symbol, 0.0) for symbol in SYMBOLS], rtol=0, atol=EQUAL)
        days.append(day)
    assert days == stored_dates(folder)
    assert len(days) == DATES


def test_conservation_a_lost_sleeve_netting_and_a_cancelled_pair(made: tuple[Path, int]) -> None:
    folder, sleeves = made
    with_arrays(folder)
    judged = dict(facts(folder, sleeves))
    assert len(judged) == 4
    assert all(judged.values()), judged


def test_the_facts_are_judged_and_not_assumed(made: tuple[Path, int]) -> None:
    folder, sleeves = made
    with_arrays(folder)
    arrays = dict(np.load(folder / "flat.npz"))
    np.savez(folder / "flat.npz", net=np.nextafter(arrays["net"], 1.0), gross=arrays["gross"])
    assert [text for text, holds in facts(folder, sleeves) if not holds] == ["names and codes give the same bits"]


@pytest.mark.parametrize("power", [0.8, 1.0, 1.3])
def test_the_growth_that_is_printed_is_that_of_what_exceeds_a_fixed_cost(power: float) -> None:
    shares = np.array([0.0015, 0.01, 0.015, 0.1, 0.15, 0.25, 0.5, 1.0])
    found, fixed, largest, apart = fitted(shares, 0.05 + 0.6 * shares**power)
    assert found == pytest.approx(power, abs=0.005)
    assert (fixed, largest, apart) == pytest.approx((0.05, 0.6, 0.0), abs=2e-3)
    busy = fitted(shares, 0.05 + 0.6 * shares**power * np.array([1.05, 0.95, 1.05, 0.95, 1.05, 0.95, 1.05, 0.95]))
    assert busy[3] > apart
