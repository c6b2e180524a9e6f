"""The planted faults: each brings the desk over one rebalance date, or several, and notes what it saw."""

import signal
from collections.abc import Callable
from datetime import date, timedelta

import dagster as dg

from resources.lake import AssetPath
from sleevegraph.calendar import STEP_DAYS
from tests.homes import META
from tests.soak.desk import CODE, DAEMON
from tests.soak.driver import REBALANCE, Soak
from tests.soak.exchange import at
from tests.soak.findings import Ran

STEP = timedelta(days=STEP_DAYS)
POLL = timedelta(seconds=31)
"""More than what passes between two looks of the daemon at the runs in progress."""
BLOCKED: AssetPath = (META, "flattened_weights")

Fault = Callable[[Soak, date], date]
"""Takes the next date that is due, and returns the one after the last that it has brought about."""


def nothing(soak: Soak, day: date) -> date:
    soak.arrive(soak.due(day))
    soak.rebalanced(day)
    return day + STEP


def late_bars(soak: Soak, day: date) -> date:
    until = at(day + timedelta(days=2), 6)
    soak.exchange.withhold(day - timedelta(days=1), until)
    soak.arrive(soak.due(day))
    reason = soak.until("a tick that waits", lambda: _waiting(soak, day))
    assert not soak.runs(day), soak.runs(day)
    _until_idle(soak)  # the daemon takes a run that starts while the clock jumps for one that never does
    soak.arrive(until)
    run = soak.rebalanced(day)
    soak.note(
        "late bars",
        f"nothing from {day - timedelta(days=1)} on before {until:%m-%d %H:%M}",
        f"tick: {reason}; {_told(run)}",
    )
    return day + STEP


def duplicate_tick(soak: Soak, day: date) -> date:
    soak.arrive(soak.due(day))
    soak.until("a run", lambda: soak.runs(day))
    during = _tick_again(soak)
    run = soak.rebalanced(day)
    after = _tick_again(soak)
    soak.note(
        "duplicate tick",
        "the sensor set back to never having ticked, during the run and after it",
        f"ticks: {during}; {after}; {_told(run)}",
    )
    return day + STEP


def daemon_terminated(soak: Soak, day: date) -> date:
    soak.desk.stop(DAEMON, signal.SIGTERM)
    soak.arrive(soak.due(day))
    soak.desk.start(DAEMON)
    run = soak.rebalanced(day)
    soak.note("restart", "daemon down over the due date (SIGTERM)", _told(run))
    return day + STEP


def daemon_killed(soak: Soak, day: date) -> date:
    _until_started(soak, day)
    soak.desk.stop(DAEMON, signal.SIGKILL)
    soak.desk.start(DAEMON)
    run = soak.rebalanced(day)
    soak.note("restart", "daemon killed mid-run (SIGKILL)", _told(run))
    return day + STEP


def power_cut(soak: Soak, day: date) -> date:
    _until_started(soak, day)
    soak.desk.stop(CODE, signal.SIGKILL)
    soak.desk.stop(DAEMON, signal.SIGKILL)
    soak.desk.start(CODE)
    soak.desk.start(DAEMON)
    run = soak.rebalanced(day, busy=POLL)
    soak.note("restart", "everything killed mid-run (SIGKILL)", _attempts(soak, day, run))
    return day + STEP


def code_server_killed(soak: Soak, day: date) -> date:
    _until_started(soak, day)
    soak.desk.stop(CODE, signal.SIGKILL, workers=False)
    soak.desk.start(CODE)
    run = soak.rebalanced(day, busy=POLL)
    soak.note("restart", "code server killed mid-run (SIGKILL), its run worker left", _attempts(soak, day, run))
    return day + STEP


def clock_back(soak: Soak, day: date) -> date:
    _until_started(soak, day)
    before = soak.clock.now()
    soak.clock.move(-timedelta(hours=5))
    run = soak.rebalanced(day)
    soak.arrive(before)
    try:
        said = soak.tick_after(before, patience=90)
    except AssertionError:
        # A step inside the daemon's round over the sensors makes it sleep for as long as the step; the runbook says to restart it.
        soak.desk.stop(DAEMON, signal.SIGTERM)
        soak.desk.start(DAEMON)
        said = f"{soak.tick_after(before)} (after a restart of the daemon)"
    soak.note("clock step", "5 h back mid-run", f"{_told(run)}; once it is {before:%H:%M} again: {said}", before)
    return day + STEP


def clock_ahead(soak: Soak, day: date) -> date:
    """Three days too fast while the bars of the day before the date are not there, then right again."""
    wrong, right = soak.due(day), soak.clock.now()
    soak.exchange.withhold(right.date(), wrong)
    soak.arrive(wrong - timedelta(minutes=1))
    reason = soak.until("a tick that waits", lambda: _waiting(soak, day))
    _until_idle(soak)
    soak.clock.set(max(right, wrong - timedelta(days=3)))
    assert not soak.runs(day), soak.runs(day)
    soak.arrive(wrong)
    run = soak.rebalanced(day)
    soak.note("clock step", "3 days ahead of the bars, then back", f"tick: {reason}; {_told(run)}", wrong)
    return day + STEP


def clock_forward(soak: Soak, day: date) -> date:
    soak.arrive(soak.due(day) + timedelta(days=15))
    runs = [soak.rebalanced(due) for due in (day, day + STEP)]
    soak.note("clock step", "25 days forward, over two due dates", "; ".join(_told(run) for run in runs))
    return day + 2 * STEP


def down_and_forward(soak: Soak, day: date) -> date:
    """The daemon is down while 25 days pass."""
    soak.desk.stop(DAEMON, signal.SIGTERM)
    soak.arrive(soak.due(day) + timedelta(days=15))
    soak.desk.start(DAEMON)
    runs = [soak.rebalanced(due) for due in (day, day + STEP)]
    soak.note("restart, clock step", "daemon down (SIGTERM), 25 days forward", "; ".join(_told(run) for run in runs))
    return day + 2 * STEP


def failed_rebalance(soak: Soak, day: date) -> date:
    in_the_way = soak.home.store.folders.lake.joinpath(*BLOCKED, f"{day}.parquet")
    (in_the_way / "x").mkdir(parents=True)
    soak.arrive(soak.due(day))
    soak.until("a failed run", lambda: any(run.status is dg.DagsterRunStatus.FAILURE for run in soak.runs(day)))
    (in_the_way / "x").rmdir()
    in_the_way.rmdir()
    run = soak.rebalanced(day)
    soak.note("failed rebalance", f"a folder where {'/'.join(BLOCKED)} is written", _attempts(soak, day, run))
    return day + STEP


def missed_ingest(soak: Soak, day: date) -> date:
    soak.arrive(soak.due(day) - timedelta(minutes=10))  # the bars are out, and not yet expected
    soak.exchange.tear()
    soak.arrive(soak.due(day))
    failed = soak.until("an ingest that failed", lambda: _failed_ingests(soak, day))
    soak.exchange.write()
    run = soak.rebalanced(day)
    soak.note("missed ingest", "half a file at the source", f"{failed} ingest failed, tried again; {_told(run)}")
    return day + STEP


def revision(soak: Soak, day: date) -> date:
    restated = day - timedelta(days=15)
    soak.exchange.revise("BINANCE:SIM010USDT", restated)
    soak.arrive(soak.due(day))
    run = soak.rebalanced(day)
    soak.arrive(soak.clock.now() + timedelta(minutes=36))
    again = soak.until(
        "a range", lambda: [run for run in soak.runs() if run.last == day and run.is_range and _good(run)]
    )
    _until_idle(soak)
    soak.note(
        "revision",
        f"a close of {restated} restated",
        f"{_told(run)}; decided anew: {again[-1].first} to {again[-1].last}",
    )
    return day + STEP


def _until_started(soak: Soak, day: date) -> None:
    soak.arrive(soak.due(day))
    soak.until(
        "a run that has started", lambda: any(run.status is dg.DagsterRunStatus.STARTED for run in soak.runs(day))
    )


def _until_idle(soak: Soak) -> None:
    soak.until("the end of runs", lambda: not soak.busy_runs())


def _waiting(soak: Soak, day: date) -> str:
    reason = soak.told(REBALANCE, soak.due(day) - timedelta(minutes=5))
    return reason if reason.startswith(f"{day} waits: the newest bar") else ""


def _tick_again(soak: Soak) -> str:
    moment = soak.clock.now()
    soak.tick_again()
    return soak.tick_after(moment)


def _failed_ingests(soak: Soak, day: date) -> int:
    wanted = dg.RunsFilter(
        job_name="ingest", statuses=[dg.DagsterRunStatus.FAILURE], created_after=soak.due(day) - timedelta(hours=1)
    )
    return soak.instance.get_runs_count(wanted)


def _good(run: Ran) -> bool:
    return run.status is dg.DagsterRunStatus.SUCCESS


def _told(run: Ran) -> str:
    return f"{run.first} ran {run.started:%m-%d %H:%M}"


def _attempts(soak: Soak, day: date, run: Ran) -> str:
    statuses = [attempt.status.value for attempt in soak.runs(day)]
    return f"{' then '.join(statuses)}; {_told(run)}"
