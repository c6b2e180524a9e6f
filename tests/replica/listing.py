"""ListObjects of S3, version 1, as its XML."""

from bisect import bisect_left
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from tests.replica.catalogue import Catalogue

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def list_objects(catalogue: Catalogue, query: dict[str, str], page: int, *, stale: bool = False) -> bytes:
    """One page of at most `page` keys and common prefixes together; a stale page lacks its newest keys."""
    prefix, delimiter, marker = (query.get(name, "") for name in ("prefix", "delimiter", "marker"))
    page = min(page, int(query.get("max-keys") or page))
    keys, folders, cut = _page(catalogue, prefix.encode(), delimiter.encode(), marker.encode(), page)
    shown = _without_newest(catalogue, keys) if stale else keys
    after = max([*keys[-1:], *folders[-1:]], default=b"").decode()
    parts = [
        HEAD,
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>data.binance.vision</Name>',
        _tag("Prefix", prefix),
        _tag("Marker", marker),
        _tag("NextMarker", after) if cut and delimiter else "",
        f"<MaxKeys>{page}</MaxKeys>",
        _tag("Delimiter", delimiter) if delimiter else "",
        f"<IsTruncated>{'true' if cut else 'false'}</IsTruncated>",
        *(_contents(catalogue, key.decode()) for key in shown),
        *(f"<CommonPrefixes>{_tag('Prefix', folder.decode())}</CommonPrefixes>" for folder in folders),
        "</ListBucketResult>",
    ]
    return "".join(parts).encode()


def _page(
    catalogue: Catalogue, prefix: bytes, delimiter: bytes, marker: bytes, page: int
) -> tuple[list[bytes], list[bytes], bool]:
    """Keys, common prefixes, and whether more follow."""
    order = catalogue.order()
    at = max(bisect_left(order, prefix), catalogue.after(marker) if marker else 0)
    keys: list[bytes] = []
    folders: list[bytes] = []
    while at < len(order) and order[at].startswith(prefix):
        key = order[at]
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        folder = key[: end + len(delimiter)] if end >= 0 else b""
        given = not folder or folder != marker
        if given and len(keys) + len(folders) == page:
            return keys, folders, True
        if not folder:
            keys.append(key)
            at += 1
            continue
        if given:
            folders.append(folder)
        at = bisect_left(order, folder[:-1] + bytes([folder[-1] + 1]), at)
    return keys, folders, False


def _without_newest(catalogue: Catalogue, keys: list[bytes]) -> list[bytes]:
    written = {key: catalogue.entries[key.decode()].modified for key in keys}
    newest = max(written.values(), default=0)
    return [key for key in keys if written[key] < newest]


def _contents(catalogue: Catalogue, key: str) -> str:
    entry = catalogue.entries[key]
    modified = datetime.fromtimestamp(entry.modified, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Contents>{_tag('Key', key)}<LastModified>{modified}</LastModified><ETag>&quot;{entry.md5}&quot;</ETag>"
        f"<Size>{entry.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _tag(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>" if text else f"<{name}/>"
