from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleevegraph.errors import ArchiveError
from sleevegraph.market_data.listing import ListedObject, ListingPage, parse_listing

FOLDER = "data/spot/monthly/klines/"
ETAG = "8a1f" * 8


def entry(key: str, size: object = 1234, etag: str = f"&quot;{ETAG}&quot;") -> str:
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>2023-06-01T08:30:15.250Z</LastModified><ETag>{etag}</ETag>"
        f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def folder(prefix: str) -> str:
    return f"<CommonPrefixes><Prefix>{escape(prefix)}</Prefix></CommonPrefixes>"


def page(*entries: str, truncated: str = "false", more: str = "", marker: str = "") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>data.binance.vision</Name><Prefix>{FOLDER}</Prefix><Marker>{escape(marker)}</Marker>{more}"
        f"<MaxKeys>1000</MaxKeys><IsTruncated>{truncated}</IsTruncated>{''.join(entries)}</ListBucketResult>"
    ).encode()


def refused(text: bytes) -> str:
    with pytest.raises(ArchiveError) as error:
        parse_listing(text, "page 3 of data/spot")
    assert "\n" not in str(error.value)
    assert "page 3 of data/spot" in str(error.value)
    return str(error.value)


def test_an_object_has_its_size_and_its_tag_without_quotes() -> None:
    key = f"{FOLDER}BTCUSDT/1d/BTCUSDT-1d-2023-05.zip"
    assert parse_listing(page(entry(key)), "x") == ListingPage([], [ListedObject(key, 1234, ETAG)], None)


def test_folders_are_common_prefixes_and_the_prefix_asked_for_is_none_of_them() -> None:
    found = parse_listing(page(folder(f"{FOLDER}A&BUSDT/"), folder(f"{FOLDER}币安人生USDT/")), "x")
    assert found == ListingPage([f"{FOLDER}A&BUSDT/", f"{FOLDER}币安人生USDT/"], [], None)


def test_a_page_without_entries_is_a_last_page() -> None:
    assert parse_listing(page(), "x") == ListingPage([], [], None)


def test_the_marker_is_the_one_named_with_a_delimiter_and_the_last_key_without() -> None:
    named = page(folder("a/"), truncated="true", more="<NextMarker>a/</NextMarker>")
    assert parse_listing(named, "x").next_marker == "a/"
    assert parse_listing(page(entry("a"), entry("b"), truncated="true"), "x").next_marker == "b"
    assert parse_listing(page(entry("b"), folder("a/"), folder("c/"), truncated="true"), "x").next_marker == "c/"
    assert parse_listing(page(entry("d"), folder("c/"), truncated="true"), "x").next_marker == "d"


def test_the_continuation_token_of_version_2_is_the_marker() -> None:
    named = "<NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken>"
    found = parse_listing(page(entry("zzz"), truncated="true", more=named), "x")
    assert found.next_marker == "1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM="


def test_a_last_page_has_no_marker_whatever_it_names() -> None:
    assert parse_listing(page(entry("a"), more="<NextMarker>a</NextMarker>"), "x").next_marker is None


def test_a_page_that_leads_back_is_refused() -> None:
    assert "beyond 'b'" in refused(page(entry("a"), entry("b"), truncated="true", marker="b"))
    assert "beyond ''" in refused(page(truncated="true"))
    # U+FFFD sorts below U+10000 as code points and as UTF-8, unlike as UTF-16.
    assert parse_listing(page(entry("\U00010000"), truncated="true", marker="\ufffd"), "x").next_marker == "\U00010000"


def test_a_page_cut_anywhere_is_refused() -> None:
    whole = page(folder("a/"), entry("b"), truncated="true")
    for length in range(len(whole)):
        refused(whole[:length])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"", "XML"),
        (b"\x00\xff\xfe", "XML"),
        (b"<html><body><h1>502 Bad Gateway</h1></body></html>", "'html'"),
        (b"<!DOCTYPE html><html></html>", "'<!'"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "'Error'"),
        (b"<ListBucketResult/>", "IsTruncated"),
        (page(truncated="maybe"), "maybe"),
        (page(truncated=""), "IsTruncated"),
        (page(entry("a", size=-1)), "'-1'"),
        (page(entry("a", size="1e3")), "'1e3'"),
        (page(entry("a", size="")), "size ''"),
        (page(entry("a", size="٣")), "'٣'"),
        (page(entry("")), "key ''"),
        (page("<Contents><Key>a</Key></Contents>"), "Size"),
        (page("<CommonPrefixes></CommonPrefixes>"), "Prefix"),
        (page(folder("")), "Prefix"),
    ],
)
def test_a_page_that_is_no_listing_is_refused_and_what_is_wrong_is_named(text: bytes, named: str) -> None:
    assert named in refused(text)


def test_declarations_are_refused_in_every_encoding() -> None:
    lol = '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    body = "<ListBucketResult><IsTruncated>false</IsTruncated>&b;</ListBucketResult>"
    assert "'<!'" in refused((lol + body).encode())
    for encoding in ("utf-16", "utf-16-be", "cp037"):
        refused(f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + (lol + body).encode(encoding))
        refused(f'<?xml version="1.0" encoding="{encoding}"?>{lol}{body}'.encode(encoding))


texts = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1, max_size=30
)


@settings(max_examples=50)
@given(st.lists(st.tuples(texts, st.integers(0, 2**63)), max_size=5), st.lists(texts, max_size=5))
def test_names_of_any_script_and_sizes_read_back(objects: list[tuple[str, int]], prefixes: list[str]) -> None:
    found = parse_listing(page(*(entry(key, size) for key, size in objects), *map(folder, prefixes)), "x")
    assert [(o.key, o.size) for o in found.objects] == objects
    assert found.prefixes == prefixes
