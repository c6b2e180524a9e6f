"""Pages of an S3 bucket's listing (ListObjects; version 2's continuation token is read, too)."""

from dataclasses import dataclass

# The parser of the standard library expands entities without bound; pages that declare any never reach it.
from xml.etree import ElementTree as ET

from sleevegraph.errors import ArchiveError

_ROOT = "ListBucketResult"


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One object: its size in bytes and its entity tag without quotes."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class ListingPage:
    """Common prefixes and objects in the bucket's order; `next_marker` is None on the last page."""

    prefixes: list[str]
    objects: list[ListedObject]
    next_marker: str | None


def parse_listing(page: bytes, where: str) -> ListingPage:
    """Read one page of a listing.

    S3 names the next marker only where a delimiter was asked for; without it the marker is the greatest key or
    prefix of the page.

    Raises
    ------
    ArchiveError
        `page`, named `where`, is not a whole ListBucketResult, or would lead back to itself.
    """
    root = _root(page, where)
    namespace = root.tag.removesuffix(_ROOT)
    try:
        prefixes = [_text(e, namespace, "Prefix") for e in root.iterfind(f"{namespace}CommonPrefixes")]
        tags = tuple(namespace + name for name in ("Key", "Size", "ETag"))
        objects = [_listed(e, tags) for e in root.iterfind(f"{namespace}Contents")]
        truncated = {"true": True, "false": False}[_text(root, namespace, "IsTruncated")]
    except (KeyError, ValueError) as error:
        raise ArchiveError(
            f"{where}: expected a listing with a prefix or a key, a size and an entity tag of each entry, "
            f"found another ({error}); ask again"
        ) from None
    marker = _next_marker(root, namespace, prefixes, objects, where) if truncated else None
    return ListingPage(prefixes, objects, marker)


def _root(page: bytes, where: str) -> ET.Element:
    try:
        # As text without zero bytes, by which the parser would guess UTF-16, the page has one reading: no encoding
        # can hide a declaration from this test.
        text = page.decode()
        for mark in ("<!", "\0"):
            if mark in text:
                raise ArchiveError(f"{where}: expected a listing without declarations, found {mark!r}; ask again")
        root = ET.fromstring(text)  # noqa: S314 - no DOCTYPE, hence no entities, can be in it # nosec B314
    except (UnicodeDecodeError, ET.ParseError) as error:
        raise ArchiveError(
            f"{where}: expected a listing in XML, found {len(page)} bytes that are none ({error}); ask again"
        ) from None
    if root.tag.rpartition("}")[2] != _ROOT:
        raise ArchiveError(f"{where}: expected a listing ({_ROOT}), found {root.tag[:60]!r}; check the address")
    return root


def _text(element: ET.Element, namespace: str, name: str) -> str:
    found = element.findtext(namespace + name)
    if not found:
        raise ValueError(f"no {name}")
    return found


def _listed(element: ET.Element, tags: tuple[str, ...]) -> ListedObject:
    values = {child.tag: child.text or "" for child in element}
    key, size, etag = [values[tag] for tag in tags]
    if not (key and size.isascii() and size.isdecimal()):
        raise ValueError(f"a key {key[:60]!r} of size {size[:30]!r}")
    return ListedObject(key, int(size), etag.strip('"'))


def _next_marker(root: ET.Element, namespace: str, prefixes: list[str], objects: list[ListedObject], where: str) -> str:
    token = root.findtext(f"{namespace}NextContinuationToken")
    if token:
        return token
    seen = [listed.key for listed in objects[-1:]] + prefixes[-1:]
    marker = root.findtext(f"{namespace}NextMarker") or max(seen, default="")
    asked = root.findtext(f"{namespace}Marker") or ""
    # Code points sort as their UTF-8 bytes do, which is the bucket's order.
    if marker <= asked:
        raise ArchiveError(
            f"{where}: expected a truncated page to lead beyond {asked!r}, found the marker {marker!r}; ask again"
        )
    return marker
