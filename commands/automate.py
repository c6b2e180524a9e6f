"""`sleevegraph automate`: whether this home runs itself, and what its sensors said last."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import dagster as dg

# What Dagster's own pages and commands do through a running code server is done here on its records alone; all private to it.
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    ScheduleInstigatorData,
    SensorInstigatorData,
)
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.controller import all_daemons_live
from dagster._serdes import create_snapshot_id

from commands.home import create, open_instance, with_home
from commands.in_use import definitions_in_use
from resources.home import PROJECT, Home
from sleevegraph.errors import ConfigurationError

SENSOR, SCHEDULE = "rebalance_sensor", "rebalance_schedule"
"""Two ways to launch a rebalance; one of them is used."""
WORKSPACE = PROJECT / "workspace.yaml"

Instigator = dg.SensorDefinition | dg.ScheduleDefinition


@click.command()
@click.argument("what", type=click.Choice(["on", "off", "status"]))
@click.option(
    "--schedule", is_flag=True, help="Rebalance by the clock alone, whatever the bars, instead of by the sensor."
)
@with_home
def automate(home: Home, what: str, *, schedule: bool) -> None:
    """Turn on or off all that makes this home run itself, or show what is on and what it said last."""
    if schedule and what != "on":
        raise click.UsageError("--schedule: expected with on alone, found with " + what)
    if what != "on" and not home.root.exists():
        raise ConfigurationError(
            f"--home: expected the folder of a home, found none at {home.root}; sleevegraph automate on makes one"
        )
    create(home)
    with open_instance(home) as instance:
        known = instigators()
        if what != "status":
            unused = SENSOR if schedule else SCHEDULE
            wanted = set() if what == "off" else known.keys() - {unused}
            for name, one in known.items():
                switch(instance, one, on=name in wanted)
        for line in _status(home, instance, known):
            click.echo(line)


def instigators() -> Mapping[str, Instigator]:
    """Every sensor and schedule by name."""
    defs = definitions_in_use()
    return {one.name: one for one in (*(defs.sensors or ()), *(defs.schedules or ())) if hasattr(one, "name")}


def switch(instance: dg.DagsterInstance, one: Instigator, *, on: bool) -> None:
    """Turn a sensor or schedule on or off; one that is as wanted is left as it is, unless its last tick is yet to come.

    Dagster waits from one tick to the next by the clock, so after a clock was set back a sensor would rest until the time that it
    has seen already; turned on, it forgets when that was.
    """
    stored = state_of(instance, one)
    status = InstigatorStatus.RUNNING if on else InstigatorStatus.STOPPED
    if stored is None:
        if on:
            kind = InstigatorType.SENSOR if isinstance(one, dg.SensorDefinition) else InstigatorType.SCHEDULE
            instance.add_instigator_state(InstigatorState(_origin(one), kind, status, _data(one, None)))
    elif stored.status != status or (on and from_the_future(stored)):
        instance.update_instigator_state(stored.with_status(status).with_data(_data(one, stored)))


def state_of(instance: dg.DagsterInstance, one: Instigator) -> InstigatorState | None:
    """What is stored of a sensor or schedule; it is off where nothing is."""
    origin = _origin(one)
    return instance.get_instigator_state(origin.get_id(), create_snapshot_id(origin.get_selector()))


def from_the_future(state: InstigatorState) -> bool:
    """Whether a sensor's last tick is later than now."""
    data = state.instigator_data
    if not isinstance(data, SensorInstigatorData):
        return False
    return max(data.last_tick_timestamp or 0.0, data.last_tick_start_timestamp or 0.0) > _now().timestamp()


def _origin(one: Instigator) -> RemoteInstigatorOrigin:
    """What Dagster calls it in the workspace that `sleevegraph up` and `dagster dev` open."""
    (location,) = WorkspaceFileTarget([str(WORKSPACE)]).create_origins()
    return RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), one.name)


def _data(one: Instigator, stored: InstigatorState | None) -> SensorInstigatorData | ScheduleInstigatorData:
    now = _now().timestamp()
    if isinstance(one, dg.ScheduleDefinition):
        return ScheduleInstigatorData(one.cron_schedule, start_timestamp=now)
    data = stored.instigator_data if stored else None
    return SensorInstigatorData(
        min_interval=one.minimum_interval_seconds,
        cursor=data.cursor if isinstance(data, SensorInstigatorData) else None,
        last_sensor_start_timestamp=now,
        sensor_type=one.sensor_type,
    )


def _status(home: Home, instance: dg.DagsterInstance, known: Mapping[str, Instigator]) -> Iterator[str]:
    on = []
    for name, one in known.items():
        state = state_of(instance, one)
        running = state is not None and state.status is InstigatorStatus.RUNNING
        on += [name] if running else []
        yield f"{name:<24} {'on' if running else 'off':<4} {_last(instance, state, one)}".rstrip()
        if running and state is not None and from_the_future(state):
            yield f"{'':<29} its last tick is yet to come: the clock was set back; run sleevegraph automate on, which lets it go on"
    if all_daemons_live(instance):
        yield "daemon                   alive"
    else:
        rest = "nothing above is looked at until one runs" if on else "nothing is on either"
        yield f"daemon                   none alive, {rest}; start one by sleevegraph up --home {home.root}"


def _last(instance: dg.DagsterInstance, state: InstigatorState | None, one: Instigator) -> str:
    if state is None:
        return ""
    ticks: Sequence[InstigatorTick] = instance.get_ticks(_origin(one).get_id(), state.selector_id, limit=1)
    if not ticks:
        return "no tick yet"
    return f"{datetime.fromtimestamp(ticks[0].timestamp, UTC):%Y-%m-%d %H:%M:%S} UTC {_told(ticks[0])}"


def _told(tick: Any) -> str:
    if tick.error:
        return f"failed: {' '.join(str(tick.error.message).split())}"
    if tick.run_ids:
        return f"launched {', '.join(tick.run_ids)}"
    return tick.skip_reason or tick.status.value.lower()


def _now() -> datetime:
    return datetime.now(UTC)
