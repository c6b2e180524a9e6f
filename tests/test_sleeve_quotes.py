"""Sleeves of one market that take other quotes: each gets its own pair of a base, from ratings to certificates."""

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from commands import explain as explaining
from definitions import build_definitions
from sleevegraph.manifest import Manifest, SleeveProfile
from tests.bundles import Bundle
from tests.command_homes import sleevegraph
from tests.homes import KEYS, SHORT, TemporaryHome, made_home, remove_homes, small_manifest, small_market
from tests.replays import run_of, to

AT = KEYS[2]
EVERY, USDC, USDT = SHORT, "short_usdc", "short_usdt"
COPIED = 12
"""Bases that trade in two quotes."""


def market() -> pl.DataFrame:
    """The small market, and some of its symbols in USDC again, at half the volume; every second the other way round."""
    bars = small_market()
    judged = bars.filter(pl.col("date") == pl.date(2022, 2, 27)).sort("symbol")
    bases = judged.filter(~pl.col("base").is_in(["USDC"]))["base"].to_list()[:COPIED]
    copied = bars.filter(pl.col("base").is_in(bases))
    copied = copied.with_columns(symbol="BINANCE:" + pl.col("base") + "USDC", quote=pl.lit("USDC"))
    factor = pl.when(pl.col("base").is_in(bases[::2])).then(0.5).otherwise(2.0)
    return pl.concat([bars, copied.with_columns(pl.col("volume", "quote_volume") * factor)])


def manifest() -> Manifest:
    """One sleeve without quotes, and the same with each of two."""
    small = small_manifest()
    rules = small.market.universe.model_copy(update={"quotes": ("USDT", "USDC")})
    plain = next(sleeve for sleeve in small.sleeves if sleeve.name == SHORT)
    sleeves = (plain, named(plain, USDC, "USDC"), named(plain, USDT, "USDT"))
    return Manifest(market=small.market.model_copy(update={"universe": rules}), sleeves=sleeves, metas=())


def named(sleeve: SleeveProfile, name: str, quote: str) -> SleeveProfile:
    return sleeve.model_copy(update={"name": name, "quotes": (quote,)})


@pytest.fixture(scope="module")
def home() -> Iterator[TemporaryHome]:
    home = made_home(build_definitions(manifest()))
    assert home.ingest(market()).success
    assert home.run(AT).success
    yield home
    remove_homes([home])


def passing(home: TemporaryHome) -> pl.DataFrame:
    """Pairs that pass every rule but the one on duplicates, the most traded first."""
    universe = home.read(("universe",), AT)
    found = universe.filter(pl.col("rule").is_null() | (pl.col("rule") == "duplicate_base"))
    return found.sort("median_quote_volume", "symbol", descending=[True, False])


def expected(home: TemporaryHome, *quotes: str) -> set[str]:
    """One pair per base, by a loop."""
    best: dict[str, str] = {}
    for base, quote, symbol in passing(home).select("base", "quote", "symbol").iter_rows():
        if quote in quotes:
            best.setdefault(base, symbol)
    return set(best.values())


def held(home: TemporaryHome, sleeve: str, profile: str) -> set[str]:
    rows = home.read((sleeve, "risk_weights"), AT).filter(profile=profile).filter(pl.col("symbol") != "CASH")
    return set(rows["symbol"])


def test_each_sleeve_chooses_among_its_own_pairs_and_all_of_them_are_rated(home: TemporaryHome) -> None:
    pairs = {EVERY: ("USDT", "USDC"), USDC: ("USDC",), USDT: ("USDT",)}
    offered = {name: set(home.read((name, "candidates"), AT)["symbol"]) for name in pairs}
    assert offered == {name: expected(home, *quotes) for name, quotes in pairs.items()}
    assert all(symbol.endswith("USDC") for symbol in offered[USDC])
    assert {symbol[-4:] for symbol in offered[EVERY]} == {"USDT", "USDC"}
    preferred = passing(home).filter("eligible")
    assert offered[USDC] - set(preferred["symbol"])  # pairs that the market does not prefer
    assert offered[EVERY] == set(preferred["symbol"])
    assert set(home.read(("technical_ratings",), AT)["symbol"]) == set(passing(home)["symbol"])
    for name in pairs:
        rows = home.read((name, "candidates"), AT)
        assert rows["rating"].null_count() == 0
        assert rows["kept"].sum() >= 3


def test_benchmark_holds_what_the_sleeve_may_hold_and_market_the_benchmark_symbols(home: TemporaryHome) -> None:
    for name in (EVERY, USDC, USDT):
        assert home.standing((name, "risk_weights"), AT) == "OK"
        assert held(home, name, "benchmark") == set(home.read((name, "candidates"), AT)["symbol"])
        assert held(home, name, "equal_weight") <= held(home, name, "benchmark")
        assert home.receipt((name, "risk_weights"), "directional_sign_test", AT).passed
        assert home.receipt((name, "synthetic_returns"), "directional_sign_test", AT).passed
    assert "BINANCE:BTCUSDT" in expected(home, "USDT")
    for name in (USDC, USDT):
        assert held(home, name, "market") == {"BINANCE:BTCUSDT"}


def bundle(home: TemporaryHome, sleeve: str) -> Bundle:
    return Bundle(home.root / "runs" / run_of(sleeve, AT))


def test_the_bundle_of_each_says_whom_it_may_hold_and_verifies(home: TemporaryHome) -> None:
    universe = home.read(("universe",), AT)
    for name in (EVERY, USDC, USDT):
        made = bundle(home, name)
        assert made.failed() == []
        (atoms,), (drops,) = ([r for r in made.records if r["event"] == event] for event in ("atoms", "universe_drops"))
        assert set(atoms["eligible"]) == held(home, name, "benchmark")
        assert {d["symbol"] for d in drops["drops"]} == set(universe["symbol"]) - set(atoms["eligible"])
        other = {d["symbol"] for d in drops["drops"] if d["rule"] == "other_quote"}
        assert other == set(universe.filter("eligible")["symbol"]) - set(atoms["eligible"])


def test_a_pair_that_the_sleeve_may_not_hold_is_found_by_the_sign_test(home: TemporaryHome) -> None:
    path = (USDC, "risk_weights")
    weights = home.read(path, AT)
    foreign = min(expected(home, "USDT"))
    first = min(held(home, USDC, "benchmark"))
    wrong = (pl.col("profile") == "benchmark") & (pl.col("symbol") == first)
    home.plant(path, AT, pl.when(wrong).then(pl.lit(foreign)).otherwise("symbol").alias("symbol"))
    assert home.run(AT, assets=[], checks=[(path, "directional_sign_test")]).success
    assert not home.receipt(path, "directional_sign_test", AT).passed
    home.store.lake.write(path, AT, weights)
    assert home.run(AT, assets=[], checks=[(path, "directional_sign_test")]).success
    assert home.receipt(path, "directional_sign_test", AT).passed


def quoted(rule: str) -> Any:
    return lambda record: record["drops"][0].update(rule=rule)


@pytest.mark.parametrize(
    ("sleeve", "damage", "says"),
    [
        (EVERY, lambda b: b.ledger("universe_drops", quoted("other_quote")), "of a sleeve without quotes"),
        (USDC, lambda b: b.ledger("atoms", lambda r: r["eligible"].pop()), "universe: rows"),
        (
            USDC,
            lambda b: b.ledger("check", to("rules", {}), lambda r: r["check"] == "directional_sign_test"),
            "rules: expected quotes",
        ),
    ],
    ids=["other quote of every quote", "one eligible pair less", "sign test without quotes"],
)
def test_a_ledger_that_contradicts_its_quotes_does_not_verify(
    home: TemporaryHome, sleeve: str, damage: Any, says: str
) -> None:
    made = bundle(home, sleeve)
    damage(made)
    made.seal()
    assert any(says in guarantee.text for guarantee in made.verify() if not guarantee.ok)


def test_explain_says_which_sleeve_may_hold_the_pair(home: TemporaryHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "manifest_in_use", manifest)
    rows = passing(home)
    for quote, own, other in (("USDC", USDC, USDT), ("USDT", USDT, USDC)):
        pair = rows.filter((pl.col("rule") == "duplicate_base") & (pl.col("quote") == quote))["symbol"].sort()[0]
        said = sleevegraph("explain", pair, "--on", AT, "--home", home.root)
        assert said.exit_code == 0, said.output
        lines = [" ".join(line.split()) for line in said.stdout.splitlines()]
        (universe,) = (line for line in lines if line.startswith("universe duplicate_base ("))
        assert universe.endswith(f"; eligible for {own} by its quotes")
        for name in (EVERY, other):
            block = lines[[line.split(" ")[0] for line in lines].index(name) :]
            assert block[1].startswith("universe dropped: duplicate_base")
    whole = rows.filter((pl.col("rule").is_null()) & (pl.col("quote") == "USDT"))["symbol"].sort()[0]
    said = sleevegraph("explain", whole, "--on", AT, "--home", home.root)
    assert "dropped: other_quote (USDT is not among USDC)" in said.stdout
