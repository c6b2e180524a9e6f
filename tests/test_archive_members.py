import hashlib
import io
import struct
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.errors import ArchiveError
from sleevegraph.market_data.members import MAX_CSV_BYTES, MAX_ZIP_BYTES, parse_checksum, read_member

NAME = "BTCUSDT-1d-2023-05.csv"
ROWS = b"1682899200000,1,2,0.5,1.5,10,1682985599999,15,3,5,7,0\n" * 31
GIB = 1024**3


def packed(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def with_directory(body: bytes, offset: int, field: bytes) -> bytes:
    """`body` with `field` at `offset` of the first entry of its central directory."""
    at = body.index(b"PK\x01\x02") + offset
    return body[:at] + field + body[at + len(field) :]


def with_size(body: bytes, size: int) -> bytes:
    return with_directory(body, 24, struct.pack("<I", size))


def refused(body: bytes, name: str = NAME) -> str:
    with pytest.raises(ArchiveError) as error:
        read_member(body, name, "x.zip")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("x.zip: expected ")
    return str(error.value)


def peak(body: bytes) -> int:
    """The most bytes that refusing `body` held at once."""
    tracemalloc.start()
    try:
        refused(body)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("name", [NAME, "币安人生USDT-1d-2025-10.csv"])
def test_the_one_member_is_unpacked(method: int, name: str) -> None:
    assert read_member(packed((name, ROWS), method=method), name, "x.zip") == ROWS


@settings(max_examples=60)
@given(st.binary(max_size=2000), st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]))
def test_any_content_reads_back(content: bytes, method: int) -> None:
    assert read_member(packed((NAME, content), method=method), NAME, "x.zip") == content


def test_a_streamed_zip_whose_sizes_follow_the_data_is_read() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    file = Pipe()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NAME, ROWS)
    assert read_member(file.getvalue(), NAME, "x.zip") == ROWS


def test_a_zip_cut_anywhere_is_refused() -> None:
    whole = packed((NAME, ROWS))
    for length in range(len(whole)):
        refused(whole[:length])


@settings(max_examples=200)
@given(st.data())
def test_a_flipped_byte_never_changes_the_content_unseen(data: st.DataObject) -> None:
    body = bytearray(packed((NAME, ROWS)))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        content = read_member(bytes(body), NAME, "x.zip")
    except ArchiveError:
        return
    assert content == ROWS


@pytest.mark.parametrize("body", [b"", b"<html>504</html>", ROWS, b"PK\x05\x06" + bytes(18)])
def test_what_is_no_zip_of_one_file_is_refused(body: bytes) -> None:
    refused(body)


def test_several_members_are_refused() -> None:
    assert "one file in the zip, found 2" in refused(packed((NAME, ROWS), ("other.csv", ROWS)))


@pytest.mark.parametrize(
    "name",
    [
        "../" + NAME,
        "/" + NAME,
        "/etc/passwd",
        "a/" + NAME,
        "..\\" + NAME,
        "C:\\" + NAME,
        NAME.lower(),
        NAME + "\n",
        "a\0b",
    ],
)
def test_a_member_of_another_name_is_refused_wherever_it_would_lead(name: str) -> None:
    assert f"expected the file {NAME} in the zip" in refused(
        packed((NAME[:1] * len(name), ROWS)).replace((NAME[:1] * len(name)).encode(), name.encode())
    )


def test_a_name_that_only_its_cleaned_form_equals_is_refused() -> None:
    held, asked = "a\0b.csv", "a"
    body = packed(("aXb.csv", ROWS)).replace(b"aXb.csv", held.encode())
    assert "expected the file a in the zip" in refused(body, asked)


def test_a_local_header_that_names_another_file_is_refused() -> None:
    body = packed((NAME, ROWS)).replace(NAME.encode(), b"../" + NAME.encode()[3:], 1)
    assert "expected the header" in refused(body)


def test_a_member_that_does_not_start_where_the_directory_says_is_refused() -> None:
    assert "expected the header" in refused(packed((NAME, ROWS)).replace(b"PK\x03\x04", b"PK\x03\x05"))


def test_an_encrypted_member_is_refused() -> None:
    assert "password" in refused(with_directory(packed((NAME, ROWS)), 8, struct.pack("<H", 1)))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_the_archive_does_not_use_is_refused(method: int) -> None:
    # LZMA's window is as large as the file says: up to 4 GiB.
    assert f"compression method {method}" in refused(packed((NAME, ROWS), method=method))
    assert "compression method 99" in refused(with_directory(packed((NAME, ROWS)), 10, struct.pack("<H", 99)))


def test_a_wrong_crc_is_refused() -> None:
    assert "CRC-32 00000000" in refused(with_directory(packed((NAME, ROWS)), 16, bytes(4)))


def test_a_declared_size_of_2_gib_is_refused_before_anything_is_unpacked() -> None:
    body = with_size(packed((NAME, ROWS)), 2 * GIB)
    assert f"at most {MAX_CSV_BYTES} bytes of CSV, found {2 * GIB} declared" in refused(body)
    assert peak(body) < 1_000_000
    assert str(MAX_CSV_BYTES + 1) in refused(with_size(body, MAX_CSV_BYTES + 1))


def zeros(size: int) -> bytes:
    """A deflate stream of `size` zero bytes, a whole number of MiB: one flushed block over and over."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = stream.compress(bytes(1024**2)) + stream.flush(zlib.Z_FULL_FLUSH)
    return block * (size // 1024**2) + stream.flush()


def zip_of_stream(stream: bytes, size: int, crc: int) -> bytes:
    """A zip whose one member says `size` and `crc` of the deflate stream that it holds."""
    name = NAME.encode()
    fields = struct.pack("<HHHHHIIIHH", 20, 0, zipfile.ZIP_DEFLATED, 0, 0x21, crc, len(stream), size, len(name), 0)
    local = b"PK\x03\x04" + fields + name
    directory = b"PK\x01\x02" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    start = len(local) + len(stream)
    return local + stream + directory + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), start, 0)


def test_a_real_csv_of_2_gib_is_refused_whatever_size_it_declares() -> None:
    stream = zeros(2 * GIB)
    assert len(stream) < MAX_ZIP_BYTES
    assert "declared" in refused(zip_of_stream(stream, 2 * GIB, 0))
    # The stream says its size to nobody but the one who unpacks it; the CRC is right for what would be kept.
    for size in (31, 1_000_000, MAX_CSV_BYTES):
        body = zip_of_stream(stream, size, zlib.crc32(bytes(size)))
        assert f"expected {size} bytes of CSV, as the zip declares, found more" in refused(body)
    assert peak(body) < 3 * MAX_CSV_BYTES


def test_a_stream_that_ends_early_or_goes_on_is_refused() -> None:
    stream = zeros(1024**2)
    crc = zlib.crc32(bytes(1024**2))
    assert read_member(zip_of_stream(stream, 1024**2, crc), NAME, "x.zip") == bytes(1024**2)
    refused(zip_of_stream(stream, 1024**2 + 1, zlib.crc32(bytes(1024**2 + 1))))
    refused(zip_of_stream(stream[:-1], 1024**2, crc))
    refused(zip_of_stream(stream + b"\0", 1024**2, crc))


def test_a_zip_above_the_limit_is_refused_unread() -> None:
    assert f"{MAX_ZIP_BYTES + 1} bytes" in refused(bytes(MAX_ZIP_BYTES + 1))


def test_a_directory_of_very_many_entries_costs_nothing() -> None:
    directory = packed((NAME, ROWS))
    one = directory[directory.index(b"PK\x01\x02") : directory.index(b"PK\x05\x06")]
    body = one * 100_000 + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 65535, 65535, len(one) * 100_000, 0, 0)
    assert "one file" in refused(body)
    assert peak(body) < 1_000_000


@pytest.mark.parametrize("ending", ["\n", "", "\r\n"])
@pytest.mark.parametrize("name", ["BTCUSDT-1d-2023-05.zip", "币安人生USDT-1d-2025-10.zip"])
def test_a_checksum_file_gives_the_digest_of_its_zip(name: str, ending: str) -> None:
    digest = hashlib.sha256(ROWS).hexdigest()
    assert parse_checksum(f"{digest}  {name}{ending}".encode(), name, "x") == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{digest}",
        "{digest}\n",
        "{digest}  other.zip\n",
        "{digest}  ../x.zip\n",
        "{digest} x.zip\n",
        "{digest}  x.zip\n\n",
        "{digest}  x.zip\n{digest}  y.zip\n",
        " {digest}  x.zip\n",
        "{digest}0  x.zip\n",
        "{digest:.63}  x.zip\n",
        "{digest:.63}g  x.zip\n",
        "{digest:.63}٣  x.zip\n",
        "<html>404</html>",
        "{digest}  x.zip" + "p" * 10_000,
    ],
)
def test_any_other_text_is_no_checksum(text: str) -> None:
    digest = hashlib.sha256(ROWS).hexdigest()
    with pytest.raises(ArchiveError, match=r"^x: expected 64 hex digits, two spaces and x\.zip, found .*$"):
        parse_checksum(text.format(digest=digest).encode(), "x.zip", "x")
