"""Five rebalances through the real daemon under a moved clock, with faults planted; `make soak` does years of it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from tests.command_homes import sleevegraph
from tests.homes import LONG, TemporaryHome, made_home, remove_homes, small_definitions
from tests.soak.clock import NAME, library
from tests.soak.driver import Soak
from tests.soak.findings import findings
from tests.soak.years import FIRST, SHORT, differences, soaked, undisturbed

LAST = date(2022, 3, 31)
DATES = [FIRST + timedelta(days=10 * i) for i in range(5)]


@pytest.fixture
def soak() -> Iterator[Soak]:
    home = made_home(small_definitions())
    soak = Soak(home, FIRST, LAST + timedelta(days=40))
    try:
        soak.open()
        assert soaked(soak, SHORT, LAST) == DATES
    finally:
        soak.close()
    yield soak
    remove_homes([home])


@pytest.mark.slow
@pytest.mark.skipif(library() is None, reason=f"{NAME} is not installed: apt-get install faketime")
def test_each_rebalance_runs_once_and_none_early_whatever_happens_to_clock_daemon_and_bars(soak: Soak) -> None:
    # One test, since the parts of a module may run in several processes, and the desk takes a minute.
    assert findings(soak.runs(), DATES, soak.exchange.published) == []
    assert not soak.busy_runs()
    require_traces_of_every_fault(soak)
    plain = undisturbed(soak, DATES)
    require_equal(soak.home, plain)
    require_that_breaches_are_found(soak, plain)
    remove_homes([plain])


def require_traces_of_every_fault(soak: Soak) -> None:
    seen = {event.fault: event.observed for event in soak.events}
    assert f"{DATES[0]} is done" in seen["duplicate tick"]
    assert f"{DATES[1]} waits: the newest bar is" in seen["late bars"]
    assert seen["restart"].startswith("FAILURE then SUCCESS")
    assert [run.first for run in soak.runs()] == sorted([*DATES, DATES[2]])
    with soak.home.store.alerts.reading() as connection:
        facts = connection.execute("SELECT name, partition FROM facts WHERE kind = 'run_failed'").fetchall()
    assert [tuple(fact) for fact in facts] == [("rebalance", str(DATES[2]))]


def require_equal(home: TemporaryHome, plain: TemporaryHome) -> None:
    found = differences(home, plain)
    assert [difference.file for difference in found if not difference.of_ledger] == []
    before = [form for day in DATES[:2] for form in (f"{day}", f"{day:%Y%m%d}")]  # nothing had to be run again
    assert not [each.file for each in found if any(form in each.file for form in before)]
    assert sleevegraph("verify", home.root).exit_code == 0


def require_that_breaches_are_found(soak: Soak, plain: TemporaryHome) -> None:
    runs, published = soak.runs(), soak.exchange.published
    last, again = runs[-1], f"AGAIN {DATES[-1]}: expected one run that went well, found 2"
    assert last.started is not None
    early = replace(last, started=last.started - timedelta(days=25))
    assert findings([*runs, last], DATES, published) == [again]
    assert findings(runs[:-1], DATES, published) == [
        f"MISSING {DATES[-1]}: expected one run that went well, found none"
    ]
    assert [line.split(":")[0] for line in findings([*runs[:-1], early], DATES, published)] == [
        f"EARLY {DATES[-1]}"
    ] * 2
    assert soak.home.run_one(str(DATES[-1])).success
    assert findings(soak.runs(), DATES, published) == [again]
    plain.plant((LONG, "risk_weights"), str(DATES[0]), pl.lit(1.0).alias("planted"))
    changed = f"lake/{LONG}/risk_weights/{DATES[0]}.parquet"
    assert changed in {difference.file for difference in differences(soak.home, plain)}
