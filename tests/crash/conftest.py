"""What kills and runs side by side have in common."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.homes import made_home


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """For homes; in memory where the system has a place for it."""
    home = made_home(dg.Definitions())
    yield home.root
    shutil.rmtree(home.root)
