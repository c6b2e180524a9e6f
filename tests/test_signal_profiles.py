"""Profiles with signals: what is read of them, and what is refused before anything runs, with file and key."""

import re
import shutil
import warnings
from collections.abc import Mapping
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from dagster import DagsterExecutionInterruptedError

from profiles import signal_code
from profiles.load import PROFILES, load_manifest
from profiles.signals import signals_of
from profiles.sound import load_sound
from sleevegraph.errors import ConfigurationError
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
    "a cancellation": ('function = "mine.py:signal"', {"mine.py": "import asyncio\nraise asyncio.CancelledError('no')\n"}, "found mine.py:2: CancelledError: no"),
    "an error that cannot be told": ('function = "mine.py:signal"', {"mine.py": "class Odd(BaseException):\n    def __str__(self):\n        raise self\nraise Odd\n"}, "found mine.py:4: Odd"),
    "an error of control characters": ('function = "mine.py:signal"', {"mine.py": "raise ValueError('a\\x1b\\ud800\\nb')\n"}, "found mine.py:1: ValueError: a\\x1b\\ud800 b"),
    "a syntax error without a text": ('function = "mine.py:signal"', {"mine.py": "raise SyntaxError\n"}, "found mine.py:1: SyntaxError"),
    "a default of many lines": ('function = "mine.py:signal"\nparameters = { dyas = 3 }', {"mine.py": "import polars as pl\ndef signal(bars, at, own=pl.Series([1])): ...\n"}, "expected a function of (bars, at, dyas), found signal(bars, at, own=shape: (1,) Series:"),
    "too few arguments": ('function = "mine.py:signal"', {"mine.py": "def signal(bars):\n    return bars\n"}, "expected a function of (bars, at), found signal(bars): too many positional arguments"),
}  # fmt: skip
SCORES = {
    "no file": (None, "found: No such file or directory"),
    "nothing in it": ("", "line 1: expected a header date,symbol,score, found an empty file; add scores"),
    "a blank": ("date,symbol,score\n\n", "expected rows of date, symbol, score, found none"),
    "no rows": ("date,symbol,score\n", "expected rows of date, symbol, score, found none"),
    "no score": ("date,symbol,rank\n2023-06-09,A,1\n", "line 1: score: expected a column of that name, found date, symbol, rank"),
    "no date in a row": ("date,symbol,score\n2023-06-09,A,1\n09.06.2023,A,1\n", "line 3: expected a date such as 2023-12-21, found '09.06.2023'"),
    "a date of the first century": ("date,symbol,score\n23-06-09,A,1\n", "line 2: expected a date such as 2023-12-21, found '23-06-09'"),
    "a date without zeros": ("date,symbol,score\n2023-6-9,A,1\n", "line 2: expected a date such as 2023-12-21, found '2023-6-9'"),
    "a date before all": ("date,symbol,score\n0000-01-01,A,1\n", "line 2: expected a date such as 2023-12-21, found '0000-01-01'"),
    "a column twice": ("date,symbol,score,score\n2023-06-09,A,1,2\n", "line 1: score: expected one column of that name, found 2; drop or rename the others"),
    "a short row": ("date,symbol,score\n2023-06-09,A,1\n2023-06-09,B\n", "line 3: expected 3 fields as in the header, found 2 in '2023-06-09,B'; correct it"),
    "a long row": ("date,symbol,score\n2023-06-09,A,1\n2023-06-09,B,0,5\n", "line 3: expected 3 fields as in the header, found 4 in '2023-06-09,B,0,5'; correct it"),
    "a quote that is not closed": ('date,symbol,score\n2023-06-09,"A\nB",1\n2023-06-09,"C,1\n2023-06-09,D,1\n', "line 4: expected fields whose quotes enclose all of them and are closed, found '2023-06-09,\"C,1'; correct it"),
    "a quote of a part": ('date,symbol,score\n2023-06-09,"A"B,1\n', "line 2: expected fields whose quotes enclose all of them and are closed, found '2023-06-09,\"A\"B,1'; correct it"),
}  # fmt: skip


@pytest.mark.parametrize("what", SIGNALS)
def test_a_function_that_cannot_be_had_is_refused_with_file_and_key(folder: Path, what: str) -> None:
    signal, files, said = SIGNALS[what]
    sleeve(folder, "mine", signal, files=files)
    text = refused(folder)
    assert text.startswith("mine.toml:")
    assert ": signal.function: " in text
    assert said in text


@pytest.mark.parametrize(
    "head", ["import polars\nraise polars.exceptions.PanicException('no')", "raise GeneratorExit('no')"]
)
def test_a_package_that_cannot_be_imported_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    (tmp_path / "packages" / "unwilling").mkdir(parents=True)
    (tmp_path / "packages" / "unwilling" / "__init__.py").write_text(f"{head}\n")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    sleeve(folder, "mine", 'function = "unwilling.inner:signal"')
    assert "signal.function: expected a module unwilling.inner, found none: " in refused(folder)


@pytest.mark.parametrize("error", [KeyboardInterrupt, DagsterExecutionInterruptedError])
def test_what_ends_the_process_is_no_defect_of_the_file_that_it_comes_upon(
    folder: Path, error: type[BaseException]
) -> None:
    sleeve(
        folder,
        "mine",
        'function = "mine.py:signal"',
        files={"mine.py": f"from {error.__module__} import {error.__name__} as stop\nraise stop\n"},
    )
    with pytest.raises(error):
        load_manifest(folder)


def test_what_a_file_prints_is_no_output_and_its_filters_of_warnings_end_with_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = (
        "import warnings",
        "import polars as pl",
        "warnings.simplefilter('error')",
        "print('read')",
        "class Signal:",
        "    def __call__(self, bars, at):",
        "        warnings.simplefilter('error')",
        "        print('asked')",
        "        return bars.group_by('symbol').agg(score=pl.lit(1.0)).collect()",
        "signal = Signal()",
    )
    sleeve(folder, "mine", 'function = "mine.py:signal"', files={"mine.py": "\n".join(noisy)})
    before = list(warnings.filters)
    signals_of(load_manifest(folder), folder)["own"].opened()(market(), AT)
    assert warnings.filters == before
    assert capsys.readouterr() == ("", "read\nread\nasked\n")


@pytest.mark.parametrize("kind", ["function", "scores"])
def test_a_file_beside_sleeves_and_beside_families_is_refused_and_costs_no_other_sleeve(
    folder: Path, kind: str
) -> None:
    name = "mine.py" if kind == "function" else "mine.csv"
    content = GOOD if kind == "function" else "date,symbol,score\n2023-06-09,A,1\n"
    sleeve(folder, "mine", f'{kind} = "{name}{":signal" if kind == "function" else ""}"', files={name: content})
    manifest = load_manifest(folder)
    (folder / "families").mkdir()
    (folder / "families" / name).write_text(content)
    said = (
        f"expected one file {name} beside the profiles, found sleeves/{name} and families/{name}; rename or remove one"
    )
    assert refused(folder) == f"mine.toml:6: signal.{kind}: {said}"
    with pytest.raises(ConfigurationError, match=f"^signal own: signal.{kind}: {re.escape(said)}$"):
        signals_of(manifest, folder)
    sound = load_sound(folder)
    assert [one.name for one in sound.profiles.manifest.sleeves] == [LONG]
    (folder / "sleeves" / name).unlink()
    assert load_manifest(folder) == manifest


def test_a_file_may_lie_in_a_folder_of_its_own(folder: Path) -> None:
    (folder / "families").mkdir()
    for path in ("shared", "sleeves/inner"):
        (folder / path).mkdir()
        (folder / path / "mine.py").write_text(GOOD)
    sleeve(folder, "one", 'function = "../shared/mine.py:signal"', logic="one")
    sleeve(folder, "two", 'function = "inner/mine.py:signal"', logic="two")
    assert set(signals_of(load_manifest(folder), folder)) == {"one", "two"}


@pytest.mark.parametrize("written", ["2020-01-01", "2020-01-01T10:00:00Z", "10:00:00"])
def test_a_date_or_time_as_a_parameter_is_refused_with_its_line(folder: Path, written: str) -> None:
    files = {"mine.py": "def signal(bars, at, since): ...\n"}
    sleeve(folder, "mine", f'function = "mine.py:signal"\nparameters = {{ since = {written} }}', files=files)
    said = "mine.toml:7: signal.parameters.since: expected a number, a text or true/false, found the date or time "
    assert refused(folder).startswith(said)
    (folder / "sleeves" / "mine.toml").unlink()
    (folder / "families").mkdir()
    text = (
        'name = "mine"\n[template]\nlogic = "own"\ndirection = "LONG"\nsignal.function = "mine.py:signal"\n'
        f'[parameters]\n"signal.parameters.since" = [\n"2020",\n{written}]\n'
    )
    (folder / "families" / "mine.toml").write_text(text)
    with pytest.raises(
        ConfigurationError, match=r"mine\.toml:9: parameters\.signal\.parameters\.since\.1: expected a num"
    ):
        load_manifest(folder)


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
