"""Rebalances, a backfill and an ingest at once: nothing is mixed in silence, and what is run again ends as in their order."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.aftermath import but_ledgers, defects, leftovers, outcome
from tests.crash.lanes import Lane, lane, needs_linux
from tests.crash.server import Attempt
from tests.homes import SHORT

pytestmark = needs_linux
KEYS = ["2022-02-09", "2022-02-19"]
LAST = KEYS[-1]
MEANWHILE = (
    "found some restated meanwhile",
    "found that some were restated after it",
    "changed after it was judged",
    "changed since; materialise",
)
"""What a rebalance may end with when bars are restated beside it, or another one writes what it builds on: it is refused."""


@pytest.fixture(scope="module")
def server() -> Iterator[Lane]:
    with lane() as one:
        yield one


@pytest.fixture(scope="module")
def one_after_the_other(server: Lane, folder: Path) -> dict[bool, Path]:
    """A home after a backfill, and a copy of it after a restated bar and another one."""
    roots = {False: folder / "first", True: folder / "restated"}
    whole = Attempt(str(roots[False]), KEYS)
    assert server.attempt(whole).said == ""
    shutil.copytree(roots[False], roots[True])
    assert server.attempt(replace(whole, root=str(roots[True]), restated=True)).said == ""
    return roots


@pytest.mark.slow
def test_rebalances_a_backfill_and_an_ingest_at_once_and_then_again_are_what_one_after_the_other_is(
    server: Lane, folder: Path, one_after_the_other: dict[bool, Path]
) -> None:
    root = folder / "at_once"
    shutil.copytree(one_after_the_other[False], root)
    one = Attempt(str(root), KEYS, restated=True, parts=["grid"])
    ended = server.together(
        [replace(one, keys=KEYS[:1]), replace(one, keys=KEYS[1:]), one, replace(one, parts=["bars", "warehouse"])]
    )
    *rebalances, ingest = ended
    assert (ingest.code, ingest.said) == (0, "")
    for attempt in rebalances:
        assert attempt.code == 0, attempt
        assert not attempt.said or any(kind in attempt.said for kind in MEANWHILE), attempt
    assert defects(root) == []
    assert server.attempt(replace(one, parts=["bars", "grid", "warehouse"])).said == ""
    assert but_ledgers(root) == but_ledgers(one_after_the_other[True])  # who came first has a generation more


@pytest.mark.slow
def test_parts_of_a_decision_that_are_made_again_at_once_come_out_as_they_were(
    server: Lane, folder: Path, one_after_the_other: dict[bool, Path]
) -> None:
    root = folder / "parts_at_once"
    shutil.copytree(one_after_the_other[False], root)
    part = Attempt(str(root), KEYS, parts=["grid"])
    ended = server.together(
        [replace(part, parts=["bars", "warehouse"]), *(replace(part, segment=name) for name in PARTS)]
    )
    assert [(attempt.code, attempt.said) for attempt in ended] == [(0, "")] * len(ended)
    assert defects(root) == []
    assert leftovers(root) == []
    assert outcome(root) == outcome(one_after_the_other[False])


PARTS = ("solved", "traded", "bundled")
BETWEEN = {
    "universe and the verdict on it": ("judged", f"lake/universe/.{LAST}"),
    "cells and weights": ("solved", f"lake/{SHORT}/solver_cells/.{LAST}"),
    "the bundles of sleeves and those of metas": ("bundled", f"lake/{SHORT}/audit_bundle/.{LAST}"),
}
"""What is made again, and what of it is in its place when the bars are restated."""


@pytest.mark.slow
@pytest.mark.parametrize("between", BETWEEN)
def test_bars_that_are_restated_in_the_midst_of_a_decision_are_named_and_never_mixed_in(
    server: Lane, folder: Path, one_after_the_other: dict[bool, Path], between: str
) -> None:
    segment, landing = BETWEEN[between]
    root = folder / between.replace(" ", "_")
    shutil.copytree(one_after_the_other[False], root)
    ended = server.attempt(Attempt(str(root), KEYS, parts=["grid"], segment=segment, landing=landing))
    assert ended.code == 0, ended
    assert outcome(root).items() & daily(one_after_the_other[True]).items() == daily(one_after_the_other[True]).items()
    assert "daily_bars changed after it was judged" in ended.said or "restated" in ended.said
    assert made_of_new_bars(root, one_after_the_other) == []


def daily(root: Path) -> dict[str, str]:
    return {name: digest for name, digest in outcome(root).items() if "daily_bars" in name}


def made_of_new_bars(root: Path, homes: dict[bool, Path]) -> list[str]:
    """Partitions, without the bars, that are those of the restated home and not of the one before."""
    found, old, new = (outcome(home) for home in (root, homes[False], homes[True]))
    return [
        name
        for name in new
        if name.startswith("data/lake") and "daily_bars" not in name and found[name] == new[name] != old[name]
    ]
