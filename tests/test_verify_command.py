"""`sleevegraph verify` on folders: bundles, homes, copies of homes, and whatever else a disk may hold in their place."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result
from polars.exceptions import PanicException, PolarsError

from commands.home import create
from commands.main import NAMES
from resources.bundle_files import MAX_BYTES, Neighbourhood, bundles_in
from resources.home import PROJECT, Home
from resources.origin import RECORD, Origin, recorded_origin
from sleevegraph.errors import ConfigurationError
from tests.bundles import LEDGER, MANIFEST, OPTIMISED, RAW, Bundle
from tests.command_homes import refused, sleevegraph
from tests.homes import LONG, META, NESTED, SHORT
from tests.planted_audits import META_RUN, SLEEVE

HEAVY = ("dagster", "duckdb", "skfolio", "riskfolio", "matplotlib", "cvxpy", "sklearn", "pandas")


@pytest.fixture
def home(_four_rebalances: Path, tmp_path: Path) -> Path:
    """A copy of a home's bundles, of where it was made, and of an empty lake."""
    root = tmp_path / "home"
    shutil.copytree(_four_rebalances / "runs", root / "runs")
    (root / "data" / "lake").mkdir(parents=True)
    record = {"root": str(root), "host": platform.node()}
    (root / RECORD).write_text(json.dumps(record))
    return root


@pytest.fixture
def bundle(home: Path) -> Path:
    return home / "runs" / SLEEVE


def lines(result: Result) -> list[list[str]]:
    """Columns of each line: ok, FAIL or note, the guarantee, the text."""
    return [line.split(maxsplit=2) for line in result.stdout.splitlines()]


def failed(result: Result) -> dict[str, str]:
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stderr == ""
    return {line[1]: line[2] for line in lines(result) if line[0] == "FAIL"}


def test_a_bundle_says_one_line_per_guarantee(bundle: Path) -> None:
    result = sleevegraph("verify", bundle)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert [line[0] for line in lines(result)] == ["ok"] * 16
    assert [line[1] for line in lines(result)][:5] == ["schema", "chain", "anchor", "hashes", "manifest"]
    assert "ledgers beside it: 5" in result.stdout


def test_a_bundle_alone_needs_nothing_beside_it(bundle: Path, tmp_path: Path) -> None:
    alone = tmp_path / "elsewhere" / SLEEVE
    shutil.copytree(bundle, alone)
    result = sleevegraph("verify", alone)
    assert result.exit_code == 0, result.output
    assert "ledgers beside it: 0; not there: binance_spot_rating_all_short-20220219" in result.stdout


def test_a_home_and_its_runs_say_which_of_their_bundles_fail_and_how_many(home: Path) -> None:
    assert sleevegraph("verify", home).stdout == "16 bundles: 16 ok, 0 FAIL\n"
    path = home / "runs" / META_RUN / "data" / "flattened.json"
    path.write_bytes(path.read_bytes().replace(b'"SHORT"', b'"LONG"', 1))
    for where in (home, home / "runs"):
        result = sleevegraph("verify", where)
        assert set(failed(result)) >= {"hashes", "flattening"}
        assert result.stdout.splitlines()[0] == str(home / "runs" / META_RUN)
        assert result.stdout.splitlines()[-1] == "16 bundles: 15 ok, 1 FAIL"


def test_several_paths_are_verified_once_each(bundle: Path) -> None:
    result = sleevegraph("verify", bundle, bundle, bundle.parent / META_RUN)
    assert result.exit_code == 0
    assert result.stdout == "2 bundles: 2 ok, 0 FAIL\n"


def test_a_path_without_bundles_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "empty").mkdir()
    for name, found in (
        ("empty", "a folder without any"),
        ("file", "a file"),
        ("absent", "nothing"),
        ("loop", "nothing"),
    ):
        said = refused("verify", tmp_path / name)
        assert f"PATH: expected a bundle, a folder of bundles or a home, found {found} at {tmp_path / name}" in said
    assert "Missing argument 'PATH...'" in refused("verify")


def test_the_process_loads_nothing_that_it_has_no_use_for(bundle: Path) -> None:
    code = (
        "import sys; from commands.main import main; main(sys.argv[1:], standalone_mode=False); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, "verify", str(bundle)], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines()[-1] == "[]"
    assert found.stderr == ""


def test_help_shows_every_command() -> None:
    result = sleevegraph("--help")
    assert result.exit_code == 0
    shown = [
        line.split()[0] for line in result.stdout.partition("Commands:\n")[2].splitlines() if line.startswith("  ")
    ]
    assert [name for name in shown if name in NAMES] == sorted(NAMES)


@pytest.mark.parametrize("file", [LEDGER, MANIFEST, OPTIMISED, RAW])
def test_what_stands_in_place_of_a_file_is_named(bundle: Path, file: str, tmp_path: Path) -> None:
    path, content = bundle / file, (bundle / file).read_bytes()
    path.unlink()
    assert f"{file}: expected a file, found none" in failed(sleevegraph("verify", bundle))["schema"]
    path.mkdir()
    assert f"{file}: expected a file, found an empty folder" in failed(sleevegraph("verify", bundle))["schema"]
    path.rmdir()
    path.symlink_to(path)
    assert "symbolic link" in failed(sleevegraph("verify", bundle))["schema"]
    path.unlink()
    os.mkfifo(path)
    assert f"{file}: expected a file, found what is no regular file" in failed(sleevegraph("verify", bundle))["schema"]
    path.unlink()
    with path.open("wb") as huge:
        huge.truncate(MAX_BYTES + 1)
    assert "more than any file of a bundle has" in failed(sleevegraph("verify", bundle))["schema"]
    path.unlink()
    (tmp_path / "other").write_bytes(content)
    path.symlink_to(tmp_path / "other")
    assert sleevegraph("verify", bundle).exit_code == 0


def test_a_file_that_may_not_be_read_is_named(bundle: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own may not be looked into by others
        Path(folder).chmod(0o755)
        copied = Path(shutil.copytree(bundle, Path(folder) / SLEEVE))
        (copied / OPTIMISED).chmod(0)
        (copied / "config").chmod(0)
        everything = os.geteuid() == 0
        if everything:  # root may read whatever it likes
            os.seteuid(65534)
        try:
            found = failed(sleevegraph("verify", copied))["schema"]
        finally:
            if everything:
                os.seteuid(0)
            (copied / "config").chmod(0o755)
    assert f"{OPTIMISED}: expected a file, found Permission denied" in found
    assert "config: expected nothing else in the bundle, found this" in found


def test_names_that_no_terminal_can_show_are_shown_in_one_line(bundle: Path) -> None:
    (bundle / os.fsdecode(b"data/\xff\n\x1b[2J")).write_bytes(b"")
    (bundle / "data" / "below").mkdir()
    (bundle / "data" / "loop").symlink_to(bundle)
    found = failed(sleevegraph("verify", bundle))["schema"]
    assert found.count("expected nothing else in the bundle, found this") == 3
    assert "data/? ?[2J" in found
    assert found.isprintable()


def test_an_empty_folder_with_a_bundle_s_name_is_a_bundle_without_files(home: Path) -> None:
    (home / "runs" / "nobody-20220301").mkdir()
    result = sleevegraph("verify", home)
    assert "config/resolved_manifest.json: expected a file, found none" in failed(result)["schema"]
    assert result.stdout.splitlines()[-1] == "17 bundles: 16 ok, 1 FAIL"


def test_a_truncated_matrix_is_told_as_such(bundle: Path) -> None:
    (bundle / RAW).write_bytes((bundle / RAW).read_bytes()[:1000])
    assert "found 1000 bytes ending in" in failed(sleevegraph("verify", bundle))["schema"]
    assert "expected" in failed(sleevegraph("verify", bundle))["hashes"]


def broken_reader(content: bytes) -> bytes:
    """The first flip of a bit in a Parquet file's footer at which its reader does not return but breaks off."""
    footer = int.from_bytes(content[-8:-4], "little") + 8
    for place in range(len(content) - footer, len(content) - 8):
        flipped = bytearray(content)
        flipped[place] ^= 0x10
        with suppress(PolarsError):
            try:
                pl.read_parquet(BytesIO(flipped))
            except PanicException:
                return bytes(flipped)
    pytest.fail("no flip breaks the reader any more: it need not be silenced")


def test_a_reader_that_breaks_off_says_nothing_of_its_own(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sealed = Bundle(bundle)
    sealed.files[RAW] = broken_reader(sealed.files[RAW])
    sealed.seal()
    for file in (RAW, LEDGER):
        (bundle / file).write_bytes(sealed.files[file])
    assert "panicked" in capfd.readouterr().err
    assert f"{RAW}: expected Parquet, found what cannot be read" in failed(sleevegraph("verify", bundle))["schema"]
    assert capfd.readouterr().err == ""


def test_invalid_text_is_told_as_such(bundle: Path) -> None:
    for file in (MANIFEST, LEDGER):
        (bundle / file).write_bytes(b"\xff\xfe\n")
    found = failed(sleevegraph("verify", bundle))
    assert f"{MANIFEST}: expected JSON, found what cannot be read: 'utf-8' codec" in found["schema"]
    assert f"{LEDGER}: line 1: expected JSON, found 'utf-8' codec" in found["schema"]


def test_a_home_that_was_copied_says_where_it_was_made(home: Path, tmp_path: Path) -> None:
    assert "home" not in sleevegraph("verify", home).stdout
    copied = tmp_path / "copied"
    shutil.copytree(home, copied)
    here = platform.node()
    expected = f"made at {home} on {here}, now at {copied} on {here}; nothing in a bundle depends on it"
    for where in (copied, copied / "runs", copied / "runs" / SLEEVE):
        result = sleevegraph("verify", where)
        assert result.exit_code == 0, result.output
        assert [line[2] for line in lines(result) if line[:2] == ["note", "home"]] == [expected]


def test_bundles_without_a_lake_or_without_a_record_say_so(home: Path) -> None:
    (home / "data" / "lake").rmdir()
    assert "no lake is beside the bundles, so nothing can be replayed" in sleevegraph("verify", home).stdout
    (home / RECORD).write_text("[]")
    said = sleevegraph("verify", home)
    assert said.exit_code == 0
    assert "expected JSON with root and host, found []; delete it; nothing in a bundle depends on it" in said.stdout
    shutil.rmtree(home / "data")
    said = sleevegraph("verify", home)
    assert said.exit_code == 0
    assert f"it is not recorded where it was made, now at {home}" in said.stdout


def test_a_home_remembers_where_it_was_made_and_not_where_it_went(tmp_path: Path) -> None:
    made = Home(tmp_path / "made")
    assert recorded_origin(made) is None
    create(made)
    assert recorded_origin(made) == Origin(str(made.root), platform.node())
    gone = Home(tmp_path / "gone")
    made.root.rename(gone.root)
    create(gone)
    assert recorded_origin(gone) == Origin(str(made.root), platform.node())
    (gone.root / RECORD).write_text('{"root": 1}')
    with pytest.raises(ConfigurationError, match=r"home\.json: expected JSON with root and host, found \{'root': 1\}"):
        recorded_origin(gone)


def test_neighbours_are_the_ledgers_before_and_after_and_of_the_day(home: Path) -> None:
    hood = Neighbourhood(home / "runs")
    day = {f"{name}-20220219" for name in (LONG, META, NESTED)}
    assert set(hood.of(f"{SHORT}-20220219")) == {f"{SHORT}-20220209", f"{SHORT}-20220301"} | day
    assert set(hood.of(f"{SHORT}-20220209")) == {f"{SHORT}-20220219", *(f"{n}-20220209" for n in (LONG, META, NESTED))}
    assert hood.of("renamed") == {}
    assert [folder.name[-8:] for folder in bundles_in(home / "runs")] == sorted(
        folder.name[-8:] for folder in bundles_in(home / "runs")
    )
