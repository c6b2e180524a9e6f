"""What is installed is what was locked: every byte by its hash, from no index that a file names, without known conflicts."""

import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

LOCKS = sorted((Path(__file__).resolve().parent.parent / "requirements").glob("*.lock"))
PINNED = re.compile(r"[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==[^ ;]+( ; .+)?")
COPYLEFT = re.compile(r"\b(AGPL|GPL)", re.IGNORECASE)


def entries(text: str) -> list[tuple[str, list[str]]]:
    """Requirements of a lock with their hashes."""
    logical = text.replace("\\\n", " ").splitlines()
    parts = [re.split(r"\s+--hash=", line.strip()) for line in logical if line.strip()]
    return [(first.strip(), hashes) for first, *hashes in parts]


def defects(text: str) -> list[str]:
    found = []
    for requirement, hashes in entries(text):
        if not PINNED.fullmatch(requirement):
            found.append(f"not pinned: {requirement}")
        elif not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", one.strip()) for one in hashes):
            found.append(f"without sha256: {requirement}")
    return found


def wanted(text: str) -> dict[str, str]:
    """Version by normalised name of what a lock means on this machine."""
    here = {key: str(value) for key, value in default_environment().items()}
    needed = [Requirement(requirement) for requirement, _ in entries(text)]
    chosen = [one for one in needed if one.marker is None or one.marker.evaluate(here)]
    return {_normal(one.name): str(one.specifier).removeprefix("==") for one in chosen}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, Distribution]:
    return {_normal(found.metadata["Name"]): found for found in distributions()}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_requirement_is_pinned_with_its_hashes_and_no_index_is_named(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert len(entries(text)) > 50
    assert defects(text) == []
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize(
    "planted",
    [
        "polars>=2.1 --hash=sha256:" + "0" * 64,
        "polars==2.1",
        "polars==2.1 --hash=md5:" + "0" * 32,
        "polars @ git+ssh://host/x",
    ],
)
def test_a_requirement_that_is_not_locked_is_found(planted: str) -> None:
    assert defects(planted + "\n") != []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_this_environment_has_the_versions_of_the_locks(lock: Path) -> None:
    versions = {name: found.version for name, found in installed().items()}
    other = {
        name: versions.get(name) for name, version in wanted(lock.read_text()).items() if versions.get(name) != version
    }
    assert other == {}


def test_no_two_packages_contradict_each_other() -> None:
    found = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_product_installs_nothing_under_a_copyleft_licence() -> None:
    """The library is MIT: what its users install with it must not bind them; the LGPL does not."""
    runtime = wanted((LOCKS[0].parent / "runtime.lock").read_text())
    licences = {name: licence(found) for name, found in installed().items() if name in runtime}
    assert {name: text for name, text in licences.items() if COPYLEFT.search(text.replace("LGPL", ""))} == {}
    assert COPYLEFT.search(licence(installed()["cvxportfolio"]))  # which only the tests install


def licence(found: Distribution) -> str:
    classifiers = [one for one in found.metadata.get_all("Classifier") or [] if one.startswith("License ::")]
    first = (found.metadata.get("License") or "").strip().partition("\n")[0]  # some have the whole text there
    return " ".join((found.metadata.get("License-Expression") or "", first, *classifiers))
