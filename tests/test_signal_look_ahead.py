"""The look-ahead test convicts who deserves it, and nobody else."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from sleevegraph.bars import validate_bars
from sleevegraph.findings import Finding
from sleevegraph.signals import Function
from sleevegraph.signals.look_ahead import LOOK_AHEAD, NOT_DETERMINISTIC, look_ahead
from sleevegraph.signals.noise import futures
from tests.signal_markets import AT, LAST_CLOSE, MODULE, body, market, signal_of, written

SHORT = {"days": 30}


def judged(signal: Function) -> list[Finding]:
    """What is found of scores that the signal itself gave."""
    return look_ahead(signal, market(), AT, signal.opened()(market(), AT))


@pytest.mark.parametrize("name", MODULE)
def test_the_examples_pass(name: str) -> None:
    signal = signal_of({"function": MODULE[name], "parameters": SHORT})
    assert isinstance(signal, Function)
    assert judged(signal) == []


def test_a_function_that_filters_for_itself_passes(tmp_path: Path) -> None:
    assert judged(written(tmp_path, *body(LAST_CLOSE))) == []


GUILTY = {
    "uses the last row without filtering": (
        LOOK_AHEAD,
        ("def signal(bars, at):", "    return bars.group_by('symbol').agg(score=pl.col('close').last()).collect()"),
    ),
    "looks at the bars of P": (
        LOOK_AHEAD,
        body(
            "today = bars.filter(pl.col('date') >= at).collect()",
            "up = today.group_by('symbol').agg(score=pl.col('close').first())",
            f"return up if up.height else {LAST_CLOSE.removeprefix('return ')}",
        ),
    ),
    "ranks among symbols that are yet to be listed": (
        LOOK_AHEAD,
        body(
            "count = bars.select(pl.col('symbol').n_unique()).collect().item()",
            f"return ({LAST_CLOSE.removeprefix('return ')}).with_columns(pl.col('score') / count)",
        ),
    ),
    "raises when it meets more than it was used to": (
        LOOK_AHEAD,
        body("assert bars.select(pl.col('date').max()).collect().item() < at", LAST_CLOSE),
    ),
    "remembers the future in a global": (
        LOOK_AHEAD,
        (
            "seen = {}",
            "def signal(bars, at):",
            "    for symbol, close in bars.select('symbol', 'close').collect().rows():",
            "        seen[symbol] = max(close, seen.get(symbol, 0.0))",
            "    return pl.DataFrame({'symbol': list(seen), 'score': list(seen.values())}).filter(",
            "        pl.col('symbol').is_in(bars.select('symbol').collect()['symbol'].implode()))",
        ),
    ),
    "keeps its first answer": (
        LOOK_AHEAD,
        (
            "first = []",
            "def signal(bars, at):",
            "    if not first:",
            "        first.append(bars.filter(pl.col('date') < at).group_by('symbol').agg(score=pl.col('close').sum()).collect())",
            "    return first[0]",
        ),
    ),
    "knows who is still listed later": (
        LOOK_AHEAD,
        body(
            "alive = bars.filter(pl.col('date') >= at).select('symbol').unique().collect()['symbol']",
            f"past = ({LAST_CLOSE.removeprefix('return ')})",
            "return past.filter(pl.col('symbol').is_in(alive.implode())) if len(alive) else past",
        ),
    ),
    "draws lots": (
        NOT_DETERMINISTIC,
        body(f"return ({LAST_CLOSE.removeprefix('return ')}).with_columns(score=np.random.default_rng().normal(size=6))"),
    ),
    "counts its calls": (
        NOT_DETERMINISTIC,
        (
            "calls = []",
            *body(
                "calls.append(at)",
                f"return ({LAST_CLOSE.removeprefix('return ')}).with_columns(pl.col('score') * len(calls))",
            ),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", GUILTY)
def test_who_looks_ahead_remembers_or_draws_lots_is_found(tmp_path: Path, what: str) -> None:
    code, lines = GUILTY[what]
    found = judged(written(tmp_path, *lines))
    assert code in {finding.code for finding in found}
    assert {finding.level for finding in found} == {"ERROR"}


@pytest.mark.parametrize("ahead", [0, 1, 89, 90, 120, 365, 500, 1000])
def test_a_look_at_one_day_is_found_however_far_ahead_it_is(tmp_path: Path, ahead: int) -> None:
    looks = body(
        f"then = bars.filter(pl.col('date') == at + timedelta(days={ahead})).select('symbol', then='close')",
        f"past = ({LAST_CLOSE.removeprefix('return ')}).lazy()",
        "known = past.join(then, on='symbol', how='left')",
        "return known.select('symbol', score=pl.coalesce('then', 'score')).collect()",
    )
    found = judged(written(tmp_path, *looks))
    assert LOOK_AHEAD in {finding.code for finding in found}


@pytest.mark.parametrize("days", [5, 120, 300])
def test_a_return_over_the_days_to_come_is_found(tmp_path: Path, days: int) -> None:
    forward = (
        f"then = pl.col('close').shift(-{days}).over('symbol', order_by='date')",
        "rows = bars.with_columns(score=pl.coalesce(then / pl.col('close') - 1.0, pl.col('close')))",
        "rows = rows.filter(pl.col('date') < at).group_by('symbol').agg(pl.col('score').sort_by('date').last())",
        "return rows.collect()",
    )
    found = judged(written(tmp_path, *body(*forward)))
    assert "scaled for years" in " ".join(finding.message for finding in found)


def test_a_finding_names_the_symbol_and_both_values(tmp_path: Path) -> None:
    lines = ("def signal(bars, at):", "    return bars.group_by('symbol').agg(score=pl.col('close').last()).collect()")
    signal = written(tmp_path, *lines)
    closes = dict(market().group_by("symbol").agg(pl.col("close").last()).rows())
    noise = dict(futures(market(), AT))["reversed"].group_by("symbol").agg(pl.col("close").sort_by("date").last())
    known = dict(noise.rows())
    (finding,) = [one for one in judged(signal) if "(reversed)" in one.message]
    # The listing of the noise is what the last row is of, so there is no answer at all.
    assert "expected a symbol with a bar before 2023-06-10" in finding.message
    filtered = written(
        tmp_path, *lines[:1], lines[1].replace("bars.", "bars.filter(~pl.col('base').str.contains('NOISE')).")
    )
    (finding,) = [one for one in judged(filtered) if "(reversed)" in one.message]
    assert finding.symbol == "BINANCE:AAAUSDT"
    values = [repr(prices[finding.symbol]) for prices in (closes, known)]
    assert f"expected {values[0]} as stored, found {values[1]} (6 of 6 scores differ)" in finding.message


def test_what_is_stored_is_compared_and_not_only_the_answers_among_each_other() -> None:
    signal = signal_of({"function": MODULE["momentum"], "parameters": SHORT})
    stored = signal.opened()(market(), AT)
    hair = pl.when(pl.col("symbol") == "BINANCE:CCCUSDT").then(1.0 + 2**-52).otherwise(1.0)
    moved = look_ahead(signal, market(), AT, stored.with_columns(pl.col("score") * hair))
    assert {finding.symbol for finding in moved} == {"BINANCE:CCCUSDT"}
    assert "1 of 6 scores differ" in moved[0].message
    lost = look_ahead(signal, market(), AT, stored.filter(pl.col("symbol") != "BINANCE:CCCUSDT"))
    assert {finding.symbol for finding in lost} == {"BINANCE:CCCUSDT"}
    assert "expected no score as stored" in lost[0].message


def test_the_noise_leaves_the_past_as_it_is_and_is_a_market_that_nobody_could_tell_from_one() -> None:
    draws = dict(futures(market(), AT))
    assert list(draws) == ["scaled", "scaled for years", "half of the symbols gone", "reversed", "extreme"]
    for name, frame in draws.items():
        assert frame.filter(pl.col("date") < AT).equals(market())
        late = frame.filter(pl.col("date") >= AT)
        length = 13 * 90 if "years" in name else 90
        assert late["date"].unique().sort().to_list() == [AT + timedelta(days=day) for day in range(length)]
        assert late["symbol"].n_unique() == (3 if "half" in name else 6) + 1
        validate_bars(frame, name)
    assert list(futures(market().clear(), AT)) == []


def scores(folder: Path, *rows: tuple[str, str, float]) -> dict[str, object]:
    (folder / "sleeves").mkdir()
    pl.DataFrame(rows, schema=["date", "symbol", "score"], orient="row").write_csv(folder / "sleeves" / "own.csv")
    return {"scores": "own.csv"}


def test_rows_of_a_scores_file_from_p_on_have_no_say(tmp_path: Path) -> None:
    rows = [
        ("2023-06-08", "BINANCE:AAAUSDT", 3.0),
        ("2023-06-09", "BINANCE:AAAUSDT", 1.0),
        ("2023-06-09", "BINANCE:BBBUSDT", -1.0),
    ]
    later = [("2023-06-10", "BINANCE:AAAUSDT", float("nan")), ("2023-06-30", "NOBODY", 9.0)]
    signal = signal_of(scores(tmp_path, *rows, *later), tmp_path)
    stored = signal.opened()(market(), AT)
    assert stored.rows() == [("BINANCE:AAAUSDT", 1.0), ("BINANCE:BBBUSDT", -1.0)]
    assert look_ahead(signal, market(), AT, stored) == []
    (tmp_path / "sleeves" / "own.csv").write_text("date,symbol,score\n2023-06-09,BINANCE:AAAUSDT,2\n")
    restated = look_ahead(signal, market(), AT, stored)
    assert [(one.code, one.symbol) for one in restated] == [
        (NOT_DETERMINISTIC, "BINANCE:AAAUSDT"),
        (LOOK_AHEAD, "BINANCE:AAAUSDT"),
    ]
    assert "expected 1.0 as stored, found 2.0" in restated[0].message


def test_a_later_rebalance_that_cannot_be_answered_convicts_nobody(tmp_path: Path) -> None:
    signal = written(
        tmp_path, "from datetime import date", *body("assert at < date(2023, 6, 15), 'not yet'", LAST_CLOSE)
    )
    assert judged(signal) == []
