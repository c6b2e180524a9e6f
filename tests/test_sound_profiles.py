"""What of a folder of profiles can run beside files that cannot: exactly what a folder without those files defines."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from profiles.files import ProfilesError
from profiles.load import load_profiles
from profiles.sound import Sound, load_sound
from sleevegraph.errors import ConfigurationError
from sleevegraph.refused import Refused, told
from tests.profile_folders import GRID, copied

LONG, SHORT = "binance_spot_rating_all_long", "binance_spot_rating_all_short"
MA_LONG, MA_SHORT = "binance_spot_rating_ma_long", "binance_spot_rating_ma_short"
METAS = ("meta_benchmark", "meta_crypto_only", "meta_fractal", "meta_ma_benchmark")
MOMENTUM = 'function = "sleevegraph.signals.momentum:signal"'
BROKEN = 'function = "broken.py:signal"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped profiles, the family `grid` of twelve sleeves, and a meta above it."""
    copied(tmp_path / "profiles")
    write(tmp_path / "profiles", "families/grid", GRID)
    meta(tmp_path / "profiles", "meta_grid", LONG, "grid")
    return tmp_path / "profiles"


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.toml").write_text(text)


def meta(folder: Path, name: str, *children: str, low: float = 0.0) -> None:
    text = f'name = "{name}"\nchildren = {list(children)}\nweight_min = {low}\nweight_max = 0.9\n'
    write(folder, f"metas/{name}", text)


def own(folder: Path, name: str, signal: str, logic: str = "own") -> None:
    """A sleeve with a signal."""
    head = f'name = "{name}"\nlogic = "{logic}"\ndirection = "LONG"\n[signal]\n'
    write(folder, f"sleeves/{name}", head + signal + "\n")


def edit(folder: Path, name: str, old: str, new: str) -> None:
    file = folder / f"{name}.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def misspelt_key(folder: Path) -> None:
    edit(folder, f"sleeves/{MA_SHORT}", "rating =", "ratng =")


def duplicate_values(folder: Path) -> None:
    edit(folder, "families/grid", "[5, 10, 15]", "[5, 5]")
    meta(folder, "meta_above", "meta_grid", LONG)
    meta(folder, "meta_of_one", "grid_long_5_0p35", LONG)
    write(folder, "sleeves/grid_alone", (folder / f"sleeves/{LONG}.toml").read_text().replace(LONG, "grid_alone"))
    meta(folder, "meta_alone", "grid_alone", LONG)


def missing_engine(folder: Path) -> None:
    edit(folder, "families/grid", "[parameters]", '[template.risk]\nengines = ["native", "nothing"]\n\n[parameters]')
    meta(folder, "meta_of_one", "grid_long_5_0p35", LONG)


def failing_module(folder: Path) -> None:
    (folder / "sleeves" / "broken.py").write_text("import no_such_package\n")
    for name in ("one", "two"):
        own(folder, name, BROKEN)
    own(folder, "three", MOMENTUM, "other")
    meta(folder, "meta_own", "two", LONG)
    meta(folder, "meta_other", "three", LONG)


def two_signals(folder: Path) -> None:
    for name, signal in (("one", MOMENTUM), ("two", MOMENTUM), ("three", f"{MOMENTUM}\nparameters = {{ days = 30 }}")):
        own(folder, name, signal)
    own(folder, "four", MOMENTUM, "other")


def one_name_of_two_files(folder: Path) -> None:
    own(folder, "grid_long_5_0p35", MOMENTUM)


def one_name_of_a_broken_file(folder: Path) -> None:
    edit(folder, f"sleeves/{MA_SHORT}", "rating =", "ratng =")
    meta(folder, MA_SHORT, LONG, SHORT)


def unknown_child(folder: Path) -> None:
    meta(folder, "meta_x", "nobody", LONG)
    meta(folder, "meta_y", "meta_x", "meta_z")
    meta(folder, "meta_z", LONG, SHORT, low=0.6)
    meta(folder, "meta_x_y", LONG, "meta_x_nothing")


def cycle(folder: Path) -> None:
    meta(folder, "meta_x", "meta_y", LONG)
    meta(folder, "meta_y", "meta_z", LONG)
    meta(folder, "meta_z", "meta_x", LONG)
    meta(folder, "meta_0", "meta_z", LONG)
    meta(folder, "meta_sound", "meta_grid", LONG)


def too_deep(folder: Path) -> None:
    for below, name in (("grid", "e"), ("e", "d"), ("d", "c"), ("c", "b"), ("b", "a")):
        meta(folder, f"meta_{name}", below if below == "grid" else f"meta_{below}", LONG)


def no_toml(folder: Path) -> None:
    write(folder, f"sleeves/{MA_LONG}", "name = ")
    (folder / "metas" / "meta_grid.toml").write_bytes(b"\xff")
    (folder / "sleeves" / "folder.toml").mkdir()
    write(folder, "sleeves/Not a name", 'name = "Not a name"\n')
    write(folder, "sleeves/deep", f"name = {'[' * 5000}{']' * 5000}")
    write(folder, "sleeves/dotted", ".".join(["a"] * 300) + " = 1")


CASES: dict[Callable[[Path], None], set[str]] = {
    misspelt_key: {MA_SHORT, "meta_ma_benchmark", "meta_crypto_only", "meta_fractal"},
    duplicate_values: {"grid", "meta_grid", "meta_above", "meta_of_one"},
    missing_engine: {"grid", "meta_grid", "meta_of_one"},
    failing_module: {"one", "two", "meta_own"},
    two_signals: {"one", "two", "three"},
    one_name_of_two_files: {"grid", "grid_long_5_0p35", "meta_grid"},
    one_name_of_a_broken_file: {MA_SHORT, "meta_ma_benchmark", "meta_crypto_only", "meta_fractal"},
    unknown_child: {"meta_x", "meta_y", "meta_z", "meta_x_y"},
    cycle: {"meta_x", "meta_y", "meta_z", "meta_0"},
    too_deep: {"meta_a"},
    no_toml: {MA_LONG, "meta_grid", "folder", "Not a name", "deep", "dotted", "meta_ma_benchmark"}
    | {"meta_crypto_only", "meta_fractal"},
}


def names(sound: Sound) -> set[str]:
    return {one.name for one in sound.refused}


@pytest.mark.parametrize("plant", CASES, ids=lambda plant: plant.__name__)
def test_what_runs_is_what_the_folder_defines_without_the_files_that_are_refused(
    folder: Path, plant: Callable[[Path], None]
) -> None:
    plant(folder)
    with pytest.raises(ProfilesError) as error:
        load_profiles(folder)
    sound = load_sound(folder)
    assert names(sound) == CASES[plant]
    assert {Path(line.split(".toml")[0]).stem for line in error.value.defects} <= names(sound)
    assert load_sound(folder).refused == sound.refused
    for file in folder.rglob("*.toml"):
        if file.stem in names(sound):
            file.rmdir() if file.is_dir() else file.unlink()
    assert load_profiles(folder).manifest == sound.profiles.manifest


@pytest.mark.parametrize("plant", [plant for plant in CASES if plant is not no_toml], ids=lambda plant: plant.__name__)
def test_every_refusal_says_file_line_and_key(folder: Path, plant: Callable[[Path], None]) -> None:
    plant(folder)
    for one in load_sound(folder).refused:
        for line in one.defects:
            place, key, _ = line.split(": ", 2)
            file, _, number = place.partition(":")
            assert Path(file).stem == one.name
            text = (folder.parent / file).read_text().splitlines()[int(number) - 1]
            assert set(re.findall(r"[a-z_]+", key)) & set(re.findall(r"[a-z_]+", text)), (line, text)


def test_a_folder_without_defects_is_read_whole(folder: Path) -> None:
    assert load_sound(folder).refused == ()
    assert load_sound(folder).profiles.manifest == load_profiles(folder).manifest


def test_a_meta_says_for_which_defect_it_is_refused_at_any_height(folder: Path) -> None:
    duplicate_values(folder)
    by_name = {one.name: one for one in load_sound(folder).refused}
    root = "profiles/families/grid.toml:9: parameters.selection.top_n.1: expected each value once, found 5 again"
    assert by_name["grid"].defects == (root,)
    needs = "children: expected children that can run, all of which a meta needs, found"
    assert by_name["meta_grid"].defects == (f"profiles/metas/meta_grid.toml:2: {needs} grid refused ({root})",)
    assert by_name["meta_above"].defects == (f"profiles/metas/meta_above.toml:2: {needs} meta_grid refused ({root})",)
    assert by_name["meta_of_one"].reason == f"profiles/metas/meta_of_one.toml:2: {needs} grid refused ({root})"
    assert [one.kind for one in by_name.values()] == ["family", "meta", "meta", "meta"]


def test_a_child_that_nothing_defines_is_unknown_whatever_is_refused(folder: Path) -> None:
    unknown_child(folder)
    by_name = {one.name: one for one in load_sound(folder).refused}
    assert "children: expected names among " in by_name["meta_x_y"].reason
    assert by_name["meta_y"].reason.startswith("profiles/metas/meta_y.toml:2: children: expected children that can run")


def test_all_files_of_a_logic_say_whose_signal_it_is(folder: Path) -> None:
    failing_module(folder)
    one, two = load_sound(folder).refused[:2]
    said = "No module named 'no_such_package'"
    assert one.reason.startswith("profiles/sleeves/one.toml:5: signal.function: ")
    assert said in one.reason
    assert two.reason.startswith("profiles/sleeves/two.toml:2: logic: expected one signal of all sleeves of 'own'")
    assert "found that of sleeve one: " in two.reason
    assert said in two.reason


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("meta_grid", "expected what can run, found 'meta_grid', which is refused: profiles/metas/meta_grid.toml:2: "),
        ("grid", "found 'grid', which is refused: profiles/families/grid.toml:9: parameters.selection.top_n.1: "),
        (
            "grid_long_5_0p35",
            "found 'grid_long_5_0p35' of family grid, which is refused: profiles/families/grid.toml:9",
        ),
    ],
)
def test_who_asks_for_what_is_refused_gets_its_defect(folder: Path, name: str, said: str) -> None:
    duplicate_values(folder)
    with pytest.raises(ConfigurationError) as error:
        load_sound(folder).require("META", name)
    assert str(error.value).startswith("META: ")
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["nobody", "grid_alone", "meta_benchmark", "gridlock", "meta_grid_x"])
def test_who_asks_for_what_runs_or_is_unknown_gets_none(folder: Path, name: str) -> None:
    duplicate_values(folder)
    load_sound(folder).require("META", name)


def test_a_defect_of_the_market_is_everybodys(folder: Path) -> None:
    edit(folder, "market", "max_return =", "max_returns =")
    misspelt_key(folder)
    with pytest.raises(ProfilesError, match=r"market\.toml:13: universe\.max_returns: expected a key among") as error:
        load_sound(folder)
    assert len(error.value.defects) > 1


def test_a_folder_of_which_no_sleeve_can_run_is_refused_with_every_defect(folder: Path) -> None:
    edit(folder, "families/grid", "[5, 10, 15]", "[]")
    for name in (LONG, SHORT, MA_LONG, MA_SHORT):
        edit(folder, f"sleeves/{name}", "rating =", "ratng =")
    with pytest.raises(ProfilesError) as error:
        load_sound(folder)
    assert {Path(line.split(".toml")[0]).stem for line in error.value.defects} == {
        LONG,
        SHORT,
        MA_LONG,
        MA_SHORT,
        "grid",
    }
    for file in folder.rglob("*.toml"):
        if file.name != "market.toml":
            file.unlink()
    with pytest.raises(ProfilesError, match="expected at least one sleeve or family file, found none"):
        load_sound(folder)


def test_the_first_five_refusals_are_told_and_the_others_counted() -> None:
    refused = [Refused(f"s{n}", "sleeve", (f"s{n}.toml:1: name: bad\nname",)) for n in range(7)]
    five = [f"refused: s{n}.toml:1: name: bad name" for n in range(5)]
    assert told(refused[:5]) == five
    assert told(refused) == [*five, "and 2 more; sleevegraph profiles validate lists all"]
    assert told([]) == []


def test_what_is_shown_of_a_refusal_is_short_whatever_the_file_holds() -> None:
    one = Refused("s", "sleeve", tuple(f"s.toml:{n}: name: found {'x ' * 10_000}" for n in range(1_000)))
    assert one.reason.endswith(" … (and 999 more)")
    assert len(one.reason) < 600
    assert one.text.endswith("\n\nand 980 more; sleevegraph profiles validate lists all")
    assert len(one.text) < 20 * 600
