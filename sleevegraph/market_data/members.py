"""The one CSV in a zip that is held in memory, and the text of its checksum. Nothing is written to a disk.

The archive's own files are far below both limits: the longest, a month of quarter-hours, has 0.4 MB of CSV.
"""

import io
import re
import struct
import zipfile
import zlib
from typing import Final

from sleevegraph.errors import ArchiveError

MAX_ZIP_BYTES: Final = 16 * 1024 * 1024
"""A zip above this is refused unread."""

MAX_CSV_BYTES: Final = 64 * 1024 * 1024
"""A CSV above this is refused: by the size that the zip declares, and never unpacked beyond it whatever it holds."""

_LOCAL = b"PK\x03\x04"
_ENTRY = b"PK\x01\x02"
_MANY_ENTRIES = 64
_ENCRYPTED = 0x1
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature, and the lengths of the name and of the extra field that stand between the header and the data."""

_CHECKSUM = re.compile(r"([0-9a-f]{64})  (.+?)\r?\n?")


def read_member(body: bytes, name: str, where: str) -> bytes:
    """Unpack the CSV `name` from the zip `body`, whose length and CRC it must have.

    Raises
    ------
    ArchiveError
        `body`, named `where`, is not a zip of exactly that file in plain or deflated form, is damaged, or is larger
        than MAX_ZIP_BYTES or MAX_CSV_BYTES.
    """
    if len(body) > MAX_ZIP_BYTES:
        raise _refused(where, f"a zip of at most {MAX_ZIP_BYTES} bytes", f"{len(body)} bytes")
    # A directory of a million entries would cost far more memory than its bytes, before any could be counted.
    if body.count(_ENTRY) > _MANY_ENTRIES:
        raise _refused(where, "one file in the zip", f"more than {_MANY_ENTRIES}")
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            info = _only_member(archive, name, where)
        content = _unpacked(body, info, where)
    except (zipfile.BadZipFile, zlib.error, struct.error, OSError, ValueError, NotImplementedError) as error:
        raise _refused(where, "a whole zip", f"{len(body)} bytes that are none ({error})") from None
    if zlib.crc32(content) != info.CRC:
        raise _refused(where, f"the CRC-32 {info.CRC:08x} of the zip", f"{zlib.crc32(content):08x}")
    return content


def parse_checksum(text: bytes, name: str, where: str) -> str:
    """The SHA-256, 64 hex digits in lower case, that a CHECKSUM file gives for `name`; ArchiveError if it gives none."""
    found = text[: len(name) * 4 + 80].decode(errors="replace")
    match = _CHECKSUM.fullmatch(found)
    if match is None or match[2] != name:
        raise _refused(where, f"64 hex digits, two spaces and {name}", repr(found[:120]))
    return match[1]


def _only_member(archive: zipfile.ZipFile, name: str, where: str) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1:
        raise _refused(where, "one file in the zip", str(len(members)))
    info = members[0]
    # orig_filename: zipfile turns backslashes and what follows a zero byte into something harmless, which hides them.
    if info.orig_filename != name or info.filename != name:
        raise _refused(where, f"the file {name} in the zip", repr(info.orig_filename[:120]))
    if info.flag_bits & _ENCRYPTED:
        raise _refused(where, "a file without a password", "an encrypted one")
    if info.compress_type not in _METHODS:
        raise _refused(where, "a stored or deflated file", f"compression method {info.compress_type}")
    if info.file_size > MAX_CSV_BYTES:
        raise _refused(where, f"at most {MAX_CSV_BYTES} bytes of CSV", f"{info.file_size} declared")
    return info


def _unpacked(body: bytes, info: zipfile.ZipInfo, where: str) -> bytes:
    """Unpack without zipfile, which would cut a stream that is longer than declared and not say so."""
    signature, name_length, extra_length = _LOCAL_HEADER.unpack_from(body, info.header_offset)
    name_start = info.header_offset + _LOCAL_HEADER.size
    start = name_start + name_length + extra_length
    packed = memoryview(body)[start : start + info.compress_size]
    local_name = body[name_start : name_start + name_length]
    if signature != _LOCAL or local_name.decode(errors="replace") != info.filename:
        raise _refused(where, f"the header of {info.filename} where the zip says", repr(local_name[:120]))
    if info.compress_type == zipfile.ZIP_STORED:
        content, whole = bytes(packed), True
    else:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        content = stream.decompress(packed, info.file_size + 1)
        whole = stream.eof and not stream.unused_data
    if not whole or len(packed) != info.compress_size or len(content) != info.file_size:
        found = "more" if len(content) > info.file_size else f"{len(content)} and no clean end"
        raise _refused(where, f"{info.file_size} bytes of CSV, as the zip declares", found)
    return content


def _refused(where: str, expected: str, found: str) -> ArchiveError:
    return ArchiveError(f"{where}: expected {expected}, found {found}; fetch it again")
