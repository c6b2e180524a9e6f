"""Rebalances computed again from the bars, and whatever in a bundle does not follow from them."""

import shutil
from collections.abc import Callable
from datetime import date
from fcntl import LOCK_EX, flock
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from commands.rebuild import compared_lake, rebuilding, rebuilt, replayed
from definitions import build_definitions
from resources.bundle_files import read_bundle
from resources.home import Home
from resources.lake import AssetPath
from resources.store import Store
from sleevegraph.audit.claim import Claim, claimed
from sleevegraph.audit.evidence import Evidence
from sleevegraph.audit.replay import Comparison, compared, other_environment
from sleevegraph.calendar import grid_dates
from sleevegraph.manifest import Manifest
from tests.bundles import LEDGER, MANIFEST, OPTIMISED, PHYSICAL, REPORT, SYNTHETIC, Bundle, Record
from tests.command_homes import BLOCKED, finished_home, refused, sleevegraph
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome, made_home, remove_homes, small_manifest
from tests.markets import recorded_bars
from tests.planted_audits import moved_consistently
from tests.shared import needs_shared

AT = KEYS[2]
QUIET = Console(quiet=True)


def run_of(portfolio: str, key: str = AT) -> str:
    return f"{portfolio}-{key.replace('-', '')}"


def claim_of(home: Path, run: str) -> Claim:
    def evidence(name: str) -> Evidence:
        return Evidence(read_bundle(home / "runs" / name).files)

    return claimed(evidence(run), evidence)


def differing(comparisons: list[Comparison]) -> list[str]:
    return [one.what for one in comparisons if one.difference]


@pytest.fixture(scope="session")
def again(_four_rebalances: Path, worker_id: str) -> Callable[[str], Store]:
    """What the tree of NESTED gives at a rebalance when it is computed again, once for all workers."""
    del worker_id

    def made(key: str) -> Store:
        place = _four_rebalances.parent / f"again-{key}"
        with (_four_rebalances.parent / f"again-{key}.lock").open("w") as lock:
            flock(lock, LOCK_EX)
            if not place.exists():
                with rebuilding(
                    Home(_four_rebalances), claim_of(_four_rebalances, run_of(NESTED, key)), QUIET
                ) as store:
                    shutil.copytree(store.folders.root, place, symlinks=True)
        return Store(home=str(place))

    return made


Again = Callable[[str], Store]


def compare(home: TemporaryHome, run: str, made: Store) -> list[Comparison]:
    """Compare one bundle of a home with what was computed again."""
    claim = claim_of(home.root, run)
    lake = home.store.lake
    return [*compared_lake(lake, claim), *compared(claim, rebuilt(lake, made, claim))]


@pytest.mark.parametrize("key", KEYS)
def test_every_bundle_follows_from_the_bars_bit_for_bit(home: TemporaryHome, again: Again, key: str) -> None:
    for portfolio in (LONG, SHORT, META, NESTED):
        found = compare(home, run_of(portfolio, key), again(key))
        assert differing(found) == []
        assert {one.what for one in found} >= {"daily_bars", "universe", REPORT, LEDGER}
    assert home.standing((LONG, "risk_weights"), KEYS[-1]) == "CASH", "one of them holds nothing"


STAGES: dict[AssetPath, tuple[str, pl.Expr]] = {
    ("universe",): (SHORT, pl.col("value").fill_null(0.0) + 1.0),
    ("technical_ratings",): (SHORT, pl.col("recommend_all") * 0.5),
    (SHORT, "candidates"): (SHORT, ~pl.col("kept")),
    (SHORT, "winners"): (SHORT, pl.col("score") + 1e-12),
    (SHORT, "synthetic_returns"): (SHORT, pl.col("synthetic") * (1.0 + 2**-52)),
    (SHORT, "solver_cells"): (SHORT, pl.col("objective") * 2.0),
    (SHORT, "risk_weights"): (SHORT, pl.col("weight") * (1.0 + 1e-6)),
    (SHORT, "track_record"): (SHORT, pl.col("ret") + 1e-6),
    (SHORT, "sleeve_metrics"): (SHORT, pl.col("observations") + 1),
    (META, "meta_weights"): (META, pl.col("weight") * (1.0 + 1e-6)),
    (META, "meta_track_record"): (META, pl.col("ret") + 1e-6),
    (META, "flattened_weights"): (META, pl.col("net") * (1.0 + 1e-6)),
    (META, "meta_metrics"): (META, pl.col("observations") + 1),
}
"""By asset a portfolio whose bundle names it, and how a forger changes one column of it."""


@pytest.mark.parametrize("asset", STAGES, ids="/".join)
def test_a_stage_that_was_forged_in_lake_and_ledger_is_named_with_its_row(
    home: TemporaryHome, again: Again, asset: AssetPath
) -> None:
    portfolio, change = STAGES[asset]
    home.plant(asset, AT, change)
    digest = home.store.lake.digest(asset, AT)
    rewrite(home, run_of(portfolio), lambda bundle: bundle.ledger("stage", to("digest", digest), stage_of(asset, AT)))
    found = compare(home, run_of(portfolio), again(AT))
    assert differing(found) == ["/".join(asset)]
    (difference,) = [one.difference for one in found if one.difference]
    assert f"{change.meta.output_name()}: found" in difference
    assert "row" in difference


@pytest.mark.parametrize("asset", [(SHORT, "winners"), (META, "flattened_weights")], ids="/".join)
def test_a_partition_that_was_changed_in_the_lake_alone_is_named(
    home: TemporaryHome, again: Again, asset: AssetPath
) -> None:
    home.plant(asset, AT, STAGES[asset][1])
    found = compare(home, run_of(asset[0]), again(AT))
    assert differing(found) == ["/".join(asset)]
    assert any("as the ledger names it, but the lake's changed since" in one.difference for one in found)


@pytest.mark.parametrize("asset", [("universe",), (SHORT, "risk_weights"), (META, "meta_weights")], ids="/".join)
def test_a_stage_that_was_changed_in_the_ledger_alone_is_named(
    home: TemporaryHome, again: Again, asset: AssetPath
) -> None:
    run = run_of(STAGES[asset][0])
    rewrite(home, run, lambda bundle: bundle.ledger("stage", to("digest", "0" * 64), stage_of(asset, AT)))
    found = compare(home, run, again(AT))
    assert differing(found) == ["/".join(asset)]
    assert any("which the lake has, too" in one.difference for one in found)


def to(key: str, value: Any) -> Callable[[Record], object]:
    return lambda record: record.update({key: value})


def stage_of(asset: AssetPath, key: str) -> Callable[[Record], bool]:
    return lambda record: record["asset"] == "/".join(asset) and record["partition"] == key


def rewrite(home: TemporaryHome, run: str, change: Callable[[Bundle], object], *, sealed: bool = True) -> None:
    """Change a bundle on disk, as somebody would who then writes every hash anew."""
    bundle = Bundle(home.root / "runs" / run)
    change(bundle)
    if sealed:
        bundle.seal()
    put(bundle, home.root / "runs" / run)


def put(bundle: Bundle, folder: Path) -> None:
    """Write a bundle's files over those that were there."""
    for file in bundle.untouched.keys() - bundle.files.keys():
        (folder / file).unlink()
    for file, content in bundle.files.items():
        (folder / file).write_bytes(content)


def matrix(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Bundle], object]:
    return lambda bundle: bundle.frame(SYNTHETIC, change)


def without_a_row(bundle: Bundle) -> None:
    bundle.profile(OPTIMISED, "hrp", lambda assets: assets.pop())


FORGED: dict[str, tuple[str, Callable[[Bundle], object], list[str]]] = {
    "a weight moved by a millionth": (SHORT, moved_consistently, [PHYSICAL, OPTIMISED, LEDGER]),
    "an asset left out": (SHORT, without_a_row, [OPTIMISED]),
    "one return": (SHORT, matrix(lambda frame: frame.with_columns(pl.nth(1) * (1.0 + 2**-52))), [SYNTHETIC]),
    "a page that says something else": (
        SHORT,
        lambda bundle: bundle.files.update({REPORT: bundle.files[REPORT] + b"<p>all is well</p>"}),
        [REPORT],
    ),
    "a file that is missing": (SHORT, lambda bundle: bundle.files.pop(PHYSICAL), [PHYSICAL]),
    "a verdict": (
        SHORT,
        lambda bundle: bundle.ledger("check", to("state", "FAILED"), lambda check: check["check"] == "weight_sanity"),
        [f"check weight_sanity of {SHORT}/risk_weights"],
    ),
    "a verdict that is missing": (
        META,
        lambda bundle: bundle.drop("check", lambda check: check["check"] == "conservation"),
        [f"check conservation of {META}/flattened_weights"],
    ),
    "a symbol that was not dropped": (
        SHORT,
        lambda bundle: bundle.ledger("universe_drops", lambda event: event["drops"].pop()),
        [LEDGER],
    ),
    "a cell that was solved otherwise": (
        SHORT,
        lambda bundle: bundle.ledger("cell", to("status", "fallback")),
        [LEDGER],
    ),
    "a child that stands better": (META, lambda bundle: bundle.ledger("child", to("reasons", ["none"])), [LEDGER]),
    "a standing": (SHORT, lambda bundle: bundle.ledger("end", to("reasons", ["none"])), [LEDGER]),
    "a stage that nobody asked for": (
        META,
        lambda bundle: bundle.ledger(
            "stage", to("asset", "meta_other/meta_weights"), stage_of((META, "meta_weights"), AT)
        ),
        ["meta_other/meta_weights", f"{META}/meta_weights"],
    ),
}
"""By what was forged in a bundle: whose, how, and all that has to be named."""


@pytest.mark.parametrize("forged", FORGED)
def test_whatever_is_forged_in_a_sealed_bundle_is_named(home: TemporaryHome, again: Again, forged: str) -> None:
    portfolio, change, named = FORGED[forged]
    rewrite(home, run_of(portfolio), change)
    found = differing(compare(home, run_of(portfolio), again(AT)))
    assert sorted(found) == sorted(named)


def test_a_ledger_whose_chain_was_not_sealed_is_named_by_its_line(home: TemporaryHome, again: Again) -> None:
    rewrite(home, run_of(SHORT), lambda bundle: bundle.ledger("end", to("prev_hash", "0" * 64)), sealed=False)
    (difference,) = [one.difference for one in compare(home, run_of(SHORT), again(AT)) if one.difference]
    assert difference.endswith("the ledger was changed after it was written")
    assert f"line {len(Bundle(home.root / 'runs' / run_of(SHORT)).records)} (end): prev_hash" in difference


def test_a_forgery_in_a_sleeve_is_named_in_the_metas_that_rest_on_it(home: TemporaryHome, again: Again) -> None:
    asset = (SHORT, "winners")
    home.plant(asset, AT, STAGES[asset][1])
    digest = home.store.lake.digest(asset, AT)
    rewrite(home, run_of(SHORT), lambda bundle: bundle.ledger("stage", to("digest", digest), stage_of(asset, AT)))
    for meta, children in ((META, [SHORT]), (NESTED, [SHORT, META])):
        rewrite(
            home, run_of(meta), lambda bundle, c=children: bundle.ledger("begin", lambda begin: anchor(home, begin, c))
        )
    assert differing(compare(home, run_of(NESTED), again(AT))) == [f"{SHORT}/winners", f"bundle {run_of(SHORT)}"]


def anchor(home: TemporaryHome, begin: Record, children: list[str]) -> None:
    """Name the newest record that children's ledgers have now."""
    for child in children:
        begin["children"][run_of(child)] = Bundle(home.root / "runs" / run_of(child)).records[-1]["hash"]


def test_warnings_that_are_accepted_later_change_nothing(home: TemporaryHome, again: Again) -> None:
    bundle = Bundle(home.root / "runs" / run_of(LONG))
    warned = next(record for record in bundle.records if record["event"] == "check" and record["findings"])
    names = ("check", "asset", "partition")
    said = sleevegraph("accept", *(warned[n] for n in names), "--because", "seen", "--by", "me", "--home", home.root)
    assert said.exit_code == 0, said.output
    assert len(Bundle(home.root / "runs" / run_of(LONG)).records) == len(bundle.records) + 1
    for portfolio in (LONG, META, NESTED):
        assert differing(compare(home, run_of(portfolio), again(AT))) == []


def test_another_environment_is_told_and_is_no_difference(home: TemporaryHome, again: Again) -> None:
    claim = claim_of(home.root, run_of(SHORT))
    found = rebuilt(home.store.lake, again(AT), claim)
    assert other_environment(claim, found.records) == ""
    rewrite(home, run_of(SHORT), lambda b: b.ledger("environment", lambda r: r["packages"].update(polars="1.0.0")))
    claim = claim_of(home.root, run_of(SHORT))
    assert differing(compared(claim, found)) == []
    assert other_environment(claim, found.records) == f"made with polars 1.0.0, here {pl.__version__}"


def test_a_changed_bar_is_named_by_its_day_and_nothing_is_computed(home: TemporaryHome) -> None:
    changed_bars(home, date(2022, 2, 3))
    said = sleevegraph("replay", home.root / "runs" / run_of(SHORT))
    assert said.exit_code == 1
    assert said.stdout.splitlines() == [
        "DIFFERS  daily_bars: first on 2022-02-03 (1 of 424 days differ)",
        f"{run_of(SHORT)}: differs first at daily_bars",
    ]


def test_of_several_changed_days_the_first_is_named_and_days_of_the_rebalance_do_not_count(home: TemporaryHome) -> None:
    changed_bars(home, date(2022, 2, 20), date(2022, 2, 28), date(2022, 3, 1), date(2022, 3, 2))
    lake = home.store.lake
    found = [compared_lake(lake, claim_of(home.root, run_of(META, key)))[0].difference for key in KEYS]
    assert found == [
        "",
        "",
        "first on 2022-02-20 (2 of 424 days differ)",
        "first on 2022-02-20 (4 of 434 days differ)",
    ]


def changed_bars(home: TemporaryHome, *days: date) -> None:
    """Move the close of one symbol by a hair, in the lake's files."""
    for month in {f"{day:%Y-%m}" for day in days}:
        hair = (
            pl.when((pl.col("symbol") == "BINANCE:BTCUSDT") & pl.col("date").is_in(days))
            .then(1.0 + 2**-52)
            .otherwise(1.0)
        )
        home.plant(("daily_bars",), month, pl.col("close") * hair)


def test_bars_that_are_gone_are_named_from_their_first_day(home: TemporaryHome) -> None:
    home.store.lake.path(("daily_bars",), "2022-02").unlink()
    found = compared_lake(home.store.lake, claim_of(home.root, run_of(SHORT)))
    assert [one.difference for one in found] == ["first on 2022-02-01 (28 of 424 days differ)"]


def test_an_earlier_partition_that_was_changed_is_named_before_anything_is_computed(home: TemporaryHome) -> None:
    home.plant((SHORT, "track_record"), KEYS[1], pl.col("ret") + 1e-6)
    for run in (run_of(SHORT), run_of(NESTED)):
        found = replayed(home.store.folders, claim_of(home.root, run), QUIET)[0]
        assert differing(found) == [f"{SHORT}/track_record {KEYS[1]}"]


def test_a_rebalance_of_other_rules_differs_at_the_stage_that_reads_them(home: TemporaryHome) -> None:
    def loosened(document: dict[str, Any]) -> None:
        document["manifest"]["sleeves"][0]["risk"]["cluster_cap"] = 0.5

    rewrite(home, run_of(SHORT), lambda bundle: bundle.edit(MANIFEST, loosened))
    found = replayed(home.store.folders, claim_of(home.root, run_of(SHORT)), QUIET)[0]
    first = next(one for one in found if one.difference)
    assert first.what == f"{SHORT}/solver_cells"
    assert "code_version: found" in first.difference
    assert "native/hrp" in first.difference


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
    assert "found none at" in refused("replay", tmp_path / "nothing")


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


def test_of_several_an_error_is_one_line_among_the_others(home: TemporaryHome) -> None:
    (home.root / "runs" / run_of(SHORT) / LEDGER).write_bytes(b"")
    changed_bars(home, date(2022, 2, 3))
    said = sleevegraph("replay", *(home.root / "runs" / run_of(portfolio) for portfolio in (SHORT, LONG)))
    assert said.exit_code == 1
    first, second, last = said.stdout.splitlines()
    assert first.startswith(f"ERROR    {run_of(SHORT)}: {LEDGER}: ")
    assert second.startswith(f"DIFFERS  {run_of(LONG)}: daily_bars: first on 2022-02-03")
    assert last == "2 replays: 1 DIFFERS, 1 ERROR"


@needs_shared
@pytest.mark.slow
def test_twenty_random_rebalances_of_the_recorded_bars_are_the_same_bit_for_bit() -> None:
    small = small_manifest()
    manifest = Manifest(market=small.market, sleeves=small.sleeves, metas=small.metas[:1])
    days = grid_dates(date(2023, 8, 24), date(2023, 12, 21))
    home = made_home(build_definitions(manifest))
    try:
        assert home.ingest(recorded_bars()).success
        assert home.run(*map(str, days)).success
        pairs = [run_of(portfolio, str(day)) for portfolio in (LONG, SHORT, META) for day in days]
        for run in np.random.default_rng(4).choice(pairs, 20, replace=False).tolist():
            comparisons, environment = replayed(home.store.folders, claim_of(home.root, run), QUIET)
            assert (run, differing(comparisons), environment) == (run, [], "")
    finally:
        remove_homes([home])
