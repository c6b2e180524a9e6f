"""Profiles that cannot run beside those that can: the graph, the board, the sensor and the commands."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
import dagster as dg
import pytest

import commands.in_use
import definitions as assembled
import profiles.sound
from assets.certification_board import BOARD
from commands import doctor
from definitions import build_definitions, sound_definitions
from profiles.load import PROFILES, load_manifest
from profiles.sound import load_sound
from sleevegraph.manifest import Manifest
from tests.command_homes import sleevegraph
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome, cause, small_manifest, small_market
from tests.ticks import tick

FAMILY = """name = "grid"

[template]
logic = "rating_all"
rating = "recommend_all"
direction = "LONG"

[parameters]
"selection.top_n" = [5, 5]
"""
FAMILY_DEFECT = "families/grid.toml:9: parameters.selection.top_n.1: expected each value once, found 5 again"
META_DEFECT = "metas/meta_grid.toml:2: children: expected children that can run, all of which a meta needs, found grid"


def meta(folder: Path, name: str, *children: str) -> None:
    text = f'name = "{name}"\nchildren = {list(children)}\nweight_min = 0.05\nweight_max = 0.95\n'
    (folder / "metas" / f"{name}.toml").write_text(text)


@pytest.fixture
def sound_folder(tmp_path: Path) -> Path:
    """The small manifest, as files."""
    folder = tmp_path / "profiles"
    for part in ("sleeves", "families", "metas"):
        (folder / part).mkdir(parents=True)
    shutil.copy(PROFILES / "market.toml", folder)
    for name in (LONG, SHORT):
        text = (PROFILES / "sleeves" / f"{name}.toml").read_text()
        (folder / "sleeves" / f"{name}.toml").write_text(f'{text}\n[risk]\nengines = ["native"]\n')
    shutil.copy(PROFILES / "metas" / f"{META}.toml", folder / "metas")
    meta(folder, NESTED, META, SHORT)
    assert load_manifest(folder) == small_manifest()
    return folder


@pytest.fixture
def folder(sound_folder: Path) -> Path:
    """The same beside a family with duplicates, and a meta of that family."""
    (sound_folder / "families" / "grid.toml").write_text(FAMILY)
    meta(sound_folder, "meta_grid", LONG, "grid")
    return sound_folder


@pytest.fixture
def in_use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let commands take `folder` for the profiles in use."""
    monkeypatch.setattr(commands.in_use, "load_sound", lambda: load_sound(folder))
    monkeypatch.setattr(doctor, "load_sound", lambda: load_sound(folder))
    monkeypatch.setattr(doctor, "engine_names", lambda: ("native",))
    monkeypatch.setattr(assembled, "defs", sound_definitions(folder))
    return folder


@contextmanager
def at_home(home: TemporaryHome, folder: Path) -> Iterator[TemporaryHome]:
    """The same home with the graph of a folder."""
    with closing(TemporaryHome(home.root, sound_definitions(folder))) as other:
        yield other


def without_board(hashes: dict[str, str]) -> dict[str, str]:
    return {file: found for file, found in hashes.items() if not file.startswith("certification_board/")}


def test_sleeves_and_metas_beside_refused_ones_are_the_same_bytes_and_the_board_says_what_is_missing(
    home: TemporaryHome, new_home: Callable[..., TemporaryHome], folder: Path
) -> None:
    beside = new_home(sound_definitions(folder))
    assert beside.ingest(small_market()).success
    assert beside.run(KEYS[0]).success
    expected = home.hashes(upto=KEYS[0])
    assert without_board(beside.hashes()) == without_board(expected)
    assert beside.hashes() != expected
    rows = beside.read(BOARD, KEYS[0])
    assert rows.head(4).equals(home.read(BOARD, KEYS[0]))
    found = rows.tail(-4).select("portfolio", "kind", "standing", "ledger_head").rows()
    assert found == [("grid", "family", "BLOCKED", ""), ("meta_grid", "meta", "BLOCKED", "")]
    first, second = rows.tail(-4)["reasons"].to_list()
    assert first == [f"profile refused: profiles/{FAMILY_DEFECT}"]
    assert second[0].startswith(f"profile refused: profiles/{META_DEFECT}")
    assert beside.metadata(BOARD, KEYS[0])["BLOCKED"] == 2
    assert "meta_grid" in beside.metadata(BOARD, KEYS[0])["board"]


def test_the_graph_shows_what_is_refused_and_nobody_can_materialise_it(folder: Path) -> None:
    graph = sound_definitions(folder).resolve_asset_graph()
    without = build_definitions(small_manifest()).resolve_asset_graph()
    shown = {key for key in graph.get_all_asset_keys() if graph.get(key).group_name == "refused"}
    assert shown == {dg.AssetKey(["grid", "refused"]), dg.AssetKey(["meta_grid", "refused"])}
    assert graph.get_all_asset_keys() - shown == without.get_all_asset_keys()
    node = graph.get(dg.AssetKey(["grid", "refused"]))
    assert not node.is_materializable
    assert not node.is_partitioned
    assert node.description == f"profiles/{FAMILY_DEFECT}"
    assert node.metadata["defect"] == f"profiles/{FAMILY_DEFECT}"
    versions = {
        key: (graph.get(key).code_version, without.get(key).code_version) for key in graph.get_all_asset_keys() - shown
    }
    assert {key for key, (now, before) in versions.items() if now != before} == {dg.AssetKey(list(BOARD))}


def test_what_is_refused_is_logged_where_definitions_are_loaded(
    folder: Path, sound_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sound_definitions(folder)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert caplog.messages[0] == f"refused: profiles/{FAMILY_DEFECT}"
    caplog.clear()
    (sound_folder / "families" / "grid.toml").unlink()
    (sound_folder / "metas" / "meta_grid.toml").unlink()
    sound_definitions(sound_folder)
    assert caplog.messages == []


def test_a_sleeve_that_was_refused_for_a_rebalance_goes_on_once_its_hole_is_backfilled(
    home: TemporaryHome, sound_folder: Path
) -> None:
    whole = home.hashes()
    for key in KEYS[2:]:
        for path in [path for path in home.root.rglob(f"*{key}*") if path.exists()]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    stored = home.hashes()
    file = sound_folder / "sleeves" / f"{SHORT}.toml"
    sound = file.read_text()
    file.write_text(sound.replace("rating =", "ratng ="))
    with at_home(home, sound_folder) as beside:
        assert beside.run(KEYS[2]).success
        assert beside.store.lake.partitions((LONG, "track_record")) == list(KEYS[:3])
        for path in ((SHORT, "track_record"), (META, "flattened_weights"), (NESTED, "flattened_weights")):
            assert beside.store.lake.partitions(path) == list(KEYS[:2])
        assert beside.read(BOARD, KEYS[2]).filter(standing="BLOCKED")["portfolio"].to_list() == [SHORT, META, NESTED]
        assert beside.hashes(upto=KEYS[1]) == stored
    file.write_text(sound)
    with at_home(home, sound_folder) as mended:
        after = mended.run(KEYS[3])
        assert not after.success
        advice = f"expected the track record up to {KEYS[2]}, found it up to {KEYS[1]}; backfill from {KEYS[1]} on"
        assert f"{SHORT}/track_record {KEYS[3]}: {advice}" in cause(after)
        assert mended.store.lake.partitions((LONG, "audit_bundle"))[-1] == KEYS[3]
        assert mended.run(*KEYS[1:]).success
        assert mended.hashes() == whole


@pytest.mark.usefixtures("in_use")
def test_commands_say_what_is_refused_and_do_the_rest(home: TemporaryHome) -> None:
    root = home.root
    for command in (("weights", META, "--format", "csv"), ("trades", META, "--format", "csv"), ("gates",)):
        result = sleevegraph(*command, "--on", KEYS[2], "--home", root)
        assert result.exit_code == 0, result.output
        lines = [line for line in result.stderr.splitlines() if line.startswith("refused: ")]
        assert lines[0] == f"refused: profiles/{FAMILY_DEFECT}"
        assert lines[1].startswith(f"refused: profiles/{META_DEFECT}")
        assert len(lines) == 2
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(commands.in_use, "load_sound", _small)
            alone = sleevegraph(*command, "--on", KEYS[2], "--home", root)
        assert alone.stdout == result.stdout
        assert "refused" not in alone.stderr


def _small() -> profiles.sound.Sound:
    whole = load_sound()
    return profiles.sound.Sound(profiles.load.Profiles(small_manifest(), whole.profiles.files), ())


@pytest.mark.usefixtures("in_use")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ("weights", "meta_grid"),
            f"META: expected what can run, found 'meta_grid', which is refused: profiles/{META_DEFECT}",
        ),
        (
            ("trades", "meta_grid"),
            f"META: expected what can run, found 'meta_grid', which is refused: profiles/{META_DEFECT}",
        ),
        (
            ("backfill", "--from", KEYS[0], "--to", KEYS[0], "--select", "grid_5/candidates"),
            f"--select: expected what can run, found 'grid_5' of family grid, which is refused: profiles/{FAMILY_DEFECT}",
        ),
        (
            ("accept", "extreme_metrics", "meta_grid/meta_metrics", KEYS[0], "--because", "x", "--by", "y"),
            f"ASSET: expected what can run, found 'meta_grid', which is refused: profiles/{META_DEFECT}",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_command_that_names_what_is_refused_tells_its_defect(
    home: TemporaryHome, command: tuple[str, ...], said: str
) -> None:
    result = sleevegraph(*command, "--home", home.root)
    assert result.exit_code == 1
    assert f"Error: {said}" in result.stderr.splitlines()[-1]


@pytest.mark.usefixtures("in_use")
def test_profiles_are_listed_and_shown_without_those_that_are_refused() -> None:
    listed = sleevegraph("profiles", "list")
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == [LONG, SHORT, META, NESTED]
    assert listed.stderr.startswith(f"refused: profiles/{FAMILY_DEFECT}\nrefused: profiles/{META_DEFECT}")
    assert sleevegraph("profiles", "show", LONG).exit_code == 0
    said = sleevegraph("profiles", "show", "grid").stderr.splitlines()[-1]
    assert said == f"Error: NAME: expected what can run, found 'grid', which is refused: profiles/{FAMILY_DEFECT}"


def test_validate_is_strict(folder: Path) -> None:
    result = sleevegraph("profiles", "validate", folder)
    assert (result.exit_code, result.stdout) == (1, f"{folder}/{FAMILY_DEFECT}\n")


def test_the_doctor_fails_and_names_what_is_refused(home: TemporaryHome, in_use: Path) -> None:
    result = sleevegraph("doctor", "--home", home.root)
    assert result.exit_code == 1
    problems = [line.split(None, 1)[1] for line in result.stdout.splitlines() if line.startswith("problem:")]
    assert problems[0] == f"family grid is refused: profiles/{FAMILY_DEFECT}"
    assert problems[1].startswith(f"meta meta_grid is refused: profiles/{META_DEFECT}")
    assert len(problems) == 2
    for name in ("families/grid", "metas/meta_grid"):
        (in_use / f"{name}.toml").unlink()
    assert sleevegraph("doctor", "--home", home.root).exit_code == 0


@pytest.mark.usefixtures("in_use")
def test_a_backfill_beside_refused_profiles_succeeds_and_says_so_once(
    home: TemporaryHome, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(profiles.sound, "load_sound", lambda _: load_sound(folder))
    monkeypatch.delitem(sys.modules, "definitions")  # as in a new process
    chosen = f"{LONG}/candidates"
    result = sleevegraph("backfill", "--from", KEYS[0], "--to", KEYS[0], "--select", chosen, "--home", home.root)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("refused: ") == 2
    assert caplog.messages == []


def test_commands_that_one_invokes_say_what_is_refused_once(in_use: Path) -> None:
    @click.command()
    def inner() -> None:
        assert commands.in_use.manifest_in_use() == load_sound(in_use).profiles.manifest

    @click.command()
    @click.pass_context
    def outer(context: click.Context) -> None:
        commands.in_use.sound_in_use()
        context.invoke(inner)
        context.invoke(inner)

    result = click.testing.CliRunner().invoke(outer)
    assert result.exit_code == 0
    assert result.stderr.count("refused: ") == 2


def test_without_any_meta_the_sensor_says_so(new_home: Callable[..., TemporaryHome]) -> None:
    small = small_manifest()
    home = new_home(build_definitions(Manifest(market=small.market, sleeves=small.sleeves, metas=())))
    requests, said, _ = tick(home, "rebalance_sensor", "2022-03-23")
    assert requests == []
    assert said.startswith("no meta can run, so no book is due")
