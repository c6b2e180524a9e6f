"""The archive's client against a replica of the archive that lags, breaks and restates."""

import asyncio
import io
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import pytest

from resources.binance.archive import Archive, Download, ListedFile
from resources.binance.settings import BinanceSettings
from resources.binance.transport import Transport
from sleevegraph.errors import ArchiveError, TransferError
from sleevegraph.market_data.datasets import DATASETS, Period
from tests.replica.files import checksum, md5_of, zipped
from tests.replica.handle import QUICK, Replica
from tests.replica.markets import SMALL_SYMBOLS, build_small
from tests.scripted_host import answer, in_turn, scripted_host

Result = TypeVar("Result")

DAILY_BARS = DATASETS["spot_klines_1d"]
BITCOIN = "data/spot/monthly/klines/BTCUSDT/1d/BTCUSDT-1d-2024-12.zip"
MONTH = Period("2024-12", date(2024, 12, 1), date(2024, 12, 31))
ZIP = zipped("BTCUSDT-1d-2024-12.csv", "1\n")
EMPTY = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated></ListBucketResult>'


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replica")
    build_small(folder)
    return folder


@pytest.fixture
def replica(tree: Path) -> Iterator[Replica]:
    with Replica(tree) as running:
        yield running


def asked(settings: BinanceSettings, job: Callable[[Archive], Awaitable[Result]]) -> Result:
    async def ask() -> Result:
        async with Transport(settings) as transport:
            return await job(Archive(transport, settings))

    return asyncio.run(ask())


def listed(replica: Replica, span: str = "monthly", symbol: str = "BTCUSDT") -> list[ListedFile]:
    return asked(replica.settings(), lambda archive: archive.files(DAILY_BARS, span, symbol))


def on_disk(replica: Replica, span: str, symbol: str) -> list[str]:
    root = replica.folder / "archive"
    return sorted(path.relative_to(root).as_posix() for path in root.glob(f"data/spot/{span}/klines/{symbol}/1d/*.zip"))


@pytest.mark.parametrize("keys", [1, 2, 1000])
def test_every_symbol_that_was_ever_listed_is_found_on_whatever_page_it_is(replica: Replica, keys: int) -> None:
    replica.page_size(keys)
    found = asked(replica.settings(), lambda archive: archive.symbols(DAILY_BARS, "monthly"))
    assert found.symbols == sorted(SMALL_SYMBOLS)
    assert found.refused == []


def test_a_name_that_could_be_a_path_is_refused_and_named(replica: Replica) -> None:
    for name in ("..", "A B", "x" * 41):
        replica.replace(f"data/spot/monthly/klines/{name}/1d/{name}-1d-2024-12.zip", b"zip")
    found = asked(replica.settings(), lambda archive: archive.symbols(DAILY_BARS, "monthly"))
    assert found.symbols == sorted(SMALL_SYMBOLS)
    assert found.refused == ["..", "A B", "x" * 41]


@pytest.mark.parametrize("keys", [1, 7, 1000])
@pytest.mark.parametrize("span", ["monthly", "daily"])
def test_files_are_listed_with_their_checksums_wherever_a_page_ends(replica: Replica, span: str, keys: int) -> None:
    replica.page_size(keys)
    for symbol in ("ETHUSDT", "币安人生USDT"):
        files = listed(replica, span, symbol)
        assert [file.key for file in files] == on_disk(replica, span, symbol)
        for file in files:
            assert file.size == (replica.folder / "archive" / file.key).stat().st_size
            assert file.checksum_etag not in (None, file.etag)


def test_keys_that_no_file_can_have_are_left_out_and_counted(replica: Replica) -> None:
    folder = BITCOIN.rpartition("/")[0]
    for name in ("BTCUSDT-1d-2024-1.zip", "BTCUSDT-1h-2024-12.zip", "../BTCUSDT-1d-2024-12.zip"):
        replica.replace(f"{folder}/{name}", b"zip")

    async def count(archive: Archive) -> tuple[list[str], int]:
        files = await archive.files(DAILY_BARS, "monthly", "BTCUSDT")
        return [file.key for file in files], archive.refused_keys

    assert asked(replica.settings(), count) == (on_disk(replica, "monthly", "BTCUSDT"), 6)


def test_a_zip_without_a_checksum_beside_it_says_so() -> None:
    entry = (
        f"<Contents><Key>{BITCOIN}</Key><LastModified>2025-01-01T05:30:00.000Z</LastModified>"
        "<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>9</Size></Contents>"
    )
    page = EMPTY.replace(b"</ListBucketResult>", f"{entry}</ListBucketResult>".encode())

    async def ask() -> list[ListedFile]:
        async with scripted_host(in_turn(answer(body=page))) as host:
            settings = replace(QUICK, listing_url=host.url)
            async with Transport(settings) as transport:
                return await Archive(transport, settings).files(DAILY_BARS, "monthly", "BTCUSDT")

    (file,) = asyncio.run(ask())
    assert (file.key, file.size, file.checksum_etag) == (BITCOIN, 9, None)


def test_a_listing_begins_behind_its_marker(replica: Replica) -> None:
    prefix = "data/spot/daily/klines/BTCUSDT/1d/BTCUSDT-1d-"
    files = asked(replica.settings(), lambda archive: archive.files(DAILY_BARS, "daily", "BTCUSDT", f"{prefix}2025-02"))
    assert [file.key for file in files] == [k for k in on_disk(replica, "daily", "BTCUSDT") if k >= f"{prefix}2025-02"]


def test_days_that_are_covered_are_neither_given_nor_paged_through(replica: Replica) -> None:
    replica.page_size(6)
    gaps = {date(2025, 1, 2), date(2025, 1, 31), date(2025, 2, 14)}

    def covered(day: date) -> bool:
        return day not in gaps and day < date(2025, 3, 3)

    replica.reset_log()
    files = asked(replica.settings(), lambda archive: archive.files(DAILY_BARS, "daily", "BTCUSDT", covered=covered))
    every = [date.fromisoformat(key[-14:-4]) for key in on_disk(replica, "daily", "BTCUSDT")]
    assert [file.period.first for file in files] == [day for day in every if not covered(day)]
    assert [file.checksum_etag is None for file in files] == [False] * len(files)
    pages = -(-2 * len(every) // 6)
    assert replica.log()["requests"]["listing"] < pages / 2


def test_a_symbol_whose_days_are_all_covered_takes_two_pages(replica: Replica) -> None:
    replica.page_size(6)
    replica.reset_log()
    job = asked(replica.settings(), lambda a: a.files(DAILY_BARS, "daily", "BTCUSDT", covered=lambda _: True))
    assert job == []
    assert replica.log()["requests"]["listing"] == 2


@pytest.mark.parametrize(
    "fault", ["timeout", "reset", "truncated", "500", "503", "429", "checksum", "corrupt", "stale"]
)
def test_files_are_the_same_whatever_goes_wrong_on_the_way(replica: Replica, fault: str) -> None:
    replica.faults(0.25, [fault], seed=4)
    settings = replica.settings(timeout_seconds=0.3, attempts=20)

    async def fetch(archive: Archive) -> list[Download]:
        files = await archive.files(DAILY_BARS, "daily", "ETHUSDT")
        return await asyncio.gather(*(archive.download(file) for file in files[:16]))

    downloads = asked(settings, fetch)
    assert replica.log()["faults"][fault] > 0
    assert len(downloads) == 16
    for download in downloads:
        body = (replica.folder / "archive" / download.file.key).read_bytes()
        assert download.body == body
        assert download.sha256 == sha256(body).hexdigest()
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            assert download.content == archive.read(archive.namelist()[0])
        assert f"http://{download.host}" == settings.archive_url


def test_a_file_that_is_restated_after_it_was_listed_is_fetched_and_named_as_it_is_now(replica: Replica) -> None:
    before = {file.key: file for file in listed(replica)}[BITCOIN]
    body = zipped("BTCUSDT-1d-2024-12.csv", "restated\n" * 500)
    replica.replace(BITCOIN, body)
    download = asked(replica.settings(), lambda archive: archive.download(before))
    after = {file.key: file for file in listed(replica)}[BITCOIN]
    assert download.body == body
    assert download.file == after
    assert after.etag != before.etag
    assert after.checksum_etag != before.checksum_etag


def test_an_older_pair_that_agrees_with_itself_is_not_taken_for_the_listed_one(replica: Replica) -> None:
    body = zipped("BTCUSDT-1d-2024-12.csv", "restated\n")
    replica.replace(BITCOIN, body)
    file = {file.key: file for file in listed(replica)}[BITCOIN]
    replica.break_key(BITCOIN, "stale")
    with pytest.raises(
        ArchiveError, match=rf"{BITCOIN}: .* as listed|{BITCOIN}: .* listed version|at most {file.size}"
    ):
        asked(replica.settings(attempts=3), lambda archive: archive.download(file))
    replica.break_key(BITCOIN, None)
    assert asked(replica.settings(), lambda archive: archive.download(file)).body == body


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("corrupt", "expected the listed version, MD5 [0-9a-f]{32}, found another"),
        ("checksum", "expected SHA-256 [0-9a-f]{64} as its CHECKSUM says|expected 64 hex digits"),
        ("stale", "expected"),
        ("404", "expected a file where the listing has one, found none at http"),
    ],
)
def test_a_file_that_stays_broken_is_given_up_with_its_reason(replica: Replica, how: str, reason: str) -> None:
    file = {file.key: file for file in listed(replica)}[BITCOIN]
    replica.break_key(BITCOIN, how)
    replica.reset_log()
    with pytest.raises(ArchiveError, match=reason) as error:
        asked(replica.settings(attempts=3), lambda archive: archive.download(file))
    assert "\n" not in str(error.value)
    assert replica.log()["requests"]["checksum"] == 3
    assert replica.log()["requests"]["listing"] == 2


def refused_then(*replies: bytes, attempts: int) -> Download:
    """The download of a file from a host that answers so, for the archive and its listing alike."""
    file = ListedFile(BITCOIN, "BTCUSDT", "monthly", MONTH, len(ZIP), md5_of(ZIP), None)

    async def ask() -> Download:
        async with scripted_host(in_turn(*replies)) as host:
            settings = replace(QUICK, archive_url=host.url, listing_url=host.url, attempts=attempts)
            async with Transport(settings) as transport:
                return await Archive(transport, settings).download(file)

    return asyncio.run(ask())


@pytest.mark.parametrize("status", [400, 401, 403, 410, 451])
@pytest.mark.parametrize("part", ["checksum", "zip"])
def test_a_refusal_of_one_listed_file_is_a_fault_of_that_file(status: int, part: str) -> None:
    proof = answer(body=checksum(ZIP, BITCOIN))
    before = [] if part == "checksum" else [proof]
    refusal = answer(status, b"<Error>\n<Code>AccessDenied</Code></Error>")
    with pytest.raises(ArchiveError, match=rf"^{BITCOIN}\S*: expected the file .* found HTTP {status} at") as error:
        refused_then(*before, refusal, attempts=1)
    assert "\n" not in str(error.value)
    entry = (
        f"<Contents><Key>{BITCOIN}</Key><LastModified>2025-01-01T05:30:00.000Z</LastModified>"
        f"<ETag>{md5_of(ZIP)}</ETag><Size>{len(ZIP)}</Size></Contents>"
    )
    page = answer(body=EMPTY.replace(b"</ListBucketResult>", f"{entry}</ListBucketResult>".encode()))
    assert refused_then(*before, refusal, page, proof, answer(body=ZIP), attempts=2).body == ZIP


def test_a_file_that_vanished_from_the_listing_is_given_up(replica: Replica) -> None:
    file = listed(replica, "daily")[-1]
    replica.archive_until(date(2025, 2, 1))
    with pytest.raises(ArchiveError, match=r"found it listed no longer"):
        asked(replica.settings(attempts=2), lambda archive: archive.download(file))


@pytest.mark.parametrize(
    ("member", "text"), [("../BTCUSDT-1d-2024-12.csv", b"1\n"), ("BTCUSDT-1d-2024-12.csv", bytes(65 * 2**20))]
)
def test_a_zip_that_would_leave_its_folder_or_fill_the_memory_is_refused(
    replica: Replica, member: str, text: bytes
) -> None:
    replica.replace(BITCOIN, zipped(member, text))
    file = {file.key: file for file in listed(replica)}[BITCOIN]
    with pytest.raises(ArchiveError, match=rf"^{BITCOIN}: expected "):
        asked(replica.settings(attempts=1), lambda archive: archive.download(file))


def test_a_zip_that_is_listed_as_too_large_is_not_even_asked_for(replica: Replica) -> None:
    file = replace({file.key: file for file in listed(replica)}[BITCOIN], size=3_000_000_000)
    replica.reset_log()
    with pytest.raises(ArchiveError, match=r"at most 16,777,216 bytes, found 3,000,000,000 listed"):
        asked(replica.settings(attempts=1), lambda archive: archive.download(file))
    assert replica.log()["names"] == []


def test_a_page_that_is_broken_is_asked_for_again_and_given_up_in_one_line() -> None:
    async def ask(*pages: bytes) -> list[ListedFile]:
        async with scripted_host(in_turn(*(answer(body=page) for page in pages))) as host:
            settings = replace(QUICK, listing_url=host.url, attempts=3)
            async with Transport(settings) as transport:
                return await Archive(transport, settings).files(DAILY_BARS, "monthly", "BTCUSDT")

    assert asyncio.run(ask(EMPTY[:60], b"<html>busy</html>", EMPTY)) == []
    with pytest.raises(ArchiveError, match=r"expected a listing") as error:
        asyncio.run(ask(EMPTY[:60]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("last", ["data/spot/monthly/klines/BTCUSDT/1d/A", "data/spot/other"])
def test_a_listing_that_leads_back_or_elsewhere_ends_in_an_error(last: str) -> None:
    entry = f"<Key>{last}</Key><LastModified>2025-01-01T05:30:00.000Z</LastModified><ETag>0</ETag><Size>9</Size>"
    page = EMPTY.replace(b"false", b"true").replace(b"</List", f"<Contents>{entry}</Contents></List".encode(), 1)

    async def ask() -> list[ListedFile]:
        async with scripted_host(in_turn(answer(body=page))) as host:
            settings = replace(QUICK, listing_url=host.url, attempts=2)
            async with Transport(settings) as transport:
                return await Archive(transport, settings).files(DAILY_BARS, "monthly", "BTCUSDT")

    with pytest.raises(ArchiveError, match=r"expected keys behind"):
        asyncio.run(ask())


def test_a_listing_that_is_refused_names_the_address(replica: Replica) -> None:
    replica.break_key("data/spot/monthly/klines/BTCUSDT/1d/", "404")
    with pytest.raises(TransferError, match=r"expected HTTP 200 from http\S+, found 404"):
        listed(replica)
