"""Years of a desk through the real daemon, with a clock that this process moves and faults that it plants."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.scheduler.instigation import SensorInstigatorData

from commands.home import create
from resources.run_history import IN_PROGRESS
from sleevegraph.simulated_market import simulated_bars
from tests.homes import TemporaryHome
from tests.soak.clock import Clock
from tests.soak.desk import CODE, DAEMON, PATIENCE_SECONDS, PROJECT, Desk
from tests.soak.exchange import Exchange, at
from tests.soak.findings import Ran, ran

REBALANCE = "rebalance_sensor"
TICK = timedelta(seconds=61)
"""More than the minimum interval of the sensors."""
LOOP_SECONDS = 5.5
"""A round of the daemon over the sensors, which no setting shortens."""
AFTER_MIDNIGHT = timedelta(minutes=20)
"""When the driver looks at a new day: bars are out, and expected."""


@dataclass(frozen=True, slots=True)
class Event:
    """A planted fault, and what came of it."""

    at: datetime
    fault: str
    planted: str
    observed: str


@dataclass
class Soak:
    """One home, its desk, and what was planted and seen."""

    home: TemporaryHome
    first: date
    end: date
    events: list[Event] = field(default_factory=list)
    _nudged: float = 0.0
    _was_busy: bool = False

    def __post_init__(self) -> None:
        root = self.home.root
        create(self.home.store.folders)
        self.clock = Clock(root / "clock", at(self.first, 12))
        bars = simulated_bars(self.end, symbols=24)
        self.exchange = Exchange(root / "source" / "bars.parquet", bars)
        self.exchange.publish(self.clock.now())
        variables = {
            **self.clock.variables(PROJECT),
            "DAGSTER_HOME": str(self.home.store.folders.dagster),
            "SLEEVEGRAPH_HOME": str(root),
            "SLEEVEGRAPH_SOURCE": "files",
            "SLEEVEGRAPH_PATH": str(self.exchange.file),
        }
        self.desk = Desk(root, variables, "tests.small")

    def open(self) -> None:
        """Start the processes and turn the sensors on."""
        self.desk.start(CODE)
        self.desk.command("automate", "on")
        self.desk.start(DAEMON)

    def close(self) -> None:
        """End every process."""
        self.desk.close()

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.home.instance

    def arrive(self, moment: datetime) -> None:
        """Move the clock forward to a moment; the exchange publishes what is out by then."""
        self.clock.set(max(moment, self.clock.now()))
        self.exchange.publish(self.clock.now())
        self._nudged = time.monotonic()

    def due(self, day: date) -> datetime:
        """When the driver looks at a rebalance date: its day is over."""
        return at(day + timedelta(days=1)) + AFTER_MIDNIGHT

    def note(self, fault: str, planted: str, observed: str, when: datetime | None = None) -> None:
        """Put a fault on record."""
        self.events.append(Event(when or self.clock.now(), fault, planted, observed))

    def runs(self, day: date | None = None) -> list[Ran]:
        """Runs of the rebalance job, of one date or all."""
        return ran(self.instance, day)

    def until(
        self, what: str, ask: Callable[[], Any], *, busy: timedelta = timedelta(), patience: float = PATIENCE_SECONDS
    ) -> Any:
        """Ask until the answer is true, and let time pass: a tick's interval while nothing runs, else `busy`."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if found := ask():
                return found
            self.desk.require_alive()
            self._pass_time(busy)
            time.sleep(0.5)
        said = "\n".join(self.desk.said(name) for name in (DAEMON, CODE))
        raise AssertionError(f"{what}: not within {patience} s, at {self.clock.now()}\n{said}")

    def rebalanced(self, day: date, *, busy: timedelta = timedelta()) -> Ran:
        """Wait until a run of the date went well and nothing is in progress any more."""
        return self.until(
            f"a rebalance of {day}", lambda: not self._in_progress() and next(self._good(day), None), busy=busy
        )

    def tick_after(self, moment: datetime, patience: float = PATIENCE_SECONDS) -> str:
        """Wait for a tick of the rebalance sensor after a moment of the desk, and say what came of it."""
        return str(self.until(f"a tick after {moment}", lambda: self.told(REBALANCE, moment), patience=patience))

    def told(self, sensor: str, since: datetime) -> str:
        """What the newest tick of a sensor after a moment said; empty where there is none."""
        ticks = self.instance.get_ticks(*self._ids(sensor), limit=1)
        if not ticks or ticks[0].timestamp < since.timestamp() or ticks[0].end_timestamp is None:
            return ""
        tick = ticks[0]
        return tick.skip_reason or f"{tick.status.value}: {', '.join(tick.run_keys) or tick.error or 'no run'}"

    def tick_again(self, sensor: str = REBALANCE) -> None:
        """Set a sensor back, as a lost write would: it has never ticked, and knows no run key."""
        state = next(state for state in self._states() if state.instigator_name == sensor)
        data = state.instigator_data
        assert isinstance(data, SensorInstigatorData)
        blank = SensorInstigatorData(min_interval=data.min_interval, sensor_type=data.sensor_type)
        self.instance.update_instigator_state(state.with_data(blank))

    def busy_runs(self) -> Sequence[dg.DagsterRun]:
        return self.instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS))

    def _in_progress(self) -> bool:
        return bool(self.busy_runs())

    def _good(self, day: date) -> Any:
        return (run for run in self.runs(day) if run.status is dg.DagsterRunStatus.SUCCESS)

    def _pass_time(self, busy: timedelta) -> None:
        runs, since = self.busy_runs(), time.monotonic() - self._nudged
        if not runs and (self._was_busy or since > LOOP_SECONDS):
            step = TICK
        elif runs and all(run.status is dg.DagsterRunStatus.QUEUED for run in runs) and since > 1:
            step = timedelta(seconds=6)  # the queue looks every five
        elif since > LOOP_SECONDS and all(run.status is dg.DagsterRunStatus.STARTED for run in runs):
            step = busy  # not while one starts, for which it has three minutes
        else:
            step = timedelta()
        self._was_busy = bool(runs)
        if step:
            self.arrive(self.clock.now() + step)

    def _states(self) -> Any:
        return self.instance.all_instigator_state()

    def _ids(self, sensor: str) -> tuple[str, str]:
        state = next(state for state in self._states() if state.instigator_name == sensor)
        return state.instigator_origin_id, state.selector_id
