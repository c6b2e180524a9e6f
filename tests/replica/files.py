"""The bytes of a zip and of its CHECKSUM."""

import io
import zipfile
from hashlib import md5, sha256


def zipped(member: str, text: str | bytes) -> bytes:
    """One CSV file in a zip, the same bytes whenever it is made."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        about = zipfile.ZipInfo(member, date_time=(2024, 1, 1, 0, 0, 0))
        archive.writestr(about, text, zipfile.ZIP_DEFLATED)
    return body.getvalue()


def checksum(body: bytes, key: str) -> bytes:
    """What the CHECKSUM file beside `key` says."""
    return f"{sha256(body).hexdigest()}  {key.rpartition('/')[2]}\n".encode()


def md5_of(body: bytes) -> str:
    return md5(body, usedforsecurity=False).hexdigest()
