"""What a bundle says of the program that made it."""

import subprocess
from pathlib import Path

import pytest

from resources import provenance
from resources.home import PROJECT


@pytest.fixture
def program(tmp_path: Path) -> Path:
    for name in ("sleevegraph", "profiles"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rule.py").write_text("LIMIT = 1\n")
    (tmp_path / "definitions.py").write_text("")
    (tmp_path / "profiles" / "market.toml").write_text("limit = 1\n")
    return tmp_path


@pytest.mark.parametrize("file", ["sleevegraph/rule.py", "definitions.py", "sleevegraph/report/page.css"])
def test_any_file_of_the_program_changes_its_digest(program: Path, file: str) -> None:
    before = provenance.source_digest(program)
    (program / file).parent.mkdir(exist_ok=True)
    (program / file).write_text("LIMIT = 2\n")
    assert provenance.source_digest(program) != before


@pytest.mark.parametrize(
    "file", ["profiles/market.toml", "tests/test_rule.py", "sleevegraph/__pycache__/rule.pyc", "data/x.py"]
)
def test_profiles_and_what_is_no_program_do_not(program: Path, file: str) -> None:
    before = provenance.source_digest(program)
    (program / file).parent.mkdir(exist_ok=True)
    (program / file).write_text("limit = 2\n")
    assert provenance.source_digest(program) == before


def test_content_that_moves_from_file_to_file_changes_the_digest(program: Path) -> None:
    before = provenance.source_digest(program)
    (program / "sleevegraph" / "rule.py").rename(program / "sleevegraph" / "other.py")
    assert provenance.source_digest(program) != before


def test_the_environment_names_program_and_packages_and_no_place() -> None:
    found = provenance.environment()
    assert set(found) == {"sleevegraph", "revision", "source", "python", "platform", "packages"}
    assert found["source"] == provenance.source_digest(PROJECT)
    assert {"dagster", "numpy", "polars", "scipy"} <= set(found["packages"])
    assert str(PROJECT) not in repr(found)


def git(folder: Path, *arguments: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", "-C", str(folder), *names, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_revision_is_that_of_the_programs_own_repository_and_of_no_other(program: Path) -> None:
    assert provenance._revision(program) is None
    git(program, "init", "--quiet")
    git(program, "commit", "--quiet", "--allow-empty", "--message", "first")
    assert provenance._revision(program) == git(program, "rev-parse", "HEAD")
    assert provenance._revision(program / "sleevegraph") is None
