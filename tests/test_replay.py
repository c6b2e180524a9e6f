"""Whether a bundle follows from the bars: rebalances computed again, and whatever was forged in lake, ledger or files."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from fcntl import LOCK_EX, flock
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from commands.rebuild import compared_lake, rebuilding, rebuilt, replayed
from definitions import build_definitions
from resources.home import Home
from resources.lake import AssetPath
from resources.store import Store
from sleevegraph.audit.replay import Comparison, compared, other_environment
from sleevegraph.calendar import grid_dates
from sleevegraph.errors import LakeError
from sleevegraph.manifest import Manifest
from tests.bundles import LEDGER, MANIFEST, REPORT, Bundle, Record
from tests.command_homes import sleevegraph
from tests.forged_rebalances import FORGED, STAGES
from tests.homes import (
    KEYS,
    LONG,
    META,
    NESTED,
    SHORT,
    TemporaryHome,
    checks_of,
    copied_home,
    made_home,
    remove_homes,
    small_definitions,
    small_manifest,
)
from tests.markets import recorded_bars
from tests.replays import AT, changed_bars, claim_of, differing, run_of, stage_of, to
from tests.shared import needs_shared

QUIET = Console(quiet=True)
Again = Callable[[str], Store]


@pytest.fixture(scope="session")
def again(_four_rebalances: Path) -> Again:
    """What the tree of NESTED gives at a rebalance when it is computed again, once for all workers."""

    def made(key: str) -> Store:
        place = _four_rebalances.parent / f"again-{key}"
        with place.with_suffix(".lock").open("w") as lock:
            flock(lock, LOCK_EX)
            if not place.exists():
                claim = claim_of(_four_rebalances, run_of(NESTED, key))
                with rebuilding(Home(_four_rebalances), claim, QUIET) as store:
                    shutil.copytree(store.folders.root, place, symlinks=True)
        return Store(home=str(place))

    return made


@pytest.fixture(scope="module")
def still(_four_rebalances: Path) -> Iterator[TemporaryHome]:
    """A home that every test leaves as it found it."""
    own = copied_home(_four_rebalances, small_definitions())
    yield own
    remove_homes([own])


@contextmanager
def planted(home: TemporaryHome, asset: AssetPath, change: pl.Expr) -> Iterator[str]:
    """Change a partition for as long as the block runs, and give its digest."""
    path = home.store.lake.path(asset, AT)
    before = path.read_bytes()
    home.plant(asset, AT, change)
    yield home.store.lake.digest(asset, AT)
    path.write_bytes(before)


def bundle_of(home: TemporaryHome, portfolio: str) -> Bundle:
    return Bundle(home.root / "runs" / run_of(portfolio))


def compare(home: TemporaryHome, run: str, made: Store, *changed: Bundle) -> list[Comparison]:
    """Compare a bundle with what was computed again."""
    claim = claim_of(home.root, run, *changed)
    return [*compared_lake(home.store, claim), *compared(claim, rebuilt(home.store.lake, made, claim))]


@pytest.mark.parametrize("key", KEYS)
def test_every_bundle_follows_from_the_bars_bit_for_bit(still: TemporaryHome, again: Again, key: str) -> None:
    for portfolio in (LONG, SHORT, META, NESTED):
        found = compare(still, run_of(portfolio, key), again(key))
        assert differing(found) == []
        assert {one.what for one in found} >= {"daily_bars", "universe", REPORT, LEDGER}
    assert still.standing((LONG, "risk_weights"), KEYS[-1]) == "CASH", "one of them holds nothing"


@pytest.mark.parametrize("asset", STAGES, ids="/".join)
def test_a_stage_that_was_forged_in_lake_and_ledger_is_named_with_its_row(
    still: TemporaryHome, again: Again, asset: AssetPath
) -> None:
    portfolio, change = STAGES[asset]
    bundle = bundle_of(still, portfolio)
    with planted(still, asset, change) as digest:
        bundle.ledger("stage", to("digest", digest), stage_of(asset))
        bundle.seal()
        found = compare(still, run_of(portfolio), again(AT), bundle)
    assert differing(found) == ["/".join(asset)]
    (difference,) = [one.difference for one in found if one.difference]
    assert f"{change.meta.output_name()}: found" in difference
    assert "first row" in difference


@pytest.mark.parametrize("asset", [(SHORT, "winners"), (META, "flattened_weights")], ids="/".join)
def test_a_partition_that_was_changed_in_the_lake_alone_is_named(
    still: TemporaryHome, again: Again, asset: AssetPath
) -> None:
    with planted(still, asset, STAGES[asset][1]):
        found = compare(still, run_of(asset[0]), again(AT))
    assert differing(found) == ["/".join(asset)]
    assert any("as the ledger names it, but the lake's changed since" in one.difference for one in found)


@pytest.mark.parametrize("asset", [("universe",), (SHORT, "risk_weights"), (META, "meta_weights")], ids="/".join)
def test_a_stage_that_was_changed_in_the_ledger_alone_is_named(
    still: TemporaryHome, again: Again, asset: AssetPath
) -> None:
    bundle = bundle_of(still, STAGES[asset][0])
    bundle.ledger("stage", to("digest", "0" * 64), stage_of(asset))
    bundle.seal()
    found = compare(still, bundle.name, again(AT), bundle)
    assert differing(found) == ["/".join(asset)]
    assert any("which the lake has, too" in one.difference for one in found)


def test_a_forger_who_computes_everything_anew_from_other_winners_is_found(home: TemporaryHome, again: Again) -> None:
    key, after = (
        KEYS[-1],
        ("synthetic_returns", "solver_cells", "risk_weights", "track_record", "sleeve_metrics", "audit_bundle"),
    )
    kept = home.read((SHORT, "winners"), key)["symbol"][0]
    home.plant((SHORT, "winners"), key, pl.col("winner") & (pl.col("symbol") != kept))
    made = [(SHORT, asset) for asset in after]
    checks = [(path, name) for path, name in checks_of(home.defs) if path in made]
    assert home.run(key, assets=made, checks=checks).success
    assert all(guarantee.ok for guarantee in Bundle(home.root / "runs" / run_of(SHORT, key)).verify())
    found = compare(home, run_of(SHORT, key), again(key))
    assert differing(found)[:2] == [f"{SHORT}/winners", f"{SHORT}/synthetic_returns"]
    assert "winner: found False, rebuilt True" in next(one.difference for one in found if one.difference)


@pytest.mark.parametrize("forged", FORGED)
def test_whatever_is_forged_in_a_sealed_bundle_is_named(still: TemporaryHome, again: Again, forged: str) -> None:
    portfolio, change, named = FORGED[forged]
    bundle = bundle_of(still, portfolio)
    change(bundle)
    bundle.seal()
    assert sorted(differing(compare(still, bundle.name, again(AT), bundle))) == sorted(named)


def test_a_ledger_whose_chain_was_not_sealed_is_named_by_its_line(still: TemporaryHome, again: Again) -> None:
    bundle = bundle_of(still, SHORT)
    bundle.ledger("end", to("prev_hash", "0" * 64))
    (difference,) = [one.difference for one in compare(still, bundle.name, again(AT), bundle) if one.difference]
    assert difference.startswith(f"line {len(bundle.records)} (end): prev_hash: found '000")
    assert difference.endswith("the ledger was changed after it was written")


def test_a_forgery_in_a_sleeve_is_named_in_the_metas_that_rest_on_it(still: TemporaryHome, again: Again) -> None:
    asset = (SHORT, "winners")
    sleeve, meta, nested = (bundle_of(still, portfolio) for portfolio in (SHORT, META, NESTED))
    with planted(still, asset, STAGES[asset][1]) as digest:
        sleeve.ledger("stage", to("digest", digest), stage_of(asset))
        sleeve.seal()
        for above, children in ((meta, [sleeve]), (nested, [sleeve, meta])):
            above.ledger("begin", lambda begin, c=children: anchor(begin, c))
            above.seal()
        found = differing(compare(still, nested.name, again(AT), sleeve, meta, nested))
    assert found == ["/".join(asset), f"bundle {sleeve.name}"]


def anchor(begin: Record, children: list[Bundle]) -> None:
    """Name the newest record that the ledgers of children have now."""
    begin["children"].update({child.name: child.records[-1]["hash"] for child in children})


def test_warnings_that_are_accepted_later_change_nothing(home: TemporaryHome, again: Again) -> None:
    bundle = bundle_of(home, LONG)
    warned = next(record for record in bundle.records if record["event"] == "check" and record["findings"])
    names = ("check", "asset", "partition")
    said = sleevegraph("accept", *(warned[n] for n in names), "--because", "seen", "--by", "me", "--home", home.root)
    assert said.exit_code == 0, said.output
    assert len(bundle_of(home, LONG).records) == len(bundle.records) + 1
    for portfolio in (LONG, META, NESTED):
        assert differing(compare(home, run_of(portfolio), again(AT))) == []


def test_another_environment_is_told_and_is_no_difference(still: TemporaryHome, again: Again) -> None:
    claim = claim_of(still.root, run_of(SHORT))
    found = rebuilt(still.store.lake, again(AT), claim)
    assert other_environment(claim, found.records) == ""
    bundle = bundle_of(still, SHORT)
    bundle.ledger("environment", lambda record: record["packages"].update(polars="1.0.0"))
    bundle.seal()
    claim = claim_of(still.root, bundle.name, bundle)
    assert differing(compared(claim, found)) == []
    assert other_environment(claim, found.records) == f"made with polars 1.0.0, here {pl.__version__}"


def test_of_several_changed_days_the_first_is_named_and_days_of_the_rebalance_do_not_count(home: TemporaryHome) -> None:
    changed_bars(home, date(2022, 2, 20), date(2022, 2, 28), date(2022, 3, 1), date(2022, 3, 2))
    found = [compared_lake(home.store, claim_of(home.root, run_of(META, key)))[0].difference for key in KEYS]
    assert found == [
        "",
        "",
        "first on 2022-02-20 (2 of 424 days differ)",
        "first on 2022-02-20 (4 of 434 days differ)",
    ]


def test_bars_that_are_gone_are_named_from_their_first_day(home: TemporaryHome) -> None:
    home.store.lake.path(("daily_bars",), "2022-02").unlink()
    found = compared_lake(home.store, claim_of(home.root, run_of(SHORT)))
    assert [one.difference for one in found] == ["first on 2022-02-01 (28 of 424 days differ)"]


def test_an_earlier_partition_that_was_changed_is_named_before_anything_is_computed(home: TemporaryHome) -> None:
    home.plant((SHORT, "track_record"), KEYS[1], pl.col("ret") + 1e-6)
    for run in (run_of(SHORT), run_of(NESTED)):
        found = replayed(home.store.folders, claim_of(home.root, run), QUIET)[0]
        assert differing(found) == [f"{SHORT}/track_record {KEYS[1]}"]


def test_a_window_that_was_absent_may_be_absent_and_one_that_was_used_may_not(still: TemporaryHome) -> None:
    window = f"{SHORT}/solver_cells@2022-01-30"
    for digest in ("absent", "0" * 64):
        bundle = bundle_of(still, SHORT)
        bundle.ledger("check", lambda check, d=digest: check["inputs"].update({window: d}))
        claim = claim_of(still.root, bundle.name, bundle)
        if digest == "absent":
            assert differing(compared_lake(still.store, claim)) == []
        else:
            with pytest.raises(LakeError, match=f"{SHORT}/solver_cells 2022-01-30: expected a stored partition"):
                compared_lake(still.store, claim)


def test_a_rebalance_of_other_rules_differs_at_the_stage_that_reads_them(still: TemporaryHome) -> None:
    bundle = bundle_of(still, SHORT)
    bundle.edit(MANIFEST, lambda document: document["manifest"]["sleeves"][0]["risk"].update(cluster_cap=0.5))
    bundle.seal()
    found = replayed(still.store.folders, claim_of(still.root, bundle.name, bundle), QUIET)[0]
    first = next(one for one in found if one.difference)
    assert first.what == f"{SHORT}/solver_cells"
    assert "code_version: found" in first.difference
    assert "native/hrp" in first.difference


@needs_shared
@pytest.mark.slow
def test_twenty_random_rebalances_of_the_recorded_bars_are_the_same_bit_for_bit() -> None:
    small = small_manifest()
    manifest = Manifest(market=small.market, sleeves=small.sleeves, metas=small.metas[:1])
    days = grid_dates(date(2023, 9, 2), date(2023, 12, 21))
    home = made_home(build_definitions(manifest))
    try:
        assert home.ingest(recorded_bars()).success
        assert home.run(*map(str, days)).success
        # A meta takes as long as both of its sleeves, which are computed with it.
        pairs = [
            *((portfolio, day) for portfolio in (LONG, SHORT) for day in days),
            *((META, day) for day in days[-3:]),
        ]
        for portfolio, day in random.Random(4).sample(pairs, 20):  # noqa: S311 - only has to be arbitrary
            run = run_of(portfolio, str(day))
            comparisons, environment = replayed(home.store.folders, claim_of(home.root, run), QUIET)
            assert (run, differing(comparisons), environment) == (run, [], "")
    finally:
        remove_homes([home])
