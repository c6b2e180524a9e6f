"""The progress bar of a run in this process."""

import re
from collections.abc import Callable
from io import StringIO

import pytest
from rich.console import Console

from commands.progress import quiet_run
from resources.home import HOME_VARIABLE
from resources.store import PATH_VARIABLE, SOURCE_VARIABLE
from sleevegraph.errors import SleevegraphError
from tests.homes import TemporaryHome, environment


def shown(home: TemporaryHome, *, terminal: bool) -> str:
    """What a refresh of the views writes to a console of that kind."""
    console = Console(file=StringIO(), force_terminal=terminal, width=100)
    with environment(**{HOME_VARIABLE: str(home.root)}):
        quiet_run(home.defs, "ingest", ["warehouse"], home.instance, console)
    return console.file.getvalue()


def test_the_bar_reaches_its_end_and_names_the_step(home: TemporaryHome) -> None:
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown(home, terminal=True))
    assert re.search(r"ingest .*1/1 .*warehouse", text)


def test_there_is_no_bar_in_a_file(home: TemporaryHome) -> None:
    assert shown(home, terminal=False).strip() == ""


def test_a_failed_run_is_an_error_that_names_its_cause(new_home: Callable[[], TemporaryHome]) -> None:
    home = new_home()
    missing = {SOURCE_VARIABLE: "files", PATH_VARIABLE: str(home.root / "missing.csv")}
    with (
        environment(**missing, **{HOME_VARIABLE: str(home.root)}),
        pytest.raises(SleevegraphError, match=r"missing\.csv"),
    ):
        quiet_run(home.defs, "ingest", ["daily_bars"], home.instance, Console(file=StringIO()))
