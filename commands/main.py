"""The `sleevegraph` command."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

NAMES = (
    "accept",
    "alerts",
    "automate",
    "backfill",
    "backup",
    "coverage",
    "demo",
    "doctor",
    "explain",
    "gates",
    "ingest",
    "metrics",
    "migrate",
    "profiles",
    "prune",
    "replay",
    "restore",
    "trades",
    "up",
    "verify",
    "weights",
)
"""Each is a function in the module of the same name."""


class Modules(Mapping[str, click.Command]):
    """Commands that are imported when they are asked for: Dagster takes seconds, which `verify` has no use for."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in NAMES:
            raise KeyError(name)
        command: click.Command = getattr(import_module(f"commands.{name}"), name)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


class OneLineErrors(click.Group):
    """A group of commands whose usage errors are one line, too, where click prints three."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the group's own options."""
        with _one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Parse a command's options and run it."""
        with _one_line():
            return super().invoke(ctx)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # its message is the help
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "sleevegraph"
        message = " ".join(error.format_message().split()).rstrip(".")
        plain = click.ClickException(f"{message}; see {path} --help")
        plain.exit_code = error.exit_code
        raise plain from error


@click.group(cls=OneLineErrors, commands=Modules(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sleevegraph")
def main() -> None:
    """Certified portfolio weights from Binance Spot bars."""
