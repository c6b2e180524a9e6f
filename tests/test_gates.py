import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from itertools import pairwise
from math import prod
from pathlib import Path

import polars as pl
import pytest

from resources.lake import AssetPath
from resources.receipts import State
from tests.homes import (
    KEYS,
    LONG,
    META,
    NESTED,
    SHORT,
    TemporaryHome,
    cause,
    checks_of,
    made_home,
    remove_homes,
    small_definitions,
    small_market,
)

PROJECT = Path(__file__).resolve().parent.parent
UNIVERSE: AssetPath = ("universe",)
STREAMS, CELLS, WEIGHTS, RECORD = (
    (SHORT, stage) for stage in ("synthetic_returns", "solver_cells", "risk_weights", "track_record")
)
BOOKS: tuple[AssetPath, ...] = ((META, "flattened_weights"), (NESTED, "flattened_weights"))
DOWNSTREAM: tuple[AssetPath, ...] = (
    RECORD,
    *((meta, stage) for meta in (META, NESTED) for stage in ("meta_weights", "meta_track_record", "flattened_weights")),
)
"""All that reads the weights of the short sleeve."""


def judged(*paths: AssetPath) -> list[tuple[AssetPath, str]]:
    """Every check of some assets."""
    return [(path, check) for path, check in checks_of(small_definitions()) if path in paths]


WEIGHTS_CHECKS = [(WEIGHTS, "directional_sign_test"), (WEIGHTS, "weight_sanity")]


def hrp(home: TemporaryHome, path: AssetPath, key: str) -> pl.DataFrame:
    return home.read(path, key).filter(pl.col("profile") == "hrp")


def leg(home: TemporaryHome, key: str, sleeve: str, meta: str = META) -> dict[str, float]:
    """What one sleeve contributes to each symbol of a meta's hrp book."""
    book = hrp(home, (meta, "flattened_weights"), key)
    paths = book.explode("contributions").unnest("contributions").filter(pl.col("path").str.ends_with(sleeve))
    return dict(paths.filter(pl.col("symbol") != "CASH").select("symbol", "contribution").iter_rows())


def decided(home: TemporaryHome, key: str, sleeve: str) -> dict[str, float]:
    rows = hrp(home, (sleeve, "risk_weights"), key).filter(pl.col("net") != 0.0)
    return dict(rows.select("symbol", "net").iter_rows())


def drifted(weights: dict[str, float], first: str, last: str) -> dict[str, float]:
    """Weights times what the market did from the close before `first` to the close before `last`."""
    bars = small_market().with_columns(growth=pl.col("close") / pl.col("close").shift(1).over("symbol"))
    days = pl.col("date").is_between(date.fromisoformat(first), date.fromisoformat(last), closed="left")
    growth = bars.filter(days, pl.col("symbol").is_in(list(weights))).group_by("symbol").agg("growth")
    return {symbol: weights[symbol] * prod(ratios) for symbol, ratios in growth.iter_rows()}


def with_broken_bars(*days: date) -> pl.DataFrame:
    """The small market where SIM004, which is too thin to be held anyway, has a high below its low on some days."""
    broken = (pl.col("symbol") == "BINANCE:SIM004USDT") & pl.col("date").is_in(days)
    return small_market().with_columns(high=pl.when(broken).then(pl.col("low") / 2).otherwise("high"))


def proportions(book: dict[str, float]) -> dict[str, float]:
    total = sum(abs(weight) for weight in book.values())
    return {symbol: weight / total for symbol, weight in sorted(book.items())}


def records(home: TemporaryHome, path: AssetPath, key: str, column: str) -> set[object]:
    return set(home.read(path, key)[column])


@pytest.fixture(scope="module")
def broken_bars() -> Iterator[TemporaryHome]:
    """A home, to be read only, with a broken bar before the second and another before the third of four rebalances."""
    other = made_home(small_definitions())
    assert other.ingest(with_broken_bars(date(2022, 2, 12), date(2022, 2, 22))).success
    assert other.run(*KEYS).success
    yield other
    remove_homes([other])


def test_a_blocked_rebalance_takes_no_other_one_down(home: TemporaryHome, broken_bars: TemporaryHome) -> None:
    sound, broken = home.hashes(), broken_bars.hashes()
    assert sound.keys() == broken.keys()
    assert home.hashes(upto=KEYS[0]) == broken_bars.hashes(upto=KEYS[0])
    stages = ("candidates", "winners", "synthetic_returns", "solver_cells", "risk_weights")
    for sleeve in (LONG, SHORT):
        for stage in stages:
            assert sound[f"{sleeve}/{stage}/{KEYS[3]}.parquet"] == broken[f"{sleeve}/{stage}/{KEYS[3]}.parquet"]
            for key in KEYS[1:3]:
                assert broken_bars.standing((sleeve, stage), key) == "BLOCKED"
                assert broken_bars.read((sleeve, stage), key).is_empty()
                assert "OHLC_ORDER BINANCE:SIM004USDT" in broken_bars.metadata((sleeve, stage), key)["reason"]
    for book in BOOKS:
        assert "held" not in broken_bars.metadata(book, KEYS[3])


def test_the_last_certified_weights_stay_in_force_drifted(home: TemporaryHome, broken_bars: TemporaryHome) -> None:
    for sleeve in (LONG, SHORT):
        for key in KEYS[1:3]:
            expected = proportions(drifted(decided(home, KEYS[0], sleeve), KEYS[0], key))
            assert proportions(leg(broken_bars, key, sleeve)) == pytest.approx(expected, abs=1e-12)
            assert proportions(leg(home, key, sleeve)) != pytest.approx(expected, abs=1e-3)
        assert proportions(leg(broken_bars, KEYS[3], sleeve) or {"": 1.0}) == pytest.approx(
            proportions(decided(home, KEYS[3], sleeve) or {"": 1.0}), abs=1e-12
        )


def test_the_track_record_and_the_books_say_that_weights_are_held_and_since_when(broken_bars: TemporaryHome) -> None:
    for name, stage in ((LONG, "track_record"), (SHORT, "track_record"), (META, "meta_track_record")):
        record = (name, stage)
        assert records(broken_bars, record, KEYS[1], "held") == {""}
        for decision, key in pairwise(KEYS[1:]):
            assert records(broken_bars, record, key, "weights_from") == {date.fromisoformat(KEYS[0])}
            (held,) = records(broken_bars, record, key, "held")
            assert f"at {decision} failed" in str(held)
            assert "OHLC_ORDER" in str(held)
            assert broken_bars.metadata(record, key)["held"] == held
            assert broken_bars.metadata(record, key)["weights_from"] == KEYS[0]
    for book, metas in zip(BOOKS, ([META], [NESTED, META]), strict=True):
        assert "held" not in broken_bars.metadata(book, KEYS[0])
        for key in KEYS[1:3]:
            said = [line.split(":")[0] for line in broken_bars.metadata(book, key)["held"]]
            assert said == [f"{name} holds its weights of {KEYS[0]}" for name in (*metas, LONG, SHORT)]
            assert broken_bars.receipt(book, "conservation", key).passed


def test_a_meta_whose_bars_nobody_vouches_for_holds_its_children_too(broken_bars: TemporaryHome) -> None:
    weights = (META, "meta_weights")
    assert [broken_bars.standing(weights, key) for key in KEYS] == ["OK", "BLOCKED", "BLOCKED", "OK"]
    assert broken_bars.read(weights, KEYS[1]).is_empty()
    # Three windows of history were not there yet, so both children began at one half.
    grown = dict.fromkeys((LONG, SHORT), 1.0)
    for key in KEYS[1:3]:
        for sleeve in grown:
            grown[sleeve] *= prod(1.0 + r for r in hrp(broken_bars, (sleeve, "track_record"), key)["ret"])
        for sleeve, wealth in grown.items():
            last = hrp(broken_bars, (sleeve, "track_record"), key).row(-1, named=True)
            held = {row["symbol"]: row["value"] / last["equity"] for row in last["holdings"] if row["symbol"] != "CASH"}
            share = wealth / sum(grown.values())
            expected = {symbol: share * weight for symbol, weight in held.items()}
            assert leg(broken_bars, key, sleeve) == pytest.approx(expected, abs=1e-12)


def test_what_was_never_certified_holds_nothing(new_home: Callable[[], TemporaryHome]) -> None:
    home = new_home()
    home.ingest(with_broken_bars(date(2022, 2, 1), date(2022, 2, 12)))
    assert home.run(*KEYS[:2]).success
    for key in KEYS[:2]:
        for book in BOOKS:
            assert home.standing(book, key) == "BLOCKED"
            assert f"{META} holds its weights of never: in cash" in home.metadata(book, key)["reason"]
            assert home.store.receipts.state(book, "conservation", key)[0] is State.FAILED
    for record in (RECORD, (META, "meta_track_record")):
        assert records(home, record, KEYS[1], "ret") == {0.0}
        assert records(home, record, KEYS[1], "weights_from") == {None}


def test_a_sleeve_that_was_never_certified_is_cash_in_the_book(home: TemporaryHome) -> None:
    home.plant(WEIGHTS, KEYS[0], rows=pl.col("profile") != "hrp")
    assert home.run(KEYS[0], checks=WEIGHTS_CHECKS).success
    assert home.run(*KEYS[:2], assets=[BOOKS[0]], checks=[(BOOKS[0], "conservation")]).success
    (said,) = home.metadata(BOOKS[0], KEYS[0])["held"]
    assert said.startswith(f"{SHORT} holds its weights of never: in cash: ")
    assert not leg(home, KEYS[0], SHORT)
    cash = hrp(home, BOOKS[0], KEYS[0]).filter(pl.col("symbol") == "CASH")
    assert cash["net"].item() == pytest.approx(0.5, abs=1e-12)
    assert home.receipt(BOOKS[0], "conservation", KEYS[0]).passed


def test_weights_that_fail_a_check_never_reach_the_metas(home: TemporaryHome) -> None:
    before = home.hashes()
    first = pl.int_range(pl.len()) == 0
    home.plant(WEIGHTS, KEYS[1], *(pl.when(first).then(-0.5).otherwise(c).alias(c) for c in ("weight", "net")))
    assert home.run(*KEYS[:3], checks=WEIGHTS_CHECKS).success
    assert home.run(*KEYS[1:], assets=DOWNSTREAM, checks=judged(*DOWNSTREAM)).success
    after = home.hashes()
    for book in BOOKS:
        (said,) = home.metadata(book, KEYS[1])["held"]
        assert said.startswith(f"{SHORT} holds its weights of {KEYS[0]}: ")
        assert "WEIGHT_NEGATIVE" in said
        assert "held" not in home.metadata(book, KEYS[2])
    expected = proportions(drifted(decided(home, KEYS[0], SHORT), KEYS[0], KEYS[1]))
    assert proportions(leg(home, KEYS[1], SHORT)) == pytest.approx(expected, abs=1e-12)
    assert records(home, RECORD, KEYS[2], "weights_from") == {date.fromisoformat(KEYS[0])}
    assert records(home, RECORD, KEYS[3], "weights_from") == {date.fromisoformat(KEYS[2])}
    # The sleeve whose weights are sound, and the rebalance after, whose weights are sound again, stay what they were.
    changed = {name for name in before if before[name] != after[name]}
    assert not [name for name in changed if name.startswith(LONG)]
    assert proportions(leg(home, KEYS[2], SHORT)) == pytest.approx(
        proportions(decided(home, KEYS[2], SHORT)), abs=1e-12
    )
    assert not [name for name in changed if KEYS[0] in name]


def test_solvers_that_mostly_fail_block_their_own_sleeve_and_no_other(home: TemporaryHome) -> None:
    before = home.hashes()
    # Five of sixteen cells of two windows; of 24 cells of three windows they are few enough again.
    failed = pl.int_range(pl.len()) < 5
    home.plant(
        CELLS,
        KEYS[1],
        pl.when(failed).then(pl.lit("failed")).otherwise("status").alias("status"),
        pl.when(failed).then(pl.lit("timeout: no answer within 1 s")).otherwise("reason").alias("reason"),
    )
    assert home.run(*KEYS, checks=[(CELLS, "solver_failure_rate")]).success
    assert home.run(*KEYS[1:], assets=[WEIGHTS]).success
    assert home.run(*KEYS[1:], checks=WEIGHTS_CHECKS).success
    assert home.run(*KEYS[1:], assets=DOWNSTREAM, checks=judged(*DOWNSTREAM)).success
    assert [home.standing(WEIGHTS, key) for key in KEYS] == ["OK", "BLOCKED", "OK", "OK"]
    reason = home.metadata(WEIGHTS, KEYS[1])["reason"]
    assert "5 of 16 expected cells of the last 2 windows failed (31.2% > 25%)" in reason
    assert "5 x native failed: timeout: no answer within 1 s" in reason
    for book in BOOKS:
        (said,) = home.metadata(book, KEYS[1])["held"]
        assert said.startswith(f"{SHORT} holds its weights of {KEYS[0]}: ")
        assert "held" not in home.metadata(book, KEYS[2])
        assert home.metadata(book, KEYS[1])["certification"] == "DEGRADED"
        assert home.metadata(book, KEYS[1])["sleeves"][SHORT] == "HELD"
    expected = proportions(drifted(decided(home, KEYS[0], SHORT), KEYS[0], KEYS[1]))
    assert proportions(leg(home, KEYS[1], SHORT)) == pytest.approx(expected, abs=1e-12)
    assert records(home, RECORD, KEYS[2], "weights_from") == {date.fromisoformat(KEYS[0])}
    assert records(home, RECORD, KEYS[3], "weights_from") == {date.fromisoformat(KEYS[2])}
    after = home.hashes()
    assert not [name for name in before if name.startswith(LONG) and before[name] != after[name]]


def test_assets_materialised_by_themselves_after_a_failed_gate_hold_where_it_failed(home: TemporaryHome) -> None:
    home.plant(STREAMS, KEYS[1], pl.col("raw").alias("synthetic"))
    assert home.run(*KEYS[:3], checks=[(STREAMS, "directional_sign_test")]).success
    assert home.run(*KEYS[:3], assets=[CELLS]).success
    assert [home.standing(CELLS, key) for key in KEYS[:3]] == ["OK", "BLOCKED", "OK"]
    assert home.run(*KEYS[:3], checks=[(CELLS, "solver_failure_rate")]).success
    assert home.run(*KEYS[:3], assets=[WEIGHTS]).success
    assert [home.standing(WEIGHTS, key) for key in KEYS[:3]] == ["OK", "BLOCKED", "OK"]
    assert home.read(WEIGHTS, KEYS[1]).is_empty()
    assert home.run(*KEYS[:3], checks=WEIGHTS_CHECKS).success
    assert home.store.receipts.state(WEIGHTS, "weight_sanity", KEYS[1])[0] is State.FAILED
    assert not home.run(KEYS[1], assets=BOOKS[:1]).success, "alone, it could certify nothing"
    assert home.run(*KEYS[1:3], assets=BOOKS[:1]).success
    assert SHORT in home.metadata(BOOKS[0], KEYS[1])["held"][0]
    symbols = {*leg(home, KEYS[1], SHORT)}
    assert symbols == {*decided(home, KEYS[0], SHORT)}


GATES: dict[str, tuple[AssetPath, str, AssetPath, str]] = {
    "bars before candidates": (UNIVERSE, "bars_complete", (SHORT, "candidates"), KEYS[1]),
    "streams before solvers": (STREAMS, "directional_sign_test", CELLS, KEYS[1]),
    "solvers before weights": (CELLS, "solver_failure_rate", WEIGHTS, KEYS[1]),
    "signs before books": (WEIGHTS, "directional_sign_test", BOOKS[0], KEYS[1]),
    "sanity before books": (WEIGHTS, "weight_sanity", BOOKS[1], KEYS[1]),
    "sanity before the record": (WEIGHTS, "weight_sanity", RECORD, KEYS[2]),
    "solvers before the record": (CELLS, "solver_failure_rate", RECORD, KEYS[2]),
    "a record before the next one": (RECORD, "ledger_identities", RECORD, KEYS[2]),
    "an earlier record before metas": (RECORD, "ledger_identities", (META, "meta_weights"), KEYS[3]),
    "an earlier record before metrics": (RECORD, "ledger_identities", (SHORT, "sleeve_metrics"), KEYS[3]),
    "child weights before books": ((META, "meta_weights"), "child_weights", BOOKS[0], KEYS[1]),
    "parity before books": ((META, "meta_weights"), "parameter_parity", BOOKS[0], KEYS[1]),
    "parity before the record": ((META, "meta_weights"), "parameter_parity", (META, "meta_track_record"), KEYS[2]),
    "the audit before the board": ((SHORT, "audit_bundle"), "audit_verified", ("certification_board",), KEYS[1]),
}
"""What is judged, by what, who must ask, and at which rebalance it asks about the second one."""


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("state", ["absent", "stale", "unreadable"])
def test_nobody_builds_on_a_partition_that_nobody_judged(home: TemporaryHome, gate: str, state: str) -> None:
    judged, check, reader, at = GATES[gate]
    receipt = home.store.receipts.path(judged, check, KEYS[1])
    if state == "absent":
        receipt.unlink()
    elif state == "unreadable":
        receipt.write_text("{", encoding="utf-8")
    else:
        home.plant(judged, KEYS[1], rows=pl.int_range(pl.len()) > 0)
    before = home.hashes()
    result = home.run(at, assets=[reader])
    assert not result.success
    text = cause(result)
    assert "\n" not in text
    assert f" of {'/'.join(judged)} at {KEYS[1]}: " in text
    assert f"dagster asset materialize --select {'/'.join(judged)} --partition {KEYS[1]}" in text
    if state == "stale":  # then every check of the partition is, and the first one is named
        assert "changed after it was judged" in text
    else:
        assert f"{check} of " in text
        assert "no receipt" in text
    assert home.hashes() == before, "a refused run wrote something"


def test_the_rerun_that_the_refusal_names_opens_the_gate(home: TemporaryHome) -> None:
    home.plant(WEIGHTS, KEYS[1], rows=pl.int_range(pl.len()) > 0)
    command = cause(home.run(KEYS[1], assets=[BOOKS[0]])).split("(")[-1].rstrip(")")
    home.close()
    variables = {
        "DAGSTER_HOME": str(home.store.folders.dagster),
        "DAGSTER_MODULE_NAME": "tests.small",
        "PYTHONPATH": str(PROJECT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    ran = subprocess.run(
        shlex.split(command), cwd=PROJECT, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert home.store.receipts.state(WEIGHTS, "weight_sanity", KEYS[1])[0] is State.PASSED
    reopened = TemporaryHome(home.root, home.defs)
    assert reopened.run(KEYS[1], assets=[BOOKS[0]]).success
    reopened.close()


def test_a_failed_solver_never_sells_a_book_its_profile_holds_and_the_others_trade(home: TemporaryHome) -> None:
    before = home.hashes()
    failed = pl.col("profile") == "hrp"
    home.plant(
        CELLS,
        KEYS[1],
        pl.when(failed).then(pl.lit("failed")).otherwise("status").alias("status"),
        pl.when(failed).then(pl.lit("timeout: planted")).otherwise("reason").alias("reason"),
    )
    assert home.run(*KEYS, checks=[(CELLS, "solver_failure_rate")]).success
    assert home.run(*KEYS[1:], assets=[WEIGHTS]).success
    assert home.run(*KEYS[1:], checks=WEIGHTS_CHECKS).success
    assert home.run(*KEYS[1:], assets=DOWNSTREAM, checks=judged(*DOWNSTREAM)).success
    assert [home.standing(WEIGHTS, key) for key in KEYS] == ["OK"] * 4, "one cell of sixteen does not block"
    (nothing,) = hrp(home, WEIGHTS, KEYS[1]).rows(named=True)
    assert (nothing["symbol"], nothing["status"], nothing["reason"]) == (None, "failed", "timeout: planted")
    expected = proportions(drifted(decided(home, KEYS[0], SHORT), KEYS[0], KEYS[1]))
    assert proportions(leg(home, KEYS[1], SHORT)) == pytest.approx(expected, abs=1e-12)
    for book in BOOKS:
        assert home.metadata(book, KEYS[1])["held"] == [
            f"{SHORT} holds what it held under hrp: no engine of record solved it"
        ]
        assert home.metadata(book, KEYS[1])["certification"] == "DEGRADED"
    # The ledger of hrp trades nothing in that window, that of another profile does.
    first = home.read(RECORD, KEYS[2]).filter(pl.col("date") == pl.col("date").min())
    turnover = dict(first.select("profile", "turnover").iter_rows())
    assert turnover["hrp"] == 0.0
    assert turnover["min_variance"] > 0.1
    after = home.hashes()
    assert not [name for name in before if name.startswith(LONG) and before[name] != after[name]]
