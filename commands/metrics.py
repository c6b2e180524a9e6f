"""`sleevegraph metrics`: figures of a home for Prometheus, over HTTP."""

import logging
import socket
from collections.abc import Callable, Iterable
from functools import partial
from threading import Thread
from wsgiref.simple_server import WSGIServer

import click
import dagster as dg
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import Metric

from commands.exported import bar_figures, gate_figures, rebalance_figures, solver_figures
from commands.home import open_instance, with_home
from commands.in_use import manifest_in_use
from resources.home import Home
from resources.json_logs import configure_logs
from resources.metrics import HomeCollector, Part, RunFigures, machine_figures
from resources.store import Store
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import Manifest

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 9464


@click.command()
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="Address to listen on.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@with_home
def metrics(home: Home, host: str, port: int) -> None:
    """Serve figures of a home on /metrics until this is ended; reads only, and goes on where the home is broken."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    configure_logs()
    logging.getLogger("alembic").setLevel(logging.WARNING)  # tells each time that a home is opened
    server, thread = started(home, manifest_in_use(), host, port)
    click.echo(f"metrics of {home.root} on http://{host}:{server.server_port}/metrics")
    try:
        thread.join()
    except KeyboardInterrupt:
        server.shutdown()


def started(home: Home, manifest: Manifest, host: str, port: int) -> tuple[WSGIServer, Thread]:
    """Listen in a thread; ConfigurationError where that address cannot be had."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HomeCollector(parts_of(home, manifest)))
    try:
        return start_http_server(port, addr=host, registry=registry)
    except (OSError, socket.gaierror) as error:
        raise ConfigurationError(
            f"--port: expected to listen on {host} port {port}, found: {error.strerror or error}; end what listens there, "
            "or choose another one"
        ) from error


def parts_of(home: Home, manifest: Manifest) -> list[tuple[str, Part]]:
    """What is read of a home, each part for itself."""
    runs = RunFigures(partial(_opened, home))

    def of_store(read: Callable[[Store], Iterable[Metric]]) -> Part:
        def part() -> list[Metric]:
            # A store remembers folders and settings, and the home may be another one by now.
            store = Store(home=str(_required(home).root))
            with store.lake.one_look():
                return list(read(store))

        return part

    return [
        ("rebalances", of_store(lambda store: rebalance_figures(store, manifest))),
        ("gates", of_store(lambda store: gate_figures(store, manifest))),
        ("solver cells", of_store(lambda store: solver_figures(store, manifest))),
        ("bars", of_store(bar_figures)),
        ("disk and alerts", of_store(machine_figures)),
        ("runs and daemons", runs),
    ]


def _opened(home: Home) -> dg.DagsterInstance:
    return open_instance(_required(home))


def _required(home: Home) -> Home:
    """A home that is there: to open one that is not would make it."""
    settings = home.dagster / "dagster.yaml"
    if not settings.is_file():
        raise ConfigurationError(f"home: expected one, found no {settings}; sleevegraph backfill makes one")
    return home
