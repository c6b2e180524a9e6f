"""The example signals against their definitions, and what is refused of anybody's signal."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from sleevegraph.errors import SignalError
from sleevegraph.signals.liquidity import signal as liquidity
from sleevegraph.signals.low_volatility import signal as low_volatility
from sleevegraph.signals.momentum import signal as momentum
from tests.markets import recorded_bars
from tests.shared import needs_shared
from tests.signal_markets import AT, LAST_CLOSE, MODULE, NAMES, body, market, signal_of, written

Example = Callable[..., pl.DataFrame]
EXAMPLES: dict[str, tuple[Example, int]] = {
    "momentum": (partial(momentum, days=40, skip=5), 45),
    "low_volatility": (partial(low_volatility, days=40), 40),
    "liquidity": (partial(liquidity, days=30), 30),
}
every_example = pytest.mark.parametrize("name", EXAMPLES)


def series(bars: pl.DataFrame, symbol: str, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns and quote volumes of the days before AT, day by day and by looking each of them up."""
    rows = {
        day: (close, money)
        for day, close, money in bars.filter(symbol=symbol).select("date", "close", "quote_volume").rows()
    }
    wanted = [AT - timedelta(days=back) for back in range(days, 0, -1)]
    none = (np.nan, np.nan)
    returns = [rows.get(d, none)[0] / rows.get(d - timedelta(days=1), none)[0] - 1 for d in wanted]
    return np.array(returns), np.array([rows.get(d, none)[1] for d in wanted])


def value_of(name: str, returns: np.ndarray, money: np.ndarray) -> float:
    """The definition, in numpy."""
    if name == "momentum":
        formed = returns[:40]
        return np.nanprod(1 + formed) - 1 if np.isfinite(formed).mean() >= 0.9 else np.nan
    if np.isfinite(returns).mean() < 0.9:
        return np.nan
    return -np.nanstd(returns, ddof=1) if name == "low_volatility" else -np.nanmean(np.abs(returns) / money)


@every_example
def test_an_example_is_the_centred_rank_of_its_definition(name: str) -> None:
    signal, days = EXAMPLES[name]
    symbols = [f"BINANCE:{base}USDT" for base in NAMES]
    values = np.array([value_of(name, *series(market(), symbol, days)) for symbol in symbols])
    known = np.isfinite(values)
    expected = 2 * (rankdata(values[known]) - 1) / (known.sum() - 1) - 1
    found = signal(market().lazy(), AT)
    assert found["symbol"].to_list() == [symbol for symbol, there in zip(symbols, known, strict=True) if there]
    assert found["score"].to_list() == expected.tolist()
    assert len(found) >= 5


@every_example
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_an_example_is_the_same_to_the_bit_in_any_order_of_rows_and_beside_a_future(
    name: str, data: st.DataObject
) -> None:
    signal, _ = EXAMPLES[name]
    seed, scale = data.draw(st.integers(0, 1000)), data.draw(st.sampled_from([1e-3, 0.5, 7.0]))
    future = (
        market()
        .filter(pl.col("date") >= AT - timedelta(days=30))
        .with_columns(pl.col("date") + timedelta(days=30), pl.col("close", "quote_volume") * scale)
    )
    rows = pl.concat([market(), future]).sample(fraction=1.0, shuffle=True, seed=seed)
    assert signal(rows.lazy(), AT).equals(signal(market().lazy(), AT))


@every_example
@given(factor=st.sampled_from([2.0**power for power in (-20, -1, 1, 20)]), chosen=st.sampled_from(NAMES))
@settings(max_examples=10, deadline=None)
def test_the_unit_of_a_price_is_of_no_importance(name: str, factor: float, chosen: str) -> None:
    signal, _ = EXAMPLES[name]
    own = pl.when(pl.col("base") == chosen).then(factor).otherwise(1.0)
    assert signal(market().with_columns(pl.col("close") * own).lazy(), AT).equals(signal(market().lazy(), AT))


@every_example
def test_a_symbol_scores_what_the_others_leave_it(name: str) -> None:
    """Scores are ranks: symmetric around zero, between -1 and 1, and a symbol's order among the rest is its own."""
    signal, _ = EXAMPLES[name]
    found = signal(market().lazy(), AT)
    assert abs(found["score"].sum()) < 1e-12
    assert (found["score"].min(), found["score"].max()) == (-1.0, 1.0)
    fewer = signal(market().filter(pl.col("base") != "CCC").lazy(), AT)
    kept = found.filter(pl.col("symbol") != "BINANCE:CCCUSDT")
    assert fewer.sort("score")["symbol"].to_list() == kept.sort("score")["symbol"].to_list()


def test_a_jump_across_a_gap_is_no_return() -> None:
    jump = (pl.col("base") == "FFF") & (pl.col("date") > date(2023, 5, 2))
    higher = market().with_columns(close=pl.when(jump).then(pl.col("close") * 50).otherwise("close"))
    assert market().filter(pl.col("base") == "FFF", pl.col("date") == date(2023, 5, 2)).is_empty()
    for signal, _ in EXAMPLES.values():
        assert signal(higher.lazy(), AT).equals(signal(market().lazy(), AT))


@every_example
def test_without_history_nobody_has_a_score(name: str) -> None:
    signal, days = EXAMPLES[name]
    assert signal(market().clear().lazy(), AT).is_empty()
    young = market().filter(pl.col("date") >= AT - timedelta(days=int(days * 0.8)))
    assert signal(young.lazy(), AT).is_empty()


BAD_DAYS: list[tuple[Example, dict[str, object], str]] = [
    *((signal, {"days": days}, "days") for signal in (momentum, low_volatility, liquidity) for days in (0, -5, True, 2.5, 10**9)),
    (low_volatility, {"days": 1}, "days"),
    *((momentum, {"skip": skip}, "skip") for skip in (-1, False, 10**9)),
]  # fmt: skip


@pytest.mark.parametrize(("signal", "parameters", "key"), BAD_DAYS)
def test_an_example_refuses_a_window_in_which_nobody_could_differ(
    signal: Example, parameters: dict[str, object], key: str
) -> None:
    said = f"{key}: expected a whole number of days from [012] to 3650, found {parameters[key]}"
    with pytest.raises(ValueError, match=said):
        signal(market().lazy(), AT, **parameters)


def test_a_refused_window_is_named_with_the_file_and_the_line() -> None:
    bad = signal_of({"function": MODULE["liquidity"], "parameters": {"days": 0}})
    said = r"sleevegraph/signals/liquidity\.py:\d+: ValueError: days: expected a whole number of days from 1 to 3650, found 0"
    with pytest.raises(SignalError, match=f"^signal own: signal.function: {said}$"):
        bad.opened()(market(), AT)


def test_momentum_may_skip_nothing_or_more_than_its_window() -> None:
    earlier = momentum(market().lazy(), AT - timedelta(days=9), days=5, skip=0)
    assert earlier.height >= 5
    assert momentum(market().lazy(), AT, days=5, skip=9).equals(earlier)


@needs_shared
@every_example
def test_on_recorded_bars_an_example_sees_nothing_from_p_on(name: str) -> None:
    signal, _ = EXAMPLES[name]
    at = date(2023, 6, 14)
    found = signal(recorded_bars().lazy(), at)
    assert found.height > 250
    assert found.equals(signal(recorded_bars().filter(pl.col("date") < at).lazy(), at))


ANSWERS = {
    "raises": (("raise ValueError('no\\nluck')",), "own.py:7: ValueError: no luck"),
    "exits": (("raise SystemExit(3)",), "own.py:7: SystemExit: 3"),
    "cancels": (("import asyncio; raise asyncio.CancelledError('no')",), "own.py:7: CancelledError: no"),
    "panics": (("raise pl.exceptions.PanicException('no')",), "own.py:7: PanicException: no"),
    "leaves": (("raise GeneratorExit",), "own.py:7: GeneratorExit"),
    "untold": (("raise type('Odd', (BaseException,), {'__str__': lambda self: 1 / 0})",), "own.py:7: Odd"),
    "warns": (("import warnings; warnings.simplefilter('error'); warnings.warn('old')",), "own.py:7: UserWarning: old"),
    "deep": (("return pl.DataFrame({'symbol': ['A'], 'score': [int('x')]})",), "own.py:7: ValueError: invalid literal"),
    "nothing": (("known.height",), "expected a polars DataFrame, found nothing"),
    "lazy": ((f"{LAST_CLOSE}.lazy()",), "expected a polars DataFrame, found a polars LazyFrame"),
    "columns": ((f"{LAST_CLOSE}.drop('score')",), "score: expected a column of that name, found ['symbol']"),
    "empty": ((f"{LAST_CLOSE}.clear()",), "expected scores, found an empty frame"),
    "text": ((f"{LAST_CLOSE}.cast(pl.String)",), "expected symbols as text and scores as numbers, found String and String"),
    "nan": ((f"{LAST_CLOSE}.with_columns(score=pl.lit(float('nan')))",), "BINANCE:AAAUSDT: expected a finite score, found nan (6 of 6 rows)"),
    "infinite": ((f"{LAST_CLOSE}.with_columns(score=pl.lit(float('inf')))",), "expected a finite score, found inf"),
    "null": ((f"{LAST_CLOSE}.with_columns(score=pl.when(pl.col('symbol') == 'BINANCE:BBBUSDT').then(None).otherwise('score'))",), "BINANCE:BBBUSDT: expected a finite score, found null (1 of 6 rows)"),
    "twice": (("return pl.DataFrame({'symbol': ['BINANCE:AAAUSDT'] * 2, 'score': [1.0, 1.0]})",), "BINANCE:AAAUSDT: expected one score, found 1.0 (2 of 2 rows)"),
    "unknown": (("return pl.DataFrame({'symbol': ['BINANCE:AAAUSDT', 'AAAUSDT'], 'score': [1, 2]})",), "AAAUSDT: expected a symbol with a bar before 2023-06-10, found 2.0 (1 of 2 rows)"),
    "unprintable": (("return pl.DataFrame({'symbol': ['A\\n\\x1b'], 'score': [1]})",), "A\\n\\x1b: expected a symbol with a bar"),
    "never": ((f"{LAST_CLOSE}.with_columns(date=pl.lit(9_999_999).cast(pl.Date))",), "found +29349-01-25: scores after at (6 of 6 rows)"),
    "late": ((f"{LAST_CLOSE}.with_columns(date=at)",), "found 2023-06-10: scores after at (6 of 6 rows)"),
    "dated by text": ((f"{LAST_CLOSE}.with_columns(date=pl.lit('2023-06-09'))",), "date: expected dates, found type String"),
    "dated to the second": ((f"{LAST_CLOSE}.with_columns(date=pl.lit(at - timedelta(days=1)).cast(pl.Datetime))",), "date: expected dates, found type Datetime"),
}  # fmt: skip


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_that_is_none_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    lines, said = ANSWERS[what]
    signal = written(tmp_path, *body(*lines))
    with pytest.raises(SignalError) as error:
        signal.opened()(market(), AT)
    text = str(error.value)
    assert re.match(
        r"signal own: signal\.function: own\.py:(5: signal|7: \w+)(: |$)", text
    )  # the function, or what raises
    assert said in text
    assert "\n" not in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (("", "def signal(bars, at): ..."), "own.py:2: signal: "),
        (("class Signal:", "    def __call__(self, bars, at): ...", "signal = Signal()"), "own.py:2: signal: "),
        (("from functools import partial", "signal = partial(print, end='')"), "own.py: signal: "),
        (
            (
                "class Signal:",
                "    def __getattr__(self, name): return {}[name]",
                "    def __call__(self, bars, at): ...",
                "signal = Signal()",
            ),
            "own.py: signal: ",
        ),
    ],
)
def test_a_refused_answer_names_the_line_that_the_function_begins_on(
    tmp_path: Path, lines: tuple[str, ...], place: str
) -> None:
    (tmp_path / "sleeves").mkdir()
    (tmp_path / "sleeves" / "own.py").write_text("\n".join(lines))
    with pytest.raises(SignalError, match="found nothing") as error:
        signal_of({"function": "own.py:signal"}, tmp_path).opened()(market(), AT)
    assert str(error.value).startswith(f"signal own: signal.function: {place}expected a polars DataFrame")


def test_scores_are_sorted_as_numbers_and_columns_beside_them_are_dropped(tmp_path: Path) -> None:
    own = "pl.DataFrame({'note': ['x', 'y'], 'symbol': ['BINANCE:BBBUSDT', 'BINANCE:AAAUSDT'], 'score': [2, -1]})"
    signal = written(tmp_path, *body(f"return {own}.with_columns(date=pl.lit(at - timedelta(days=1)))"))
    found = signal.opened()(market(), AT)
    assert found.rows() == [("BINANCE:AAAUSDT", -1.0), ("BINANCE:BBBUSDT", 2.0)]
    assert dict(found.schema) == {"symbol": pl.String, "score": pl.Float64}


def test_a_decision_hands_out_what_it_was_given_in_memory_and_the_parameters(tmp_path: Path) -> None:
    signal = written(
        tmp_path,
        "def signal(bars, at):",
        "    assert isinstance(bars, pl.LazyFrame) and 'DF [' in bars.explain()",
        "    return bars.group_by('symbol').agg(score=pl.len()).collect()",
    )
    assert signal.opened()(market(), AT)["score"].to_list() == [200.0, 200.0, 200.0, 200.0, 50.0, 197.0]


def test_only_content_decides(tmp_path: Path) -> None:
    here, there = tmp_path / "one", tmp_path / "two"
    for folder in (here, there):
        folder.mkdir()
    lines = body(LAST_CLOSE)
    rules = written(here, *lines).rules
    assert written(there, *lines).rules == rules
    assert written(there, *lines, "# changed").rules != rules
