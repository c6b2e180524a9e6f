"""A disk that is full, or that may only be read: one line says so, nothing is half written, and room makes it good."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.command_homes import CERTIFIED, own_copy, refused, sleevegraph
from tests.crash.aftermath import defects, leftovers, outcome

SLEEVE = "binance_spot_rating_all_long"
ROOM = 64 * 2**20
SAYS = {"full": ("No space left on device", "disk is full", "disk I/O error"), "read-only": ("Read-only", "readonly")}

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="mounts a file system, which takes root"
)


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """Put what is in a folder on a disk of its own."""
    aside = folder.with_name(f"{folder.name}-before")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, aside)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounts a file system: {mounted.stderr.decode().strip()}")
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        shutil.rmtree(aside)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leave no byte."""
    ballast = folder / ".ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(2**16))
        except OSError:
            pass
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)


TROUBLE: dict[str, Callable[[Path], object]] = {"full": full, "read-only": read_only}
CASES = [("data/receipts", "read-only"), ("runs", "full"), ("dagster_home", "full")]
"""Each of the three ways of writing once, since a case takes ten seconds: a file, a bundle, and Dagster's SQLite."""


def command(part: str, home: Path) -> tuple[object, ...]:
    """The one that writes there."""
    asset = f"{SLEEVE}/audit_bundle" if part == "runs" else "universe"
    return "backfill", "--from", CERTIFIED, "--to", CERTIFIED, "--select", asset, "--home", home


@pytest.mark.parametrize(("part", "trouble"), CASES)
def test_a_disk_that_takes_nothing_is_one_line_and_the_same_command_succeeds_once_it_does(
    part: str, trouble: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = own_copy(tmp_path_factory, tmp_path / "home")
    want = outcome(home)
    if part == "runs":
        shutil.rmtree(home / "runs" / f"{SLEEVE}-{CERTIFIED.replace('-', '')}")
    if part == "dagster_home":
        assert sleevegraph("gates", "--home", home).exit_code in {0, 1}
    with disk(home / part):
        with TROUBLE[trouble](home / part):
            said = refused(*command(part, home))
            assert any(sign in said for sign in SAYS[trouble]), said
            assert str(home) in said
        assert defects(home) == []
        assert [path for path in leftovers(home) if path.name != ".ballast"] == []
        again = sleevegraph(*command(part, home))
        assert again.exit_code == 0, again.output
        assert defects(home) == []
        assert outcome(home) == want
