"""The `sleevegraph` command."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from commands.backfill import backfill
from commands.demo import demo
from commands.doctor import doctor
from commands.explain import explain
from commands.weights import weights


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


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sleevegraph")
def main() -> None:
    """Certified portfolio weights from Binance Spot bars."""


for command in (backfill, demo, doctor, explain, weights):
    main.add_command(command)
