import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.lines import lines_of
from profiles.load import PROFILES
from profiles.writing import as_toml

TEXT = '''# x = 1
a = 1 # [no.table]
"b.c" = """
x = 1
\\"""" # still the text"""
'd"' = "]"
[t.u]
v.w = [ 1, # y = 2
  2, { p = "#", q.r = [
   3, 4 ] },
]
[[n]]
x = \'\'\'
[n]\'\'\'
[n.s]
z = 2018-01-01 10:00:00
[[n]]
x = 0.5
"\\u0041\\t" = 1
'''


def paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


def test_every_key_table_and_item_has_the_line_it_stands_on() -> None:
    found = lines_of(TEXT)
    assert found == {
        ("a",): 2,
        ("b.c",): 3,
        ('d"',): 6,
        ("t",): 7,
        ("t", "u"): 7,
        ("t", "u", "v"): 8,
        ("t", "u", "v", "w"): 8,
        ("t", "u", "v", "w", 0): 8,
        ("t", "u", "v", "w", 1): 9,
        ("t", "u", "v", "w", 2): 9,
        ("t", "u", "v", "w", 2, "p"): 9,
        ("t", "u", "v", "w", 2, "q"): 9,
        ("t", "u", "v", "w", 2, "q", "r"): 9,
        ("t", "u", "v", "w", 2, "q", "r", 0): 10,
        ("t", "u", "v", "w", 2, "q", "r", 1): 10,
        ("n",): 12,
        ("n", 0): 12,
        ("n", 0, "x"): 13,
        ("n", 0, "s"): 15,
        ("n", 0, "s", "z"): 16,
        ("n", 1): 17,
        ("n", 1, "x"): 18,
        ("n", 1, "A\t"): 19,
    }
    assert set(found) == set(paths(tomllib.loads(TEXT)))


@pytest.mark.parametrize("file", sorted(PROFILES.rglob("*.toml")), ids=lambda file: file.name)
def test_the_shipped_files_have_a_line_for_every_key(file: Any) -> None:
    text = file.read_text()
    assert set(lines_of(text)) == set(paths(tomllib.loads(text)))


SCALARS = st.one_of(st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False), st.text())
TABLES = st.recursive(
    st.dictionaries(st.text(), SCALARS, max_size=4),
    lambda inner: st.dictionaries(
        st.text(), st.one_of(SCALARS, inner, st.lists(st.one_of(SCALARS, inner), max_size=3)), max_size=4
    ),
    max_leaves=12,
)


@given(TABLES)
def test_what_is_written_reads_back_and_every_key_of_it_is_found(data: dict[str, Any]) -> None:
    text = as_toml(data)
    assert tomllib.loads(text) == data
    assert set(lines_of(text)) == set(paths(data))
