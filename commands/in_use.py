"""The profiles that commands work with: those that can run, and a word on stderr about the others."""

import logging

import click
import dagster as dg

from profiles.sound import Sound, load_sound
from sleevegraph.manifest import Manifest
from sleevegraph.refused import told

_KEY = f"{__name__}.sound"


def sound_in_use() -> Sound:
    """The profiles of this installation; what is left out is said on stderr, once for all commands of a call."""
    known = click.get_current_context().meta  # which the commands that one invokes share
    if _KEY not in known:
        known[_KEY] = load_sound()
        for line in told(known[_KEY].refused):
            click.echo(line, err=True)
    sound: Sound = known[_KEY]
    return sound


def manifest_in_use() -> Manifest:
    """The manifest of what can run."""
    return sound_in_use().profiles.manifest


def definitions_in_use() -> dg.Definitions:
    """The assembled graph of what can run."""
    sound_in_use()
    log = logging.getLogger("definitions")
    log.disabled = True  # what it would warn of has just been said
    from definitions import defs  # noqa: PLC0415 - reads profiles, whose errors are ours to print

    log.disabled = False
    return defs
