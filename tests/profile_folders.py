"""Folders of profiles to break one thing in."""

import shutil
from pathlib import Path

import pytest

from profiles.files import ProfilesError
from profiles.load import PROFILES, load_profiles

GRID = """name = "grid"

[template]
logic = "rating_all"
rating = "recommend_all"

[parameters]
direction = ["LONG", "SHORT"]
"selection.top_n" = [5, 10, 15]
"selection.cluster_threshold" = [0.35, 0.45]
"""
"""Twelve sleeves."""


def copied(target: Path) -> Path:
    """Copy the shipped profiles and make a folder for families beside them."""
    for part in ("sleeves", "metas"):
        shutil.copytree(PROFILES / part, target / part)
    shutil.copy(PROFILES / "market.toml", target)
    (target / "families").mkdir()
    return target


def defects(folder: Path) -> list[str]:
    """Every line that the profiles of `folder` are refused with, without the folder."""
    with pytest.raises(ProfilesError) as error:
        load_profiles(folder)
    assert not any("\n" in line for line in error.value.defects)
    return [line.removeprefix(f"{folder}/") for line in error.value.defects]
