"""A home with its lake in object storage has the same partitions, verdicts and bundles as one on a disk, bit for bit."""

import json
import shutil
from collections.abc import Iterator
from datetime import date
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import duckdb
import polars as pl
import pytest

from assets.keys import stage
from commands import prune as prune_command
from commands.doctor import PROBLEM, _home, _verdicts
from resources import object_storage, places
from resources.bundle_files import bundles_in
from resources.home import place_at
from resources.lake import BARS, Lake
from resources.places import Place
from resources.receipts import State
from tests.command_homes import refused, sleevegraph
from tests.exports import all_of, of, read
from tests.homes import (
    KEYS,
    LONG,
    META,
    NESTED,
    SHORT,
    TemporaryHome,
    cause,
    copied_home,
    environment,
    remove_homes,
    small_definitions,
    small_manifest,
    small_market,
)
from tests.object_store import object_store

AT = date.fromisoformat(KEYS[1])


MOVED, RUN = KEYS[:2], KEYS[2:]
"""Rebalances that were run on a disk and copied to the store, and those that are run there."""


@pytest.fixture(scope="module")
def remote(_four_rebalances: Path) -> Iterator[TemporaryHome]:
    """A home with every partition of KEYS in an object store, for as long as it is in the environment.

    It began on a disk, and is moved as docs/storage.md says.
    """
    with object_store() as variables:
        home = copied_home(_four_rebalances, small_definitions())
        with environment(**variables):
            move(home.root, variables["SLEEVEGRAPH_LAKE"])
            assert home.ingest(small_market()).success
            ran = home.run(*RUN)
            assert ran.success, cause(ran)
            assert home.refresh_warehouse().success
            yield home
        remove_homes([home])


def move(root: Path, url: str) -> None:
    """Copy what was decided at MOVED to a store, and let the home forget that it had anything here."""
    target = place_at(url)
    for folder in ("lake", "receipts", "acceptances"):
        files = [file for file in (root / "data" / folder).rglob("*.*") if file.stem in MOVED]
        for file in files:
            places.put(target.joinpath(*file.relative_to(root / "data").parts), file.read_bytes())
        shutil.rmtree(root / "data" / folder, ignore_errors=True)
    days = {key.replace("-", "") for key in MOVED}
    for bundle in (bundle for bundle in (root / "runs").iterdir() if bundle.name[-8:] in days):
        archive = BytesIO()
        with ZipFile(archive, "w", ZIP_DEFLATED) as packed:  # as anybody's zip does
            for file in (file for file in bundle.rglob("*") if file.is_file()):
                packed.write(file, file.relative_to(bundle))
        places.put(target / "runs" / f"{bundle.name}.zip", archive.getvalue())
    shutil.rmtree(root / "runs")
    (root / "data" / "lake.json").write_text(json.dumps({"url": url}))


@pytest.fixture(autouse=True)
def _environment(remote: TemporaryHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the suite takes out of the environment of every test."""
    monkeypatch.setenv("SLEEVEGRAPH_LAKE", remote.store.folders.objects)


def test_partitions_receipts_and_bundles_are_those_of_a_local_home_bit_for_bit(
    remote: TemporaryHome, home: TemporaryHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLEEVEGRAPH_LAKE")
    here, there = home.store, remote.store
    assert isinstance(here.folders.lake, Path)
    assert not isinstance(there.folders.lake, Path)
    stored = here.lake.stored()
    assert there.lake.stored() == stored
    assert len(stored) > 100
    assert {one: there.lake.digest(*one) for one in stored} == {one: here.lake.digest(*one) for one in stored}
    timed = {one for one in stored if one[0][-1] == "solver_cells"}  # which say how long a solver took
    assert [one for one in stored if one not in timed and content(here.lake, one) != content(there.lake, one)] == []
    verdicts = here.receipts.stored()
    assert there.receipts.stored() == verdicts
    assert len(verdicts) > 100
    for verdict in verdicts:
        assert places.content(there.receipts.path(*verdict))[1] == places.content(here.receipts.path(*verdict))[1]
    for name in (LONG, SHORT, META, NESTED):
        for key in KEYS:
            files = here.runs.read(name, date.fromisoformat(key))
            assert len(files) > 5
            assert there.runs.read(name, date.fromisoformat(key)) == files


def content(lake: Lake, stored: tuple[tuple[str, ...], str]) -> bytes:
    return places.content(lake.path(*stored))[1]


def test_nothing_of_the_lake_is_on_the_disk(remote: TemporaryHome) -> None:
    assert {path.name for path in (remote.root / "data").iterdir()} == {
        "home.json", "lake.json", "source.json", "warehouse.duckdb",
    }  # fmt: skip
    assert not (remote.root / "runs").exists()
    assert remote.metadata((META, "flattened_weights"), KEYS[2])["dagster/uri"].startswith(
        f"{remote.store.folders.objects}/lake/{META}/flattened_weights/"
    )


def test_bars_are_read_as_from_a_disk(remote: TemporaryHome) -> None:
    lake, known = remote.store.lake, small_market()
    assert lake.newest_bar() == known["date"].max()
    before = lake.bars_before(AT)
    assert before.equals(known.filter(pl.col("date") < AT).sort("symbol", "date").select(before.columns))
    assert lake.scan(BARS).select(pl.len()).collect().item() == known.height
    assert lake.rows(BARS, "2022-01") == known.filter(pl.col("date").dt.strftime("%Y-%m") == "2022-01").height


def test_bundles_verify_by_their_url_and_by_their_home(remote: TemporaryHome) -> None:
    url = remote.store.folders.objects
    for path in (f"{url}/runs", url, remote.root):
        result = sleevegraph("verify", path)
        assert result.exit_code == 0, result.output
        assert "16 bundles: 16 ok, 0 FAIL" in result.output
    one = sleevegraph("verify", remote.store.runs.path(META, AT))
    assert one.exit_code == 0, one.output
    assert one.output.count("ok  ") > 5


def test_archives_verify_where_they_were_downloaded_to(remote: TemporaryHome, tmp_path: Path) -> None:
    for place in bundles_in(remote.store.folders.runs):
        (tmp_path / place.name).write_bytes(places.content(place)[1])
    result = sleevegraph("verify", tmp_path)
    assert "16 bundles: 16 ok, 0 FAIL" in result.output
    archive = tmp_path / f"{META}-{RUN[0].replace('-', '')}.zip"  # packed by us, without compression
    whole = archive.read_bytes()
    at = whole.index(b'"weights"') + 30
    archive.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    damaged = sleevegraph("verify", archive)
    assert damaged.exit_code == 1
    assert "CRC" in damaged.output
    archive.write_bytes(whole[:-100])
    assert "no whole archive" in sleevegraph("verify", archive).output


def test_a_bundle_that_is_tampered_with_in_the_store_fails(remote: TemporaryHome) -> None:
    runs = remote.store.runs
    files = runs.read(META, AT)
    report = "reports/forensic_report.html"
    runs.write(META, AT, {**files, report: files[report] + b" "})
    try:
        result = sleevegraph("verify", runs.path(META, AT))
        assert result.exit_code == 1
        assert report in result.output
    finally:
        runs.write(META, AT, files)


def test_doctor_counts_what_is_there(remote: TemporaryHome) -> None:
    said = dict([*_home(remote.store.folders), *_verdicts(remote.store.folders)])
    stored = remote.store.lake.stored()
    standings = [remote.store.lake.standing(*one)[0].value for one in stored]
    counted = ", ".join(f"{standings.count(one)} {one}" for one in sorted(set(standings)))
    assert said["partitions"] == counted
    assert said["lake"] == str(remote.store.folders.lake)
    assert sum(int(word) for word in said["receipts"].split() if word.isdigit()) == len(remote.store.receipts.stored())
    assert PROBLEM not in said


@pytest.mark.parametrize(
    "command", [("weights", META), ("gates",), ("explain", "SIM003USDT"), ("trades", META), ("coverage",)]
)
def test_commands_say_what_they_say_of_a_local_home(
    remote: TemporaryHome, home: TemporaryHome, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    there = sleevegraph(*command, "--home", remote.root)
    monkeypatch.delenv("SLEEVEGRAPH_LAKE")
    here = sleevegraph(*command, "--home", home.root)
    assert there.exit_code == here.exit_code
    assert there.output.replace(str(remote.root), "HOME") == here.output.replace(str(home.root), "HOME")


def test_views_of_the_warehouse_have_the_columns_of_the_objects(remote: TemporaryHome) -> None:
    from resources.object_views import lake_files  # noqa: PLC0415 - as its user does

    metadata = remote.metadata(("warehouse",))
    assert "httpfs" in metadata["reads"]
    with duckdb.connect(str(remote.store.folders.warehouse), read_only=True) as connection:
        with lake_files(connection, remote.store.lake):
            counted = connection.execute("SELECT rebalance, count(*) FROM universe GROUP BY 1 ORDER BY 1").fetchall()
        with pytest.raises(duckdb.Error):
            connection.execute("SELECT count(*) FROM universe").fetchall()
    assert counted == [(date.fromisoformat(key), remote.read(("universe",), key).height) for key in KEYS]


def test_a_verdict_is_stale_once_another_process_replaced_what_was_judged(remote: TemporaryHome) -> None:
    path, lake = (META, "flattened_weights"), remote.store.lake
    assert remote.store.receipts.state(path, "conservation", KEYS[0])[0] is State.PASSED
    before = content(lake, (path, KEYS[0]))
    try:
        behind(lake.path(path, KEYS[0]), content(lake, (path, KEYS[1])))
        assert remote.store.receipts.state(path, "conservation", KEYS[0])[0] is State.STALE
        assert lake.read(path, KEYS[0]).equals(lake.read(path, KEYS[1]))
    finally:
        behind(lake.path(path, KEYS[0]), before)
    assert remote.store.receipts.state(path, "conservation", KEYS[0])[0] is State.PASSED


def behind(place: Place, written: bytes) -> None:
    """Replace an object without this process's knowledge."""
    import boto3  # noqa: PLC0415 - of the tests alone

    bucket, _, key = str(place).removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=written)


def test_a_home_keeps_to_its_object_store(
    remote: TemporaryHome, home: TemporaryHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = remote.store.folders.objects
    monkeypatch.delenv("SLEEVEGRAPH_LAKE")
    assert f"SLEEVEGRAPH_LAKE: expected {url}, since {remote.root} has its lake there, found it unset" in refused(
        "gates", "--home", remote.root
    )
    monkeypatch.setenv("SLEEVEGRAPH_LAKE", "s3://another/prefix")
    assert "found s3://another/prefix; set SLEEVEGRAPH_LAKE=" in refused("gates", "--home", remote.root)
    assert "has its lake in data/lake, found s3://another/prefix; unset it" in refused("gates", "--home", home.root)
    (home.root / "data" / "lake.json").unlink()  # as of homes that were made before there were records
    assert "has its lake in data/lake" in refused("gates", "--home", home.root)
    monkeypatch.setenv("SLEEVEGRAPH_LAKE", f"{url}/")
    assert "expected" not in sleevegraph("weights", META, "--home", remote.root).output


def test_the_exporter_reads_what_is_in_the_store(remote: TemporaryHome, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(remote.store.folders)
    assert of(found, "up") == 1
    newest = (date.fromisoformat(KEYS[3]) - date(1970, 1, 1)).days * 86_400
    assert of(found, "newest_certified_rebalance_timestamp_seconds", meta=META) == newest
    assert sum(all_of(found, "gates")) == sum(key == KEYS[3] for *_, key in remote.store.receipts.stored())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    object_storage._filesystem.cache_clear()
    broken = read(remote.store.folders)
    object_storage._filesystem.cache_clear()
    assert of(broken, "up") == 0
    assert of(broken, "disk_free_bytes") > 0


def test_prune_removes_objects_and_no_bundle(remote: TemporaryHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune_command, "manifest_in_use", small_manifest)
    lake, command = remote.store.lake, ("prune", "--keep", "0d", "--home", remote.root)
    stored = lake.stored()
    contents = {one: content(lake, one) for one in stored if one[1] == KEYS[0]}
    try:
        assert "nothing was removed" in sleevegraph(*command).output
        assert lake.stored() == stored
        result = sleevegraph(*command, "--yes")
        assert result.exit_code == 0, result.output
        gone = {
            (stage(sleeve, name), KEYS[0]) for sleeve in (LONG, SHORT) for name in ("candidates", "synthetic_returns")
        }
        assert set(stored) - set(lake.stored()) == gone
        assert "16 bundles: 16 ok, 0 FAIL" in sleevegraph("verify", remote.root).output
        gate = remote.store.receipts.state(stage(LONG, "synthetic_returns"), "directional_sign_test", KEYS[0])
        assert gate[0] is State.PRUNED
    finally:
        for one, written in contents.items():
            places.put(lake.path(*one), written)


def test_a_backup_names_the_store_and_is_restored_beside_it_only(
    remote: TemporaryHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, copy = remote.store.folders.objects, tmp_path / "copy"
    taken = sleevegraph("backup", copy, "--home", remote.root)
    assert taken.exit_code == 0, taken.output
    assert f"not in it: lake, verdicts, acceptances and bundles are at {url}" in taken.stderr
    assert not list(copy.rglob("*.parquet")) + list(copy.rglob("*.zip"))
    monkeypatch.delenv("SLEEVEGRAPH_LAKE")
    line = refused("restore", copy, "--home", tmp_path / "again")
    assert f"SLEEVEGRAPH_LAKE: expected {url}, since {copy} has its lake there, found it unset" in line
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    monkeypatch.setenv("SLEEVEGRAPH_LAKE", url)
    assert sleevegraph("restore", copy, "--home", tmp_path / "again").exit_code == 0
    assert "16 bundles: 16 ok, 0 FAIL" in sleevegraph("verify", tmp_path / "again").output
