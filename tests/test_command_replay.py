"""`sleevegraph replay`, as an auditor reads it."""

import shutil
import signal
from collections.abc import Callable
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

from tests.bundles import LEDGER, MANIFEST, Bundle
from tests.command_homes import BLOCKED, finished_home, refused, sleevegraph
from tests.homes import KEYS, LONG, META, SHORT, TemporaryHome
from tests.replays import changed_bars, put, run_of, to


def test_a_changed_bar_is_named_by_its_day_and_nothing_is_computed(home: TemporaryHome) -> None:
    changed_bars(home, date(2022, 2, 3))
    said = sleevegraph("replay", home.root / "runs" / run_of(SHORT))
    assert said.exit_code == 1
    assert said.stdout.splitlines() == [
        "DIFFERS  daily_bars: first on 2022-02-03 (1 of 424 days differ)",
        f"{run_of(SHORT)}: differs first at daily_bars",
    ]


def contents(root: Path) -> dict[str, tuple[str, int]]:
    """Hash and time of every file."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(root)): (sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files
    }


def test_one_bundle_is_told_line_by_line_and_the_home_is_left_as_it_is(home: TemporaryHome, tmp_path: Path) -> None:
    moved = tmp_path / run_of(SHORT)
    shutil.move(home.root / "runs" / run_of(SHORT), moved)
    before = contents(home.root)
    said = sleevegraph("replay", moved, "--home", home.root)
    assert said.exit_code == 0, said.output
    lines = said.stdout.splitlines()
    assert lines[0] == "same     daily_bars"
    stages = [
        "universe",
        "technical_ratings",
        *(f"{SHORT}/{name}" for name in ("candidates", "winners", "synthetic_returns")),
    ]
    assert lines[2:7] == [f"same     {stage}" for stage in stages]
    assert lines[-2:] == ["same     audit.jsonl", f"{run_of(SHORT)}: {len(lines) - 1} compared, all the same"]
    assert contents(home.root) == before


def test_a_blocked_rebalance_is_replayed_from_its_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    runs = finished_home(tmp_path_factory)[0] / "runs"
    for portfolio in (SHORT, META):
        assert Bundle(runs / run_of(portfolio, BLOCKED)).records[-1]["standing"] == "BLOCKED"
    said = sleevegraph("replay", *(runs / run_of(portfolio, BLOCKED) for portfolio in (SHORT, META)))
    assert said.stdout.splitlines() == [
        *(f"same     {run_of(portfolio, BLOCKED)}" for portfolio in (SHORT, META)),
        "2 replays: 2 same",
    ]
    assert said.exit_code == 0


def test_a_sample_is_drawn_again_by_its_seed_and_every_bundle_has_one_line(home: TemporaryHome) -> None:
    changed_bars(home, date(2022, 1, 1))
    runs = sorted(path.name for path in (home.root / "runs").iterdir())
    first, same, other = (sleevegraph("replay", home.root, "--sample", "5", "--seed", seed) for seed in (1, 1, 2))
    assert first.stdout == same.stdout != other.stdout
    assert first.exit_code == 1
    lines = first.stdout.splitlines()
    assert lines[-1] == "5 replays: 5 DIFFERS"
    assert len({line.split()[1].rstrip(":") for line in lines[:-1]} & set(runs)) == 5
    assert all("daily_bars: first on 2022-01-01 (1 of" in line for line in lines[:-1])
    assert len(sleevegraph("replay", home.root / "runs").stdout.splitlines()) == len(runs) + 1


def test_without_a_home_around_it_a_bundle_cannot_be_replayed(home: TemporaryHome, tmp_path: Path) -> None:
    alone = shutil.copytree(home.root / "runs" / run_of(SHORT), tmp_path / run_of(SHORT))
    assert "found none around" in refused("replay", alone)
    assert "name it with --home" in refused("replay", alone)
    assert "found none in" in refused("replay", alone, "--home", tmp_path)
    assert "found nothing at" in refused("replay", tmp_path / "nothing")


def test_what_cannot_be_read_is_one_line_that_says_what_to_do(home: TemporaryHome) -> None:
    run = home.root / "runs" / run_of(SHORT)
    whole = Bundle(run)
    broken: list[tuple[Callable[[Bundle], object], str]] = [
        (lambda b: b.ledger("begin", to("schema_version", 2)), "schema version: expected 1, found 2; replay with"),
        (lambda b: b.edit(MANIFEST, to("schema_version", 2)), "schema version: expected 1, found 2; replay with"),
        (lambda b: b.edit(MANIFEST, to("partition", KEYS[1])), "expected the rules of"),
        (lambda b: b.drop("bars"), "expected one bars in a generation, found 0"),
        (lambda b: b.drop("end"), "expected one end in a generation, found 0"),
        (lambda b: b.drop("begin"), "line 1: expected begin, found 'environment'"),
        (lambda b: b.files.update({LEDGER: b.files[LEDGER][:-40]}), "truncated"),
        (lambda b: b.files.update({MANIFEST: b"{"}), "expected JSON"),
        (lambda b: b.ledger("begin", lambda r: r["previous"].update(hash="0" * 64)), "one of the two was rewritten"),
        (
            lambda b: b.ledger("begin", lambda r: r["previous"].update(run_id="../../etc")),
            "expected the bundle ../../etc",
        ),
    ]
    for change, text in broken:
        bundle = Bundle(run)
        bundle.files = dict(whole.untouched)
        change(bundle)
        put(bundle, run)
        said = refused("replay", run)
        assert text in said
        assert f"run sleevegraph verify {run}" in said


def test_a_partition_that_is_missing_is_named(home: TemporaryHome) -> None:
    home.store.lake.path((SHORT, "track_record"), KEYS[1]).unlink()
    said = refused("replay", home.root / "runs" / run_of(SHORT))
    assert f"{SHORT}/track_record {KEYS[1]}: expected a stored partition" in said


def test_an_interrupt_ends_all_replays(home: TemporaryHome) -> None:
    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)  # before a first replay can have ended
    try:
        said = sleevegraph("replay", home.root)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert said.exit_code == 1
    assert said.stdout == ""
    assert said.stderr.strip() == "Aborted!"


def test_of_several_an_error_is_one_line_among_the_others(home: TemporaryHome) -> None:
    (home.root / "runs" / run_of(SHORT) / LEDGER).write_bytes(b"")
    changed_bars(home, date(2022, 2, 3))
    said = sleevegraph("replay", *(home.root / "runs" / run_of(portfolio) for portfolio in (SHORT, LONG)))
    assert said.exit_code == 1
    first, second, last = said.stdout.splitlines()
    assert first.startswith(f"ERROR    {run_of(SHORT)}: {LEDGER}: ")
    assert second.startswith(f"DIFFERS  {run_of(LONG)}: daily_bars: first on 2022-02-03")
    assert last == "2 replays: 1 DIFFERS, 1 ERROR"
