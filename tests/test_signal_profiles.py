"""Profiles with signals: what is read of them, and what is refused before anything runs, with file and key."""

import shutil
from collections.abc import Mapping
from datetime import date
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import polars as pl
import pytest

from profiles import signal_code
from profiles.load import PROFILES, load_manifest
from profiles.signals import signals_of
from sleevegraph.errors import ConfigurationError, SignalError
from sleevegraph.signals import Function
from tests.signal_markets import AT, market, signal_of

LONG = "binance_spot_rating_all_long"
GOOD = "import polars as pl\n\n\ndef signal(bars, at, days=3, *, deep=False):\n    return bars.collect()\n"
MOMENTUM = 'function = "sleevegraph.signals.momentum:signal"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A market and one sleeve that chooses by a rating."""
    (tmp_path / "sleeves").mkdir()
    (tmp_path / "metas").mkdir()
    shutil.copy(PROFILES / "market.toml", tmp_path)
    shutil.copy(PROFILES / "sleeves" / f"{LONG}.toml", tmp_path / "sleeves")
    return tmp_path


def sleeve(
    folder: Path, name: str, signal: str, *, logic: str = "own", more: str = "", files: Mapping[str, str] | None = None
) -> None:
    text = f'name = "{name}"\nlogic = "{logic}"\ndirection = "LONG"\n{more}\n[signal]\n{signal}\n'
    (folder / "sleeves" / f"{name}.toml").write_text(text)
    for file, content in (files or {}).items():
        (folder / "sleeves" / file).write_text(content)


def refused(folder: Path) -> str:
    with pytest.raises(ConfigurationError) as error:
        load_manifest(folder)
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(str(folder / "sleeves"))
    return text.removeprefix(f"{folder}/sleeves/")


def test_a_profile_names_a_function_of_a_package_or_beside_it_or_a_file_of_scores(folder: Path) -> None:
    sleeve(folder, "one", f"{MOMENTUM}\nparameters = {{ days = 30, skip = 2 }}", logic="packaged")
    sleeve(folder, "two", 'function = "mine.py:signal"', logic="beside", files={"mine.py": GOOD})
    rows = "date,symbol,score\n2023-06-09,BINANCE:AAAUSDT,1\n"
    sleeve(folder, "three", 'scores = "mine.csv"\nmax_age_days = 3', logic="filed", files={"mine.csv": rows})
    found = signals_of(load_manifest(folder), folder)
    assert set(found) == {"packaged", "beside", "filed"}
    assert found["packaged"].rules["signal.parameters"] == {"days": 30, "skip": 2}
    assert found["filed"].rules == {"signal.max_age_days": 3}
    assert found["filed"].opened()(market(), AT).rows() == [("BINANCE:AAAUSDT", 1.0)]
    assert found["packaged"].opened()(market(), AT).height == 6


def test_an_entry_point_is_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = EntryPoints([EntryPoint("mom", "sleevegraph.signals.momentum:signal", "sleevegraph.signals")])
    monkeypatch.setattr(signal_code, "entry_points", entries.select)
    found = signal_of({"function": "mom", "parameters": {"days": 30}})
    assert isinstance(found, Function)
    assert found.opened()(market(), AT).equals(
        signal_of({"function": entries["mom"].value, "parameters": {"days": 30}}).opened()(market(), AT)
    )
    with pytest.raises(
        ConfigurationError, match=r"one entry point of group sleevegraph\.signals, found 'mum'.*\(there are mom\)"
    ):
        signal_of({"function": "mum"})


SIGNALS = {
    "no module": ('function = "nowhere.at_all:signal"', {}, "expected a module nowhere.at_all, found none: ModuleNotFoundError: No module named 'nowhere'"),
    "no module in a package": ('function = "sleevegraph.signals.momentun:signal"', {}, "expected a module sleevegraph.signals.momentun with a Python file, found none"),
    "no file": ('function = "mine.py:signal"', {}, "mine.py, found: No such file or directory"),
    "no function": ('function = "mine.py:sginal"', {"mine.py": GOOD}, "mine.py: expected a function sginal, found none"),
    "no function but a number": ('function = "mine.py:days"', {"mine.py": "days = 3\n"}, "mine.py: expected a function days, found a int"),
    "no reference": ('function = "mine.py:"', {"mine.py": GOOD}, "expected package.module:function or file.py:function, found 'mine.py:'"),
    "no entry point": ('function = "mine"', {}, "one entry point of group sleevegraph.signals, found 'mine': no such entry point"),
    "syntax": ('function = "mine.py:signal"', {"mine.py": "import polars\n\ndef signal(bars, at:\n"}, "found mine.py:3: SyntaxError: '(' was never closed"),
    "an import that fails": ('function = "mine.py:signal"', {"mine.py": "x = 1\nimport no_such_package\n"}, "found mine.py:2: ModuleNotFoundError: No module named 'no_such_package'"),
    "an exit": ('function = "mine.py:signal"', {"mine.py": "raise SystemExit('bye')\n"}, "found mine.py:1: SystemExit: bye"),
    "a misspelt parameter": ('function = "mine.py:signal"\nparameters = { dyas = 3 }', {"mine.py": GOOD}, "expected a function of (bars, at, dyas), found signal(bars, at, days=3, *, deep=False): got an unexpected keyword argument 'dyas'"),
    "a name that no file may have": (f'function = "{"m" * 300}.py:signal"', {}, "File name too long"),
    "a null character": ('function = "mine\\u0000.py:signal"', {}, "embedded null"),
    "a module that answers for every name": ('function = "mine.py:signal"', {"mine.py": "def __getattr__(name):\n    raise RuntimeError(name)\n"}, "found mine.py:2: RuntimeError: signal"),
    "too few arguments": ('function = "mine.py:signal"', {"mine.py": "def signal(bars):\n    return bars\n"}, "expected a function of (bars, at), found signal(bars): too many positional arguments"),
}  # fmt: skip
SCORES = {
    "no file": (None, "found: No such file or directory"),
    "nothing in it": ("", "expected a readable Parquet or CSV file, found: empty CSV"),
    "a blank": ("date,symbol,score\n\n", "expected rows of date, symbol, score, found none"),
    "no rows": ("date,symbol,score\n", "expected rows of date, symbol, score, found none"),
    "no score": ("date,symbol,rank\n2023-06-09,A,1\n", "score: expected a column of that name, found date, symbol, rank"),
    "no date in a row": ("date,symbol,score\n2023-06-09,A,1\n09.06.2023,A,1\n", "line 3: expected a date such as 2023-12-21, found '09.06.2023'"),
}  # fmt: skip


@pytest.mark.parametrize("what", SIGNALS)
def test_a_function_that_cannot_be_had_is_refused_with_file_and_key(folder: Path, what: str) -> None:
    signal, files, said = SIGNALS[what]
    sleeve(folder, "mine", signal, files=files)
    text = refused(folder)
    assert text.startswith("mine.toml:")
    assert ": signal.function: " in text
    assert said in text


@pytest.mark.parametrize("what", SCORES)
def test_a_scores_file_that_cannot_be_read_is_refused_with_file_and_key(folder: Path, what: str) -> None:
    content, said = SCORES[what]
    sleeve(folder, "mine", 'scores = "mine.csv"', files={} if content is None else {"mine.csv": content})
    text = refused(folder)
    assert text.startswith("mine.toml:")
    assert ": signal.scores: mine.csv: " in text
    assert said in text


def test_a_manifest_whose_signal_is_gone_says_which_logic_lost_what(folder: Path) -> None:
    sleeve(folder, "mine", 'function = "mine.py:signal"', files={"mine.py": GOOD})
    manifest = load_manifest(folder)
    (folder / "sleeves" / "mine.py").unlink()
    with pytest.raises(
        ConfigurationError, match=r"signal own: signal\.function: expected a readable Python file .*mine\.py"
    ):
        signals_of(manifest, folder)


def test_sleeves_of_one_logic_share_one_signal(folder: Path) -> None:
    sleeve(folder, "one", MOMENTUM)
    sleeve(folder, "two", MOMENTUM)
    assert [s.name for s in load_manifest(folder).sleeves if s.logic == "own"] == ["one", "two"]
    sleeve(folder, "two", f"{MOMENTUM}\nparameters = {{ days = 30 }}")
    text = refused(folder)
    assert text.startswith("two.toml:")
    assert "signal: expected what sleeve one of the same logic 'own' has, found another" in text
    rating = 'name = "two"\nlogic = "own"\nrating = "recommend_all"\ndirection = "LONG"\n'
    (folder / "sleeves" / "two.toml").write_text(rating)
    text = refused(folder)
    assert text.startswith("two.toml:")
    assert "rating: expected what sleeve one of the same logic 'own' has, found another" in text


def test_the_name_of_the_folder_of_signals_and_quotes_of_no_market_are_refused(folder: Path) -> None:
    sleeve(folder, "signals", MOMENTUM)
    assert "name: expected another name than signals" in refused(folder)
    (folder / "sleeves" / "signals.toml").unlink()
    sleeve(folder, "one", MOMENTUM, more='quotes = ["USDT", "USDC"]')
    text = refused(folder)
    assert text.startswith("one.toml:")
    assert "quotes: expected quotes among USDT, found USDC; add them to universe.quotes of market.toml" in text
    sleeve(folder, "one", MOMENTUM, more='quotes = ["USDT"]')
    assert next(s for s in load_manifest(folder).sleeves if s.name == "one").quotes == ("USDT",)


ROWS = (
    ("2023-05-01,BINANCE:AAAUSDT,9", ""),
    ("2023-06-08,BINANCE:AAAUSDT,nan", ""),
    ("2023-06-09,BINANCE:AAAUSDT,0.25", ""),
)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2023-06-09,BINANCE:BBBUSDT,nan", "line 5: expected a symbol and a finite score, found BINANCE:BBBUSDT nan on 2023-06-09"),
        ("2023-06-09,BINANCE:BBBUSDT,inf", "line 5: expected a symbol and a finite score, found BINANCE:BBBUSDT inf"),
        ("2023-06-09,BINANCE:BBBUSDT,high", "line 5: expected a symbol and a finite score, found BINANCE:BBBUSDT without a number"),
        ("2023-06-09,,1", "line 5: expected a symbol and a finite score, found None 1.0"),
        ("2023-06-09,BINANCE:AAAUSDT,0.25", "line 5: expected one score a day, found BINANCE:AAAUSDT 0.25"),
        ("2023-06-09,AAAUSDT,1", "line 5: expected a symbol with a bar before 2023-06-10, found AAAUSDT 1.0"),
    ],
)  # fmt: skip
def test_a_broken_row_of_the_day_that_is_used_is_refused_with_its_line(tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "sleeves").mkdir()
    lines = ["date,symbol,score", *(line for line, _ in ROWS), row]
    (tmp_path / "sleeves" / "own.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(SignalError) as error:
        signal_of({"scores": "own.csv"}, tmp_path).opened()(market(), AT)
    assert str(error.value).startswith(f"signal own: signal.scores: own.csv: {said}")


def test_blank_lines_of_a_scores_file_are_counted_and_no_rows(tmp_path: Path) -> None:
    (tmp_path / "sleeves").mkdir()
    text = "date,symbol,score\n\n2023-06-09,BINANCE:AAAUSDT,0.25\n\n2023-06-09,BINANCE:BBBUSDT,{}\n\n"
    file = tmp_path / "sleeves" / "own.csv"
    file.write_text(text.format(1))
    found = signal_of({"scores": "own.csv"}, tmp_path).opened()(market(), AT)
    assert found.rows() == [("BINANCE:AAAUSDT", 0.25), ("BINANCE:BBBUSDT", 1.0)]
    file.write_text(text.format("nan"))
    with pytest.raises(SignalError, match=r"own\.csv: line 5: expected a symbol and a finite score"):
        signal_of({"scores": "own.csv"}, tmp_path).opened()(market(), AT)


def test_the_name_of_a_scores_file_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "sleeves").mkdir()
    for name, score in (("own[1].csv", 1), ("own1.csv", 2)):
        (tmp_path / "sleeves" / name).write_text(f"date,symbol,score\n2023-06-09,BINANCE:AAAUSDT,{score}\n")
    found = signal_of({"scores": "own[1].csv"}, tmp_path).opened()(market(), AT)
    assert found.rows() == [("BINANCE:AAAUSDT", 1.0)]


def test_scores_of_a_parquet_file_are_the_newest_before_p_and_must_not_be_too_old(tmp_path: Path) -> None:
    days = [date(2023, 5, 30), date(2023, 6, 8), date(2023, 6, 8), date(2023, 6, 10)]
    symbols = ["BINANCE:AAAUSDT", "BINANCE:BBBUSDT", "BINANCE:AAAUSDT", "BINANCE:AAAUSDT"]
    file = tmp_path / "own.parquet"
    pl.DataFrame({"date": days, "symbol": symbols, "score": [1, 2, 3, 4]}).write_parquet(file)
    score = signal_of({"scores": str(file), "max_age_days": 3}).opened()
    assert score(market(), AT).rows() == [("BINANCE:AAAUSDT", 3.0), ("BINANCE:BBBUSDT", 2.0)]
    assert score(market(), date(2023, 6, 11)).rows() == [("BINANCE:AAAUSDT", 4.0)]
    assert score(market(), date(2023, 6, 2)).rows() == [("BINANCE:AAAUSDT", 1.0)]
    with pytest.raises(
        SignalError, match="at most 3 days before 2023-06-03, found the newest of 2023-05-30, 4 days old"
    ):
        score(market(), date(2023, 6, 3))
    with pytest.raises(SignalError, match="expected scores dated before 2023-05-30, found only later ones"):
        score(market(), date(2023, 5, 30))
    pl.DataFrame({"date": days, "symbol": symbols, "score": [1.0, None, 3.0, 4.0]}).write_parquet(file)
    with pytest.raises(SignalError, match="row 2: expected a symbol and a finite score, found BINANCE:BBBUSDT without"):
        signal_of({"scores": str(file), "max_age_days": 3}).opened()(market(), AT)


def test_a_module_of_a_package_may_import_beside_it_and_a_file_may_define_dataclasses(tmp_path: Path) -> None:
    assert signal_of({"function": MOMENTUM.split('"')[1]}).opened()(market(), AT).height
    (tmp_path / "sleeves").mkdir()
    lines = (
        "from __future__ import annotations",
        "from dataclasses import dataclass",
        "import polars as pl",
        "@dataclass",
        "class Rule:",
        "    days: int = 3",
        "def signal(bars, at):",
        "    return bars.group_by('symbol').agg(score=pl.lit(Rule().days)).collect()",
    )
    (tmp_path / "sleeves" / "own.py").write_text("\n".join(lines))
    assert signal_of({"function": "own.py:signal"}, tmp_path).opened()(market(), AT)["score"].to_list() == [3.0] * 6
    assert not list(tmp_path.rglob("*.pyc"))
