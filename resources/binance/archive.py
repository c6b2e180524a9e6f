"""The public archive: who is in it, which files there are, and one of them at a time, proved to be the listed one."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final
from urllib.parse import quote

import httpx

from resources.binance.settings import BinanceSettings
from resources.binance.transport import Answer, Transport
from sleevegraph.errors import ArchiveError, TransferError
from sleevegraph.market_data.datasets import (
    Dataset,
    Period,
    Span,
    file_name,
    files_prefix,
    is_symbol,
    parse_key,
    symbols_prefix,
)
from sleevegraph.market_data.listing import ListedObject, ListingPage, parse_listing
from sleevegraph.market_data.members import MAX_ZIP_BYTES, parse_checksum, read_member

_CHECKSUM: Final = ".CHECKSUM"
_MAX_CHECKSUM_BYTES: Final = 4096
_MAX_PAGE_BYTES: Final = 4 * 2**20  # 1,000 keys of 1,024 bytes at most
_PLAIN_MD5: Final = re.compile("[0-9a-f]{32}")  # of an object that was uploaded in parts: "...-4"
_SKIPPED_DAYS: Final = 10_000
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SymbolListing:
    """Folders of a dataset; `refused` are names that can be no symbol."""

    symbols: list[str]
    refused: list[str]


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One zip as listed, and the entity tag of the CHECKSUM beside it, None where there is none."""

    key: str
    symbol: str
    span: Span
    period: Period
    size: int
    etag: str
    checksum_etag: str | None

    def row(self) -> dict[str, object]:
        """As a LISTED row."""
        return {
            "key": self.key,
            "symbol": self.symbol,
            "span": self.span,
            "period": self.period.text,
            "first": self.period.first,
            "last": self.period.last,
            "size": self.size,
            "etag": self.etag,
            "checksum_etag": self.checksum_etag,
        }


@dataclass(frozen=True, slots=True)
class Download:
    """A zip, its CSV, and what it was proved to be: `file` is its newest listing, `sha256` is the zip's."""

    file: ListedFile
    body: bytes
    content: bytes
    sha256: str
    fetched_at: datetime
    host: str


class BrokenFileError(ArchiveError):
    """A zip that came and is not the listed one, or not whole; `body` is what came."""

    def __init__(self, reason: str, body: bytes) -> None:
        super().__init__(reason)
        self.body = body


class Archive:
    """Reads the listing and the files behind it; `refused_keys` counts keys that no file of a dataset can have."""

    def __init__(self, transport: Transport, settings: BinanceSettings) -> None:
        self._transport = transport
        self._settings = settings
        self.host = httpx.URL(settings.archive_url).netloc.decode()
        self.refused_keys = 0

    async def symbols(self, dataset: Dataset, span: Span) -> SymbolListing:
        """Every symbol that was ever listed, in the bucket's order."""
        prefix = symbols_prefix(dataset, span)
        names: list[str] = []
        marker: str | None = ""
        while marker is not None:
            page = await self._page(prefix, marker, "/")
            names += [folder.removeprefix(prefix).removesuffix("/") for folder in page.prefixes]
            marker = page.next_marker
        return SymbolListing(
            [name for name in names if is_symbol(name)], [name for name in names if not is_symbol(name)]
        )

    async def files(
        self,
        dataset: Dataset,
        span: Span,
        symbol: str,
        after: str = "",
        covered: Callable[[date], bool] | None = None,
    ) -> list[ListedFile]:
        """Files of a symbol, oldest first, whose keys sort behind `after` and that have a day which is not `covered`.

        Pages of covered days alone are not read on: the listing continues where the run of covered days ends.
        """
        prefix = files_prefix(dataset, span, symbol)
        files: list[ListedFile] = []
        checksums: dict[str, str] = {}
        marker: str | None = after
        while marker is not None:
            page = await self._page(prefix, marker, "")
            marker, passed = page.next_marker, None
            wanted = len(files)
            for listed in page.objects:
                period = parse_key(dataset, span, symbol, listed.key.removesuffix(_CHECKSUM))
                if period is None:
                    self.refused_keys += 1
                elif listed.key.endswith(_CHECKSUM):
                    checksums[listed.key.removesuffix(_CHECKSUM)] = listed.etag
                elif covered is not None and _all_covered(period, covered):
                    passed = period.last
                else:
                    files.append(_listed_file(listed, symbol, span, period))
            if marker is not None and covered is not None and passed is not None and len(files) == wanted:
                marker = max(marker, prefix + _last_covered(dataset, symbol, passed, covered))
        return [replace(file, checksum_etag=checksums.get(file.key)) for file in files]

    async def download(self, file: ListedFile) -> Download:
        """Fetch a file and its CHECKSUM until size, MD5 (the ETag), SHA-256 and CSV are what they should be.

        After a mismatch the listing is asked anew: the file may have been restated since.

        Raises
        ------
        ArchiveError
            Every attempt gave something else (a BrokenFileError, with what the last one gave), or nothing or a refusal
            (4xx) where the listing says there is a file.
        TransferError
            The host did not answer.
        """
        newest = file

        async def attempt(number: int) -> Download:
            nonlocal newest
            if number:
                newest = await self._listed_anew(newest)
            return await self._proved(newest)

        return await self._transport.insist(attempt)

    async def _proved(self, file: ListedFile) -> Download:
        name = file.key.rpartition("/")[2]
        if file.size > MAX_ZIP_BYTES:
            raise ArchiveError(
                f"{file.key}: expected a zip of at most {MAX_ZIP_BYTES:,} bytes, found {file.size:,} listed"
            )
        stated = await self._object(file.key + _CHECKSUM, _MAX_CHECKSUM_BYTES)
        checksum = parse_checksum(stated.body, name, file.key + _CHECKSUM)
        body = (await self._object(file.key, file.size)).body
        try:
            content, sha256 = _content(file, body, checksum)
        except ArchiveError as error:
            raise BrokenFileError(str(error), body) from None
        return Download(file, body, content, sha256, datetime.now(UTC), self.host)

    async def _object(self, key: str, limit_bytes: int) -> Answer:
        url = f"{self._settings.archive_url}/{quote(key)}"
        answer = await self._transport.get(url, limit_bytes=limit_bytes)
        if answer.status == httpx.codes.NOT_FOUND:
            raise ArchiveError(f"{key}: expected a file where the listing has one, found none at {url}")
        if httpx.codes.is_client_error(answer.status):
            raise ArchiveError(
                f"{key}: expected the file that the listing has, found HTTP {answer.status} at {url}: {answer.body[:120]!r}"
            )
        return _successful(answer)

    async def _listed_anew(self, file: ListedFile) -> ListedFile:
        """The listing's entry as it is now: a restated file has another size, ETag and checksum."""
        objects = {
            listed.key: listed for listed in (await self._ask_page(file.key.removesuffix(".zip"), "", "")).objects
        }
        if file.key not in objects:
            raise ArchiveError(f"{file.key}: expected a file that was listed before, found it listed no longer")
        checksum = objects.get(file.key + _CHECKSUM)
        listed = _listed_file(objects[file.key], file.symbol, file.span, file.period)
        return replace(listed, checksum_etag=checksum.etag if checksum else None)

    async def _page(self, prefix: str, marker: str, delimiter: str) -> ListingPage:
        return await self._transport.insist(lambda _: self._ask_page(prefix, marker, delimiter))

    async def _ask_page(self, prefix: str, marker: str, delimiter: str) -> ListingPage:
        asked = {"prefix": prefix, "marker": marker, "delimiter": delimiter}
        answer = await self._transport.get(
            self._settings.listing_url,
            params={name: value for name, value in asked.items() if value},
            limit_bytes=_MAX_PAGE_BYTES,
        )
        page = parse_listing(_successful(answer).body, answer.url)
        names = page.prefixes + [listed.key for listed in page.objects]
        foreign = next((name for name in names if not name.startswith(prefix) or name <= marker), None)
        if foreign is not None or (page.next_marker is not None and page.next_marker <= marker):
            found = page.next_marker if foreign is None else foreign
            raise ArchiveError(f"{answer.url}: expected keys behind {marker or prefix!r}, found {found!r}")
        return page


def unpacked(file: ListedFile, body: bytes) -> bytes:
    """The CSV in the zip `body` of a listed file; ArchiveError where it is not that one file, whole."""
    return read_member(body, file.key.rpartition("/")[2].removesuffix(".zip") + ".csv", file.key)


def _content(file: ListedFile, body: bytes, checksum: str) -> tuple[bytes, str]:
    """The CSV and the SHA-256 of the zip `body`; ArchiveError where it is not the listed one."""
    sha256 = hashlib.sha256(body).hexdigest()
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if len(body) != file.size:
        raise ArchiveError(f"{file.key}: expected {file.size:,} bytes as listed, found {len(body):,}")
    if md5 != file.etag and _PLAIN_MD5.fullmatch(file.etag):
        raise ArchiveError(f"{file.key}: expected the listed version, MD5 {file.etag}, found another, MD5 {md5}")
    if sha256 != checksum:
        raise ArchiveError(f"{file.key}: expected SHA-256 {checksum} as its CHECKSUM says, found {sha256}")
    return unpacked(file, body), sha256


def _successful(answer: Answer) -> Answer:
    if answer.status != httpx.codes.OK:
        raise TransferError(
            f"expected HTTP 200 from {answer.url}, found {answer.status}: {answer.body[:120]!r}; check the address"
        )
    return answer


def _listed_file(listed: ListedObject, symbol: str, span: Span, period: Period) -> ListedFile:
    return ListedFile(listed.key, symbol, span, period, listed.size, listed.etag, None)


def _all_covered(period: Period, covered: Callable[[date], bool]) -> bool:
    days = (period.last - period.first).days + 1
    return all(covered(period.first + number * _DAY) for number in range(days))


def _last_covered(dataset: Dataset, symbol: str, day: date, covered: Callable[[date], bool]) -> str:
    """Name of the last object of the run of covered days that `day` is in."""
    for _ in range(_SKIPPED_DAYS):
        if not covered(day + _DAY):
            break
        day += _DAY
    return file_name(dataset, symbol, Period(day.isoformat(), day, day)) + _CHECKSUM
