"""`sleevegraph up`: Dagster's page and daemon for one home, until they are ended."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from ipaddress import ip_address

import click

from commands.automate import WORKSPACE, from_the_future, instigators, state_of, switch
from commands.home import create, open_instance, with_home
from resources.home import PROJECT, Home
from resources.preflight import preflight
from sleevegraph.errors import ConfigurationError

LOOPBACK = "127.0.0.1"
LOCK = "up.lock"
STORAGE = ("SLEEVEGRAPH_POSTGRES_URL",)
"""Settings without which Dagster has nowhere to write; with any other trouble it starts, and says what does not work."""


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Of the page.")
@click.option("--host", default=LOOPBACK, show_default=True, help="Address that the page is served on.")
@with_home
def up(home: Home, port: int, host: str) -> None:
    """Run the page and the daemon of a home; sensors that are on do their work as long as this runs."""
    create(home)
    troubles = preflight()
    for trouble in troubles:
        click.echo(str(trouble), err=True)
    if any(trouble.setting in STORAGE for trouble in troubles):
        raise click.exceptions.Exit(1)
    _require_free(host, port)
    if not _only_here(host):
        click.echo(
            f"--host {host}: the page has no passwords, and whoever reaches it can launch and delete runs; put a proxy with "
            "authentication before it (docs/operations.md)",
            err=True,
        )
    with _alone(home):
        with open_instance(home) as instance:
            for one in instigators().values():
                state = state_of(instance, one)
                if state is not None and state.is_running and from_the_future(state):
                    switch(instance, one, on=True)
        click.echo(
            f"http://{host}:{port} shows {home.root}; sleevegraph automate status --home {home.root} says what is on"
        )
        sys.stdout.flush()
        os.chdir(PROJECT)
        command = [sys.executable, "-m", "dagster", "dev", "-w", str(WORKSPACE), "-h", host, "-p", str(port)]
        os.execv(sys.executable, command)  # noqa: S606 - no shell, and every argument is ours or a checked option


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Hold a lock that the program which replaces this one keeps until it ends: two daemons would launch runs twice."""
    with (home.dagster / LOCK).open("a+") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ConfigurationError(
                f"--home: expected no page and daemon of {home.root} to run, found those of process {file.read() or 'unknown'}; "
                "end it, or use another home"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        os.set_inheritable(file.fileno(), True)
        yield


def _require_free(host: str, port: int) -> None:
    """Dagster would start everything else first, and then end it all with a page of traces."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise ConfigurationError(
            f"--port: expected one that is free on {host}, found {port}: {error.strerror}; end what uses it, or choose "
            "another by --port"
        ) from error


def _only_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
