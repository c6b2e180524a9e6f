"""Ingests of files that are broken or hostile, from hosts that refuse or fall silent, beside another ingest."""

import re
import struct
import subprocess
import sys
import unicodedata
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from resources.binance.market_lake import MarketLake
from resources.binance.pipeline import GIVE_UP_AFTER
from resources.binance.quarantine import Quarantine
from sleevegraph.errors import ConfigurationError, LakeError
from sleevegraph.market_data.planning import NAMED
from tests.ingests import BARS, expected, files_below, ingest, key_of, provenance, read_everything, restate
from tests.replica.asking import get
from tests.replica.files import zipped
from tests.replica.handle import ROOT, Replica
from tests.replica.markets import SMALL_ARCHIVE_UNTIL, SMALL_NOW, small_market

ALL = expected(small_market()["spot_klines_1d"].filter(pl.col("open_time").dt.date() < SMALL_NOW.date()))
DECEMBER = key_of("BTCUSDT", "2024-12")
WITHOUT = ALL.filter(
    ~((pl.col("symbol") == "BTCUSDT") & pl.col("open_time").dt.date().is_between(date(2024, 12, 1), date(2024, 12, 31)))
)


@pytest.fixture
def lake(tmp_path: Path) -> MarketLake:
    return MarketLake(tmp_path / "home" / "data" / "market")


def quarantine(lake: MarketLake) -> Quarantine:
    return Quarantine(lake.root / "quarantine" / BARS.name)


def asked_for(replica: Replica, key: str) -> int:
    return sum(name == key for _, name, _, _ in replica.log()["names"])


def broken_parts(lake: MarketLake) -> list[bytes]:
    return [path.read_bytes() for path in (lake.root / "quarantine" / BARS.name).glob("*.zip")]


def test_a_file_that_stays_corrupt_is_quarantined_and_released_when_it_comes_whole(
    replica: Replica, lake: MarketLake
) -> None:
    replica.break_key(DECEMBER, "corrupt")
    settings = replica.settings(attempts=3)
    for _ in range(2):  # and tried again by the next ingest
        replica.reset_log()
        made = ingest(lake, settings)
        assert asked_for(replica, DECEMBER) == 3
        assert list(made.transferred.quarantined.reasons) == [DECEMBER]
        record = quarantine(lake).files().row(0, named=True)
        assert (record["key"], record["reason"]) == (DECEMBER, made.transferred.quarantined.reasons[DECEMBER])
        assert record["reason"].startswith(f"{DECEMBER}: expected the listed version, MD5 ")
        assert "\n" not in record["reason"]
        assert broken_parts(lake) == [get(replica, DECEMBER).content]
        assert lake.rows(BARS).equals(WITHOUT)
        assert DECEMBER not in set(lake.sources(BARS)["key"])
        assert lake.calendar(BARS).filter(status="quarantined")["key"].to_list() == [DECEMBER]
    replica.break_key(DECEMBER, None)
    made = ingest(lake, settings)
    assert (made.transferred.files, made.transferred.quarantined.count) == (1, 0)
    assert lake.rows(BARS).equals(ALL)
    assert quarantine(lake).files().is_empty()
    assert broken_parts(lake) == []
    assert set(lake.calendar(BARS)["status"]) == {"stored"}


def test_the_days_of_a_month_stand_in_for_its_file_while_that_is_in_quarantine(
    replica: Replica, lake: MarketLake
) -> None:
    january = key_of("BTCUSDT", "2025-01")
    replica.break_key(january, "corrupt")
    ingest(lake, replica.settings(attempts=2))
    of_january = (pl.col("symbol") == "BTCUSDT") & (pl.col("open_time").dt.strftime("%Y-%m") == "2025-01")
    assert lake.archive(BARS).filter(of_january).collect().is_empty()
    made = ingest(lake, replica.settings(attempts=2))
    assert (made.transferred.files, list(made.transferred.quarantined.reasons)) == (31, [january])
    days = lake.rows(BARS).filter(of_january)
    assert days.height == 31
    replica.break_key(january, None)
    made = ingest(lake, replica.settings())
    assert (made.transferred.files, made.transferred.revised, made.transferred.quarantined.count) == (1, 0, 0)
    assert lake.rows(BARS).filter(of_january).equals(days)
    assert lake.sources(BARS).filter(symbol="BTCUSDT", first=date(2025, 1, 1))["key"].to_list() == [january]


def test_a_damaged_record_of_the_quarantine_is_one_line_that_names_it(replica: Replica, lake: MarketLake) -> None:
    replica.break_key(DECEMBER, "corrupt")
    ingest(lake, replica.settings(attempts=1))
    [record] = (lake.root / "quarantine" / BARS.name).glob("*.json")
    record.write_text("{}")
    with pytest.raises(LakeError, match=f"^{record}: expected a record of a broken file, found KeyError"):
        ingest(lake, replica.settings(attempts=1))


def test_a_file_whose_rows_are_broken_takes_nothing_of_what_is_stored(replica: Replica, lake: MarketLake) -> None:
    ingest(lake, replica.settings())
    before = provenance(lake)
    restate(replica, DECEMBER, lambda lines: [*lines[:7], lines[7].replace(".", ",", 1), *lines[8:]])
    made = ingest(lake, replica.settings())
    assert "line 8: expected 12 columns, found 13" in made.transferred.quarantined.reasons[DECEMBER]
    assert broken_parts(lake) == [get(replica, DECEMBER).content]
    assert lake.rows(BARS).equals(ALL)
    assert provenance(lake).equals(before)
    assert lake.revisions(BARS) == []


def declared(member: str, size: int) -> bytes:
    """A zip that says that its CSV has so many bytes."""
    body = bytearray(zipped(member, b"1,2\n"))
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", body, body.index(signature) + at, size)
    return bytes(body)


def hostile_zips() -> dict[str, bytes]:
    """Broken Decembers by symbol."""
    name = "{}-1d-2024-12.csv"
    return {
        "BTCUSDT": zipped("../../../../escaped.csv", b"1,2\n"),
        "ETHUSDT": zipped(name.format("ETHUSDT"), bytes(80 * 2**20)),
        "SPLITUSDT": declared(name.format("SPLITUSDT"), 2**31),
        "NEWUSDT": zipped("/tmp/escaped.csv", b"1,2\n"),  # noqa: S108 - nothing may be written there
    }


def test_zips_that_would_leave_their_folder_or_fill_the_memory_are_quarantined_and_write_nothing_elsewhere(
    replica: Replica, lake: MarketLake, tmp_path: Path
) -> None:
    hostile = hostile_zips()
    for symbol, body in hostile.items():
        replica.replace(key_of(symbol, "2024-12"), body)
    (tmp_path / "home" / "escaped.csv").parent.mkdir()
    (tmp_path / "home" / "escaped.csv").write_text("mine")
    before = files_below(tmp_path)
    made = ingest(lake, replica.settings(attempts=2))
    assert set(made.transferred.quarantined.reasons) == {key_of(symbol, "2024-12") for symbol in hostile}
    inside = lake.root.relative_to(tmp_path).as_posix()
    assert {name: h for name, h in files_below(tmp_path).items() if not name.startswith(f"{inside}/")} == before
    assert not list(lake.root.rglob("*.csv"))
    assert not Path("/tmp/escaped.csv").exists()  # noqa: S108 - where one of them would like to go
    others = ["GONEUSDT", "币安人生USDT"]
    whole = pl.col("symbol").is_in(others) | (pl.col("open_time").dt.strftime("%Y-%m") != "2024-12")
    assert lake.rows(BARS).equals(ALL.filter(whole))


HOSTILE_NAMES = (
    "../X",
    "..",
    "A B",
    "A:USDT",
    "%2e%2e",
    "\u202eUSDT",
    "X" * 300,
    unicodedata.normalize("NFD", "É") + "USDT",
    "-rf",
    "A&B<USDT>",
)


def test_names_that_no_symbol_can_have_are_named_and_never_asked_for(
    replica: Replica, lake: MarketLake, tmp_path: Path
) -> None:
    for name in HOSTILE_NAMES:
        replica.replace(key_of(name, "2024-12"), zipped(f"{name}-1d-2024-12.csv", b"1,2\n"))
    before = files_below(tmp_path)
    made = ingest(lake, replica.settings())
    # A folder ends at its first slash: "../X" is listed as "..".
    assert made.survey.refused == sorted({name.partition("/")[0] for name in HOSTILE_NAMES})
    assert lake.rows(BARS).equals(ALL)
    assert not {
        name for kind, name, _, _ in replica.log()["names"] if kind in {"zip", "checksum"} and "USDT-1d" not in name
    }
    inside = lake.root.relative_to(tmp_path).as_posix()
    assert {name for name in files_below(tmp_path) if not name.startswith(f"{inside}/")} == set(before)
    with pytest.raises(ConfigurationError, match=r"^--symbols: "):
        ingest(lake, replica.settings(), symbols=["../X"])


def test_a_symbol_of_another_script_is_like_any_other(replica: Replica, lake: MarketLake) -> None:
    ingest(lake, replica.settings(), symbols=["币安人生USDT"])
    assert lake.rows(BARS).equals(ALL.filter(symbol="币安人生USDT"))
    assert all(path.name.isascii() for path in lake.root.rglob("*"))


@pytest.mark.parametrize("how", ["451", "403", "down"])
def test_where_a_host_is_restricted_the_next_one_answers_and_is_recorded(
    replica: Replica, lake: MarketLake, how: str
) -> None:
    replica.restrict("api0", how)
    made = ingest(lake, replica.settings(attempts=2))
    host = replica.url("api1").removeprefix("http://")
    assert made.answers.hosts == {host}
    assert lake.rest(BARS).collect()["host"].unique().to_list() == [host]
    assert lake.rows(BARS).equals(ALL)


def test_with_every_host_restricted_the_archive_is_stored_and_one_line_names_the_setting(
    replica: Replica, lake: MarketLake
) -> None:
    for role in ("api0", "api1", "api2"):
        replica.restrict(role, "451")
    made = ingest(lake, replica.settings())
    assert re.search(r"the last of 3 hosts .* SLEEVEGRAPH_BINANCE_API", made.incomplete)
    assert "\n" not in made.incomplete
    assert made.info is None
    assert lake.rows(BARS).equals(ALL.filter(pl.col("open_time").dt.date() <= SMALL_ARCHIVE_UNTIL))


class FailsAfter:
    """Progress that lets the archive fail once so many files have come."""

    def __init__(self, replica: Replica, files: int, how: str) -> None:
        self.replica, self.files, self.how = replica, files, how
        self.stage = ""

    def begin(self, stage: str, total: int) -> None:
        del total
        self.stage = stage

    def advance(self, transferred: int = 0) -> None:
        del transferred
        if self.stage != "files":
            return
        self.files -= 1
        if self.files == 0 and self.how == "down":
            self.replica.restrict("archive", "down")
        elif self.files == 0:
            self.replica.reset_log()
            self.replica.faults(1.0, [self.how], roles=["archive"])


@pytest.mark.parametrize("how", ["down", "500"])
def test_a_host_that_falls_silent_ends_the_ingest_and_the_next_one_goes_on_from_there(
    replica: Replica, lake: MarketLake, how: str
) -> None:
    settings = replica.settings(attempts=2, concurrency=4)
    total = 57
    made = ingest(lake, settings, progress=FailsAfter(replica, 14, how))
    assert made.incomplete.startswith(f"{made.transferred.failed.count} of 57 files were not fetched, first ")
    assert "\n" not in made.incomplete
    failed = {name for _, name, fault, _ in replica.log()["names"] if fault == "500"}
    assert how == "down" or GIVE_UP_AFTER <= len(failed) <= GIVE_UP_AFTER + 2 * settings.concurrency
    read_everything(lake.root)
    kept = set(lake.sources(BARS)["key"])
    assert 14 <= len(kept) == total - made.transferred.failed.count <= 14 + settings.concurrency
    lost = lake.calendar(BARS).filter(status="failed")["key"]
    assert len(lost) == made.transferred.failed.count > NAMED
    assert not kept & set(lost)
    assert len(made.transferred.failed.reasons) == NAMED
    assert set(made.transferred.failed.reasons) <= set(lost)
    replica.restrict("archive", None)
    replica.faults(0.0)
    replica.reset_log()
    made = ingest(lake, settings)
    fetched = [name for kind, name, _, _ in replica.log()["names"] if kind == "zip"]
    assert len(fetched) == len(set(fetched)) == total - len(kept)
    assert not kept & set(fetched)
    assert lake.rows(BARS).equals(ALL)
    assert not list((lake.root / "staging" / BARS.name).iterdir())


def test_one_file_that_does_not_come_is_named_and_everything_else_is_stored(replica: Replica, lake: MarketLake) -> None:
    replica.break_key(DECEMBER, "503")
    made = ingest(lake, replica.settings(attempts=2))
    assert re.match(f"1 of 57 files were not fetched, first {DECEMBER}: .* HTTP 503; ", made.incomplete)
    assert made.incomplete.endswith("everything else is stored, and the next ingest goes on from there")
    assert lake.rows(BARS).equals(WITHOUT)
    assert lake.calendar(BARS).filter(status="failed")["key"].to_list() == [DECEMBER]
    replica.break_key(DECEMBER, None)
    assert ingest(lake, replica.settings()).transferred.files == 1
    assert lake.rows(BARS).equals(ALL)


HOLDER = """
import sys, time
from pathlib import Path
from resources.binance.lock import ingest_lock
with ingest_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_ingest_is_one_line_that_names_the_first_and_a_killed_one_locks_nobody_out(
    replica: Replica, lake: MarketLake
) -> None:
    command = [sys.executable, "-c", HOLDER, str(lake.root / "ingest.lock")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LakeError) as error:
            ingest(lake, replica.settings())
        holder.kill()
    assert str(error.value) == (
        f"{lake.root}: expected no other ingest, found one at work (process {holder.pid}); wait for it or stop it"
    )
    assert replica.log()["requests"] == {}
    assert ingest(lake, replica.settings()).transferred.files == 57
