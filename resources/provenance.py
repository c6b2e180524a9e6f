"""Which program, with which packages, on what kind of machine: what a bundle says of its making."""

import platform
import subprocess
import sysconfig
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

from resources.home import PROJECT
from sleevegraph.engines.protocol import ENTRY_POINTS

PROGRAM = ("assets", "checks", "commands", "definitions.py", "jobs", "profiles", "resources", "sensors", "sleevegraph")
"""The program's own files and folders."""
RULES = ".toml"
"""Profiles are not the program: what they say is in the manifest of every bundle."""
PACKAGES = (
    "clarabel", "cvxportfolio", "cvxpy", "dagster", "daqp", "duckdb", "empyrical-reloaded", "numpy", "pandas", "polars",
    "pydantic", "pyportfolioopt", "riskfolio-lib", "scikit-learn", "scipy", "skfolio", "sleevegraph",
)  # fmt: skip
"""What can move a number; those that are not installed are left out."""


@cache
def environment() -> dict[str, Any]:
    """The event `environment` of a ledger: no path, no host, no time."""
    engines = {entry.dist.name for entry in entry_points(group=ENTRY_POINTS) if entry.dist}
    found = {name: _version(name) for name in sorted({*PACKAGES, *engines})}
    packages = {name: number for name, number in found.items() if number is not None}
    return {
        "sleevegraph": packages.pop("sleevegraph", None),
        "revision": _revision(PROJECT),
        "source": source_digest(PROJECT),
        "python": platform.python_version(),
        "platform": sysconfig.get_platform(),
        "packages": packages,
    }


def source_digest(root: Path) -> str:
    """SHA-256 over path and content of every file of the program under `root`."""
    content = sha256()
    for path in sorted(path for name in PROGRAM for path in _files(root / name)):
        data = path.read_bytes()
        content.update(f"{path.relative_to(root).as_posix()} {len(data)}\n".encode() + data)
    return content.hexdigest()


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return [
        path
        for path in place.rglob("*")
        if path.is_file() and path.suffix != RULES and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]


def _revision(root: Path) -> str | None:
    """The commit that is checked out at `root`; None where `root` is no repository of its own."""
    try:
        found = subprocess.run(  # noqa: S603 - nothing in it comes from outside
            ["git", "-C", str(root), "rev-parse", "--show-toplevel", "HEAD"],  # noqa: S607 - the git that is installed
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    top, commit = found.stdout.split("\n")[:2]
    return commit if Path(top).resolve() == root else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
