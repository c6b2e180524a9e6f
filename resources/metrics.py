"""Figures of a home for Prometheus: read when they are asked for, and never a reason for the exporter to end."""

import logging
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock

import dagster as dg
from polars.exceptions import PolarsError
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from yaml import YAMLError

from resources.deliveries import Deliveries
from resources.run_history import ENDED, IN_PROGRESS, ended_at, run_records
from resources.store import Store
from sleevegraph.errors import SleevegraphError

_LOG = logging.getLogger(__name__)
READING_ERRORS = (
    SleevegraphError,
    OSError,
    ValueError,
    dg.DagsterError,
    SQLAlchemyError,
    sqlite3.Error,
    PolarsError,
    YAMLError,
)
"""What a home that is broken, or half there, raises."""
SHORTEST_CACHE_SECONDS = 15.0
CACHE_SHARE = 10
"""A reading counts for this many times what it took: a large home is not read all the time."""
JOB = "dagster_job"
"""Label; `job` is Prometheus's own name for whom it scrapes."""
RECENT = timedelta(days=3)
BUCKETS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200)
"""Upper bounds in seconds."""

Part = Callable[[], Iterable[Metric]]


class HomeCollector(Collector):
    """Reads every part; one that fails leaves its figures out, and `sleevegraph_up` is 0."""

    def __init__(self, parts: Sequence[tuple[str, Part]], clock: Callable[[], float] = time.monotonic) -> None:
        """Read nothing yet."""
        self._parts, self._clock = parts, clock
        self._lock, self._until, self._found = Lock(), float("-inf"), list[Metric]()

    def collect(self) -> list[Metric]:
        """Every figure, as of at most some seconds ago."""
        with self._lock:
            began = self._clock()
            if began >= self._until:
                self._found = self._read()
                took = self._clock() - began
                self._found.append(gauge("reading_seconds", "How long it took to read the home.", [((), took)]))
                self._until = self._clock() + max(SHORTEST_CACHE_SECONDS, CACHE_SHARE * took)
            return self._found

    def _read(self) -> list[Metric]:
        found: list[Metric] = []
        sound = True
        for name, part in self._parts:
            try:
                found += part()
            except READING_ERRORS as error:
                sound = False
                _LOG.error("%s cannot be read: %s", name, " ".join(str(error).split()))
        return [gauge("up", "1 if the whole home could be read, 0 if not; the log says why.", [((), sound)]), *found]


def gauge(name: str, text: str, rows: Iterable[tuple[Sequence[str], float]], labels: Sequence[str] = ()) -> Metric:
    """A gauge with one sample for each row of label values and value."""
    family = GaugeMetricFamily(f"sleevegraph_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(list(values), float(value))
    return family


class RunFigures:
    """Figures of Dagster's runs and daemon.

    Durations are counted once for each run, and go on where runs are pruned, so they never fall while the process lives.
    """

    def __init__(self, opened: Callable[[], dg.DagsterInstance]) -> None:
        """Open the instance anew for each reading."""
        self._opened = opened
        self._ended: dict[str, tuple[str, str, float, datetime]] = {}

    def __call__(self) -> list[Metric]:
        """Read what is new."""
        now = datetime.now(UTC)
        with self._opened() as instance:
            waiting = [
                (run.dagster_run.job_name, run.dagster_run.status.value) for run in run_records(instance, IN_PROGRESS)
            ]
            self._follow(instance)
            beats = instance.get_daemon_heartbeats()
        recent = [(job, status) for job, status, _, at in self._ended.values() if at > now - RECENT]
        newest = {(job, status): at for job, status, _, at in sorted(self._ended.values(), key=lambda run: run[3])}
        last = {job: took for job, _, took, _ in sorted(self._ended.values(), key=lambda run: run[3])}
        by = (JOB, "status")
        stamps = [((name,), beat.timestamp) for name, beat in sorted(beats.items())]
        ages = [(name, now.timestamp() - stamp) for name, stamp in stamps]
        return [
            gauge("runs_in_progress", "Runs that are queued, starting or running.", _counted(waiting), by),
            gauge("recent_runs", f"Runs that ended in the last {RECENT.days} days.", _counted(recent), by),
            gauge(
                "last_run_timestamp_seconds",
                "When the last run ended.",
                [(k, v.timestamp()) for k, v in newest.items()],
                by,
            ),
            gauge("last_run_duration_seconds", "Of the last run.", [((k,), v) for k, v in last.items()], (JOB,)),
            self._durations(),
            gauge("daemon_heartbeat_timestamp_seconds", "Last sign of life of a daemon.", stamps, ("daemon",)),
            gauge("daemon_heartbeat_age_seconds", "Since the last sign of life of a daemon.", ages, ("daemon",)),
        ]

    def _follow(self, instance: dg.DagsterInstance) -> None:
        """Read runs from the newest on until one that is known; a run that took long may end after younger ones."""
        known = 0
        for record in run_records(instance, ENDED):
            run, at = record.dagster_run, ended_at(record)
            if run.run_id in self._ended:
                known += 1
                if known > OVERLAP:
                    return
                continue
            took = max(at.timestamp() - record.start_time, 0.0) if record.start_time else 0.0
            self._ended[run.run_id] = (run.job_name, run.status.value, took, at)

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            "sleevegraph_run_duration_seconds", "How long runs took that ended.", labels=(JOB, "status")
        )
        by: dict[tuple[str, str], list[float]] = {}
        for job, status, took, _ in self._ended.values():
            by.setdefault((job, status), []).append(took)
        for labels, took in sorted(by.items()):
            bounds = [*((str(float(bound)), bound) for bound in BUCKETS), ("+Inf", float("inf"))]
            counts = [(text, float(sum(one <= bound for one in took))) for text, bound in bounds]
            family.add_metric(list(labels), buckets=counts, sum_value=sum(took))
        return family


OVERLAP = 1_000
"""Known runs that are read before the search for new ones ends."""


def _counted(pairs: Sequence[tuple[str, str]]) -> list[tuple[tuple[str, str], float]]:
    return [(pair, float(pairs.count(pair))) for pair in sorted(set(pairs))]


def machine_figures(store: Store) -> list[Metric]:
    """Room on the home's disk, and alerts that somebody has not heard of."""
    usage = shutil.disk_usage(store.folders.root)
    deliveries = Deliveries(store.alerts) if store.alerts.file.exists() else None
    waiting, channels = (deliveries.waiting(), deliveries.in_use()) if deliveries else (0, 0)
    return [
        gauge("disk_free_bytes", "Room left on the disk of the home.", [((), usage.free)]),
        gauge("disk_size_bytes", "Size of the disk of the home.", [((), usage.total)]),
        gauge(
            "alerts_waiting",
            "Facts for alerts that some channel has not heard of; without a channel, that nobody has.",
            [((), waiting)],
        ),
        gauge("alert_channels", "Channels of SLEEVEGRAPH_ALERTS in use.", [((), channels)]),
    ]
