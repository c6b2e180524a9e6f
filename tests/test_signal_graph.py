"""Sleeves with signals of their own, from profile files to certificates, beside sleeves that choose by ratings."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from assets.keys import signal_path
from commands import explain as explaining
from commands.rebuild import replayed
from definitions import build_definitions
from profiles.load import PROFILES, load_manifest
from sleevegraph.manifest import Manifest
from sleevegraph.signals.momentum import signal as momentum
from tests.bundles import Bundle
from tests.command_homes import sleevegraph
from tests.homes import KEYS, LONG, SHORT, TemporaryHome, made_home, remove_homes, small_market, solved_by
from tests.replays import claim_of, differing, run_of, to

AT, LATER = KEYS[:2]
OWN = ("momentum_long", "momentum_short", "peeking_long", "raising_long", "scored_short")

PEEKING = """
import polars as pl

highest = {}


def signal(bars, at):
    known = bars.filter(pl.col("date") < at).collect()
    for symbol, close in known.select("symbol", "close").rows():
        highest[symbol] = max(close, highest.get(symbol, 0.0))
    return known.select("symbol").unique().with_columns(score=pl.col("symbol").replace_strict(highest))
"""
RAISING = """
import asyncio
import warnings

from sleevegraph.signals.momentum import signal as momentum


def signal(bars, at, limit):
    if str(at) >= limit:
        raise asyncio.CancelledError(f"no answer at {at}")
    warnings.simplefilter("error")
    return momentum(bars, at)
"""
SIGNALS = {
    "momentum": 'function = "sleevegraph.signals.momentum:signal"\nparameters = { days = 60 }',
    "peeking": 'function = "peeking.py:signal"',
    "raising": f'function = "raising.py:signal"\\nparameters = {{ limit = "{LATER}" }}',
    "scored": 'scores = "scored.csv"',
}


def profiles(folder: Path) -> Path:
    """A folder of profiles: two of the shipped sleeves, and five with signals."""
    (folder / "sleeves").mkdir(parents=True)
    (folder / "metas").mkdir()
    shutil.copy(PROFILES / "market.toml", folder)
    for name in (LONG, SHORT):
        shutil.copy(PROFILES / "sleeves" / f"{name}.toml", folder / "sleeves")
    for name in OWN:
        logic, _, direction = name.partition("_")
        head = f'name = "{name}"\nlogic = "{logic}"\ndirection = "{direction.upper()}"\n\n[signal]\n'
        (folder / "sleeves" / f"{name}.toml").write_text(head + SIGNALS[logic].replace("\\n", "\n") + "\n")
    (folder / "sleeves" / "peeking.py").write_text(PEEKING)
    (folder / "sleeves" / "raising.py").write_text(RAISING)
    symbols = small_market().filter(pl.col("date") < pl.date(2022, 1, 1))["symbol"].unique().sort()
    rows = [f"2022-02-08,{symbol},{0.5 - place / len(symbols)}" for place, symbol in enumerate(symbols)]
    (folder / "sleeves" / "scored.csv").write_text("\n".join(["date,symbol,score", *rows, f"{AT},NOBODY,nan", ""]))
    return folder


def versions(definitions: dg.Definitions) -> dict[str, str | None]:
    """Code version by asset."""
    specs = (spec for asset in definitions.assets or () for spec in getattr(asset, "specs", [asset]))
    return {spec.key.to_user_string(): spec.code_version for spec in specs}


@dataclass(frozen=True)
class Ran:
    """A home of those profiles after two rebalances."""

    home: TemporaryHome
    folder: Path
    manifest: Manifest
    run: dg.ExecuteInProcessResult


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = profiles(tmp_path_factory.mktemp("profiles") / "own")
    read = load_manifest(folder)
    manifest = Manifest(market=read.market, sleeves=tuple(solved_by(s, "native") for s in read.sleeves), metas=())
    home = made_home(build_definitions(manifest, folder))
    assert home.ingest(small_market()).success
    yield Ran(home, folder, manifest, home.run(AT, LATER))
    remove_homes([home])


def test_a_signal_that_fails_blocks_its_own_sleeves_at_that_rebalance_and_nobody_else(ran: Ran) -> None:
    assert ran.run.success
    stands = {
        (name, key): ran.home.standing((name, "candidates"), key) for name in (*OWN, LONG, SHORT) for key in (AT, LATER)
    }
    blocked = {("peeking_long", AT), ("peeking_long", LATER), ("raising_long", LATER), ("scored_short", LATER)}
    assert {place for place, standing in stands.items() if standing == "BLOCKED"} == blocked
    assert set(stands.values()) == {"OK", "BLOCKED"}
    raised = "signal raising: signal.function: raising.py:10: CancelledError: no answer at 2022-02-19"
    assert ran.home.store.lake.standing(signal_path("raising"), LATER)[1] == f"SignalError: {raised}"
    for name in ("candidates", "winners", "risk_weights"):
        assert raised in ran.home.store.lake.standing(("raising_long", name), LATER)[1]
    assert "look_ahead of signals/raising" in ran.home.store.lake.standing(("raising_long", "candidates"), LATER)[1]
    nobody = "signal scored: signal.scores: scored.csv: line 23: expected a symbol and a finite score, found NOBODY nan"
    assert nobody in ran.home.store.lake.standing(signal_path("scored"), LATER)[1]


def test_a_signal_that_remembers_is_found_by_the_check_though_no_decision_lets_it(ran: Ran) -> None:
    receipt = ran.home.receipt(signal_path("peeking"), "look_ahead", AT)
    assert not receipt.passed
    assert receipt.findings[0].startswith("ERROR LOOK_AHEAD BINANCE:")
    assert "asked about a later rebalance before: expected " in receipt.findings[0]
    closes = (
        small_market().filter(pl.col("date") < pl.lit(AT).str.to_date()).group_by("symbol").agg(pl.col("close").max())
    )
    assert ran.home.read(signal_path("peeking"), AT).rows() == sorted(closes.rows())
    assert ran.home.evaluations(signal_path("momentum"), "look_ahead", ran.run.run_id) == {AT: True, LATER: True}


def test_scores_are_computed_once_for_all_sleeves_of_a_logic_from_bars_before_p(ran: Ran) -> None:
    stored = ran.home.read(signal_path("momentum"), AT)
    known = small_market().filter(pl.col("date") < pl.lit(AT).str.to_date())
    assert stored.equals(momentum(known.lazy(), pl.Series([AT]).str.to_date()[0], days=60).sort("symbol"))
    scores = dict(stored.rows())
    for name, sign in (("momentum_long", 1.0), ("momentum_short", -1.0)):
        kept = ran.home.read((name, "candidates"), AT).filter("kept")
        assert kept.height >= 3
        assert (kept["rating"] * sign > 0).all()
        assert {symbol: scores[symbol] for symbol in kept["symbol"]} == dict(kept.select("symbol", "rating").rows())
    made = [
        e for e in ran.run.get_asset_materialization_events() if e.asset_key == dg.AssetKey(["signals", "momentum"])
    ]
    assert [event.partition for event in made] == [AT, LATER]


def test_sleeves_that_choose_by_ratings_are_the_same_bytes_without_them(ran: Ran, home: TemporaryHome) -> None:
    without = {file: found for file, found in home.hashes(upto=LATER).items() if file.split("/")[0] in {LONG, SHORT}}
    beside = ran.home.hashes()
    assert {file: beside[file] for file in without} == without
    assert len(without) == 8 * 2 * 2


def test_a_bundle_names_the_signal_it_rests_on_verifies_and_replays(ran: Ran) -> None:
    runs = ran.home.root / "runs"
    names = [run_of(name, key) for name in ("momentum_short", "raising_long") for key in (AT, LATER)]
    for name in names:
        assert sleevegraph("verify", runs / name).exit_code == 0, sleevegraph("verify", runs / name).output
    claim = claim_of(ran.home.root, run_of("momentum_short", LATER))
    used = {stage["asset"]: stage for stage in claim.at_the_rebalance()}
    assert "signals/momentum" in used
    assert "technical_ratings" not in used
    assert [r["state"] for r in claim.records if r["event"] == "check" and r["check"] == "look_ahead"] == ["PASSED"]
    comparisons, _ = replayed(ran.home.store.folders, claim, Console(quiet=True))
    assert differing(comparisons) == []
    assert "signals/momentum" in {one.what for one in comparisons}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda b: b.drop("check", lambda r: r["check"] == "look_ahead"), "expected one verdict, found none"),
        (lambda b: b.drop("stage", lambda r: r["asset"] == "signals/momentum"), "stage signals/momentum: expected the"),
        (lambda b: b.ledger("check", to("rules", {}), lambda r: r["check"] == "look_ahead"), "rules: expected signal"),
        (
            lambda b: b.ledger("check", to("inputs", {}), lambda r: r["check"] == "look_ahead"),
            "inputs: expected daily_bars",
        ),
        (
            lambda b: b.ledger("check", to("inputs", {}), lambda r: r["asset"].endswith("/synthetic_returns")),
            "daily_bars, momentum_long/candidates, momentum_long/winners, signals/momentum, universe, found none",
        ),
    ],
    ids=["no verdict", "no stage", "no rules", "no inputs", "sign test of nothing"],
)
def test_a_bundle_without_what_its_signal_was_judged_by_does_not_verify(
    ran: Ran, damage: Callable[[Bundle], object], says: str
) -> None:
    bundle = Bundle(ran.home.root / "runs" / run_of("momentum_long", AT))
    assert bundle.failed() == []
    damage(bundle)
    bundle.seal()
    (failed,) = [guarantee for guarantee in bundle.verify() if guarantee.name == "gates"]
    assert not failed.ok
    assert says in failed.text


def test_a_changed_signal_is_another_code_version_of_its_scores_and_bundles_alone(ran: Ran) -> None:
    source = ran.folder / "sleeves" / "raising.py"
    kept = source.read_text()
    before = versions(build_definitions(ran.manifest, ran.folder))
    try:
        source.write_text(kept + "\n# changed\n")
        after = versions(build_definitions(ran.manifest, ran.folder))
    finally:
        source.write_text(kept)
    assert {name for name in before if before[name] != after[name]} == {"signals/raising"}
    faster = [
        sleeve.model_copy(update={"signal": sleeve.signal.model_copy(update={"parameters": {"days": 30}})})
        if sleeve.logic == "momentum" and sleeve.signal
        else sleeve
        for sleeve in ran.manifest.sleeves
    ]
    after = versions(build_definitions(ran.manifest.model_copy(update={"sleeves": tuple(faster)}), ran.folder))
    bundles = {"momentum_long/audit_bundle", "momentum_short/audit_bundle"}
    assert {name for name in before if before[name] != after[name]} == {"signals/momentum", *bundles}


def test_explain_tells_the_score(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "manifest_in_use", lambda: ran.manifest)
    row = ran.home.read(("momentum_long", "candidates"), AT).filter("kept").row(0, named=True)
    said = sleevegraph("explain", row["symbol"], "--on", AT, "--home", ran.home.root)
    assert said.exit_code == 0, said.output
    lines = [" ".join(line.split()) for line in said.stdout.splitlines()]
    assert f"signal momentum {row['rating']:+.3f}" in lines
    assert f"candidates rank 1, signal momentum {row['rating']:+.3f}" in lines
