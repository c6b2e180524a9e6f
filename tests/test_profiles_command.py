import json
import shutil
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import commands.in_use
import commands.profiles
from profiles.load import PROFILES, Profiles, load_manifest, load_profiles
from profiles.sound import load_sound
from sleevegraph.manifest import MetaProfile, SleeveProfile
from tests.command_homes import refused, sleevegraph
from tests.profile_folders import GRID, copied

LONG, SHORT = "binance_spot_rating_all_long", "binance_spot_rating_all_short"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped profiles, the family `grid` of twelve sleeves, and a meta above it."""
    copied(tmp_path)
    (tmp_path / "families" / "grid.toml").write_text(GRID)
    text = f'name = "meta_grid"\nchildren = ["{LONG}", "grid"]\nweight_min = 0.0\nweight_max = 0.5\n'
    (tmp_path / "metas" / "meta_grid.toml").write_text(text)
    return tmp_path


@pytest.fixture
def in_use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the command take `folder` for the profiles in use."""

    def load(path: Path = folder) -> Profiles:
        return load_profiles(folder if path == PROFILES else path)

    monkeypatch.setattr(commands.profiles, "load_profiles", load)
    monkeypatch.setattr(commands.in_use, "load_sound", lambda: load_sound(folder))
    return folder


def said(*arguments: object) -> str:
    result = sleevegraph("profiles", *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def listed(*arguments: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(said("list", "--format", "json", *arguments))
    return found


def test_the_list_has_every_sleeve_and_every_meta_of_the_profiles_in_use() -> None:
    manifest = load_manifest()
    lines = [line.split() for line in said("list").splitlines()]
    assert lines[0] == ["name", "kind", "logic", "direction", "members"]
    assert [line[:2] for line in lines[1:]] == [
        *([sleeve.name, "sleeve"] for sleeve in manifest.sleeves),
        *([meta.name, "meta"] for meta in manifest.metas),
    ]
    assert lines[1][2:] == ["rating_all", "LONG"]


@pytest.mark.usefixtures("in_use")
def test_a_family_is_one_line_unless_all_is_asked_for() -> None:
    short, whole = listed(), listed("--all")
    assert [row for row in short if row["kind"] == "family"] == [
        {"name": "grid", "kind": "family", "logic": ["rating_all"], "direction": ["LONG", "SHORT"], "sleeves": 12}
    ]
    members = [row for row in whole if row.get("family") == "grid"]
    assert [row["name"] for row in members] == sorted((row["name"] for row in members), key=_place)
    assert len(members) == 12
    assert [row for row in whole if row not in members] == short
    table = said("list").splitlines()
    (line,) = [line for line in table if line.startswith("grid ")]
    assert line.split() == ["grid", "family", "rating_all", "LONG,", "SHORT", "12", "sleeves"]
    assert len(said("list", "--all").splitlines()) == len(table) + 12


def _place(name: str) -> tuple[str, int, str]:
    _, direction, top, threshold = name.split("_")
    return direction, int(top), threshold


@pytest.mark.usefixtures("in_use")
def test_a_meta_is_listed_with_its_children_as_its_file_has_them() -> None:
    children = {row["name"]: row["children"] for row in listed() if row["kind"] == "meta"}
    assert children["meta_grid"] == [LONG, "grid"]
    assert children["meta_fractal"] == ["meta_benchmark", "meta_ma_benchmark"]


def test_what_show_prints_is_a_profile_with_every_default_that_reads_back() -> None:
    manifest = load_manifest()
    for profile in (*manifest.sleeves, *manifest.metas):
        model = SleeveProfile if isinstance(profile, SleeveProfile) else MetaProfile
        text = said("show", profile.name)
        data = tomllib.loads(text)
        assert model.model_validate(data) == profile
        whole = profile.model_dump(mode="json")
        assert json.loads(said("show", profile.name, "--format", "json")) == whole
        missing = {key for key, value in whole.items() if value is None}
        assert set(data) == set(whole) - missing
        assert all(f"# {key}: none" in text for key in missing)


def test_a_sleeve_of_a_family_as_it_is_shown_is_a_file_of_its_own(in_use: Path) -> None:
    text = said("show", "grid_short_10_0p35")
    content = tomllib.loads(text)
    assert (content["direction"], content["selection"]["top_n"]) == ("SHORT", 10)
    before = {sleeve.name: sleeve for sleeve in load_manifest(in_use).sleeves}
    (in_use / "sleeves" / "alone.toml").write_text(text.replace("grid_short_10_0p35", "alone"))
    after = {sleeve.name: sleeve for sleeve in load_manifest(in_use).sleeves}
    assert after["alone"] == before["grid_short_10_0p35"].model_copy(update={"name": "alone"})


def test_a_family_is_shown_with_template_parameters_and_sleeves(in_use: Path) -> None:
    text, names = said("show", "grid"), load_manifest(in_use).families[0].sleeves
    assert tomllib.loads(text) == tomllib.loads(GRID)
    assert [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# grid")] == list(names)
    found = json.loads(said("show", "grid", "--format", "json"))
    assert found == {**tomllib.loads(GRID), "sleeves": list(names)}


def test_a_name_that_nothing_has_is_refused_with_the_nearest() -> None:
    assert "found 'meta_fractl'; did you mean meta_fractal?" in refused("profiles", "show", "meta_fractl")
    assert "sleevegraph profiles list has them all" in refused("profiles", "show", "zzzz")


def test_sound_profiles_are_counted(folder: Path) -> None:
    assert said("validate", folder) == f"{folder}: 16 sleeves (12 of them of 1 families), 5 metas, no defects\n"
    assert said("validate") == f"{PROFILES}: 4 sleeves, 4 metas, no defects\n"


def test_every_defect_is_one_line_and_the_exit_code_one(folder: Path) -> None:
    sleeve, family = folder / "sleeves" / f"{LONG}.toml", folder / "families" / "grid.toml"
    sleeve.write_text(sleeve.read_text().replace('"LONG"', '"UP"').replace("rating =", "ratng ="))
    family.write_text(GRID.replace("0.45", "-1"))
    result = sleevegraph("profiles", "validate", folder)
    assert result.exit_code == 1
    assert result.stderr == ""
    found = [line.removeprefix(f"{folder}/").split(", found")[0] for line in result.stdout.splitlines()]
    assert found[:2] == [
        f"sleeves/{LONG}.toml:4: direction: expected 'LONG' or 'SHORT'",
        f"sleeves/{LONG}.toml:3: ratng: expected a key among {', '.join(SleeveProfile.model_fields)}",
    ]
    assert found[2:] == ["families/grid.toml:10: parameters.selection.cluster_threshold.1: expected greater than 0"]


def test_only_a_folder_can_be_validated(folder: Path) -> None:
    message = refused("profiles", "validate", folder / "market.toml")
    assert f"FOLDER: expected a folder with market.toml, found '{folder / 'market.toml'}'" in message


def test_two_profiles_differ_by_the_keys_whose_values_differ(in_use: Path) -> None:
    assert said("diff", LONG, SHORT) == "direction: LONG -> SHORT\n"
    assert said("diff", "grid_long_5_0p35", "grid_long_10_0p45").splitlines() == [
        "selection.cluster_threshold: 0.35 -> 0.45",
        "selection.top_n: 5 -> 10",
    ]
    assert said("diff", "meta_benchmark", "meta_ma_benchmark") == (
        f"children: +binance_spot_rating_ma_long, +binance_spot_rating_ma_short, -{LONG}, -{SHORT}\n"
    )
    assert said("diff", LONG, LONG) == "no differences\n"
    wider = GRID.replace('"grid"', '"wider"').replace("[5, 10, 15]", "[5, 10, 20, 25]")
    (in_use / "families" / "wider.toml").write_text(wider)
    assert said("diff", "grid", "wider") == "parameters.selection.top_n: +20, +25, -15\n"


def test_things_of_two_kinds_and_one_name_alone_are_not_compared() -> None:
    assert "expected two of one kind, found the sleeve" in refused("profiles", "diff", LONG, "meta_fractal")
    assert "expected a folder with market.toml, or B beside it" in refused("profiles", "diff", LONG)
    assert "expected a sleeve, a family, a meta or a folder" in refused("profiles", "diff", LONG, "nobody")


def test_folders_differ_by_what_came_went_and_changed(folder: Path) -> None:
    assert said("diff", PROFILES, folder).splitlines() == ["+ family grid: 12 sleeves", "+ meta meta_grid"]
    assert said("diff", folder).splitlines() == ["- family grid: 12 sleeves", "- meta meta_grid"]
    assert said("diff", folder, folder) == "no differences\n"


def test_a_change_that_sleeves_of_a_family_share_is_one_line(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    later = copied(tmp_path_factory.mktemp("later"))
    changed = GRID.replace("[template]", '[template]\nowner = "desk"').replace("[5, 10, 15]", "[5, 10, 20]")
    (later / "families" / "grid.toml").write_text(changed)
    market = later / "market.toml"
    market.write_text(market.read_text().replace("lookback_days = 500", "lookback_days = 400"))
    sleeve = later / "sleeves" / f"{SHORT}.toml"
    sleeve.write_text(sleeve.read_text() + "\n[risk]\nturnover_limit = 0.5\n")
    gone, came = (
        [f"{sign} sleeve grid_{side}_{top}_{cut}" for side in ("long", "short") for cut in ("0p35", "0p45")]
        for sign, top in (("-", 15), ("+", 20))
    )
    assert said("diff", folder, later).splitlines() == [
        "~ market: universe.lookback_days: 500 -> 400",
        *gone,
        *came,
        f"~ sleeve {SHORT}: risk.turnover_limit: none -> 0.5",
        "~ 8 sleeves of family grid: owner: portfolio -> desk",
        "- meta meta_grid",
    ]


def test_a_folder_that_cannot_be_read_is_refused_in_one_line(folder: Path) -> None:
    (folder / "families" / "grid.toml").write_text(GRID.replace("[5, 10, 15]", "[]"))
    assert f"{folder}/families/grid.toml:9: parameters.selection.top_n: expected a list" in refused(
        "profiles", "diff", folder
    )


def test_folders_differ_by_the_code_and_the_scores_of_their_signals(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    signals = {"coded": 'function = "own.py:signal"', "scored": 'scores = "own.csv"'}
    for logic, signal in signals.items():
        text = f'name = "{logic}_long"\nlogic = "{logic}"\ndirection = "LONG"\n\n[signal]\n{signal}\n'
        (folder / "sleeves" / f"{logic}_long.toml").write_text(text)
    code = "def signal(bars, at):\n    return bars.group_by('symbol').agg(score={}).collect()\n"
    (folder / "sleeves" / "own.py").write_text(code.format(1.0))
    lines = ["date,symbol,score", "2023-06-09,BINANCE:AAAUSDT,1", "2023-06-09,BINANCE:BBBUSDT,2"]
    (folder / "sleeves" / "own.csv").write_text("\n".join(lines))
    later = shutil.copytree(folder, tmp_path_factory.mktemp("folders") / "later")
    assert said("diff", folder, later) == "no differences\n"
    (later / "sleeves" / "own.py").write_text(code.format(-1.0))
    (later / "sleeves" / "own.csv").write_text("\n".join([*lines[:2], "2023-06-09,BINANCE:CCCUSDT,2", f"{lines[2]}.5"]))
    code_line, scores_line = said("diff", folder, later).splitlines()
    hashes = [sha256((place / "sleeves" / "own.py").read_bytes()).hexdigest()[:12] for place in (folder, later)]
    assert code_line == f"~ signal coded: code of own.py: {hashes[0]} -> {hashes[1]} (SHA-256)"
    assert scores_line == "~ signal scored: scores: +2 rows, -1 rows"
