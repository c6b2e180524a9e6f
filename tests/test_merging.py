"""The union of files against a dictionary that is filled file by file, and the laws that any order has to keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sleevegraph.market_data.merging import Merged, merge
from sleevegraph.market_data.planning import SOURCES
from tests.listed_files import file_of, keys, stored

SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "open_time": pl.Datetime("us", "UTC"),
        "close": pl.Float64(),
        "trades": pl.Int64(),
        "source": pl.UInt32(),
    }
)
MONTH, FIRST = "2025-01", date(2025, 1, 1)
Bars = dict[tuple[str, datetime], tuple[float | None, int]]


@dataclass(frozen=True)
class File:
    """A version of a file: its short name and its bars by day of the month."""

    name: str
    bars: Mapping[int, tuple[float | None, int]] = field(hash=False)
    version: str = "1"

    @property
    def symbol(self) -> str:
        return self.name.split()[0]

    def rows(self) -> Bars:
        start = datetime(2025, 1, 1, tzinfo=UTC)
        return {(self.symbol, start + timedelta(days=day - 1)): values for day, values in self.bars.items()}


def tables(files: Sequence[File]) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = [(*at, *values, i) for i, file in enumerate(files) for at, values in file.rows().items()]
    sources = [stored(file.name, sha256=file.version) for file in files]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row"), pl.concat([SOURCES.to_frame(), *sources])


def put(before: Merged | None, files: Sequence[File]) -> Merged:
    known = (before.rows, before.sources) if before else (SCHEMA.to_frame(), SOURCES.to_frame())
    return merge(known, tables(files), "open_time")


def bars_of(rows: pl.DataFrame) -> Bars:
    return {(symbol, time): (close, trades) for symbol, time, close, trades, _ in rows.rows()}


def same(one: Merged, other: Merged) -> bool:
    return one.rows.equals(other.rows) and one.sources.equals(other.sources)


def expected(files: Sequence[File]) -> Bars:
    """Daily files first, monthly ones over them."""
    union: Bars = {}
    for file in sorted(files, key=lambda file: len(file.name.split()[1]), reverse=True):
        union.update(file.rows())
    return union


values = st.tuples(st.sampled_from([None, 1.0, -0.0, 0.0, 2.5]), st.integers(0, 3))


@st.composite
def some_files(draw: st.DrawFn) -> list[File]:
    """A month of two symbols at most, and days of it, each with its own idea of what a bar was."""
    files = []
    for symbol in ("A", "B"):
        if draw(st.booleans()):
            files.append(File(f"{symbol} {MONTH}", draw(st.dictionaries(st.integers(1, 6), values, min_size=1))))
        days = draw(st.dictionaries(st.integers(1, 6), values))
        files += [File(f"{symbol} {MONTH}-{day:02d}", {day: bar}) for day, bar in days.items()]
    return draw(st.permutations(files))


@settings(max_examples=80, deadline=None)
@given(some_files())
def test_the_union_holds_each_bar_once_and_a_month_outranks_its_days(files: list[File]) -> None:
    made = put(None, files)
    assert bars_of(made.rows) == expected(files)
    assert made.rows.height == made.added == len(expected(files))
    assert made.rows.select("symbol", "open_time").equals(made.rows.select("symbol", "open_time").sort(pl.all()))
    assert made.rows.schema == SCHEMA
    # Every row points at a file that has this very bar, and every file that is named has a row.
    by_key = {file_of(file.name)["key"]: file.rows() for file in files}
    named = made.sources["key"].to_list()
    for symbol, time, close, trades, source in made.rows.rows():
        assert by_key[named[source]][symbol, time] == (close, trades)
    assert set(made.rows["source"]) == set(range(len(named)))


@settings(max_examples=80, deadline=None)
@given(some_files(), st.data())
def test_any_order_and_any_parts_of_the_files_give_the_same_rows(files: list[File], data: st.DataObject) -> None:
    whole, parts, rest = put(None, files), None, data.draw(st.permutations(files))
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        parts, rest = put(parts, rest[:size]), rest[size:]
    assert parts is None or same(parts, whole)


@settings(max_examples=40, deadline=None)
@given(some_files())
def test_to_merge_the_same_files_again_changes_nothing(files: list[File]) -> None:
    once = put(None, files)
    twice = put(once, files)
    assert same(once, twice)
    assert (twice.added, twice.revised.height) == (0, 0)


@settings(max_examples=80, deadline=None)
@given(some_files(), st.data())
def test_a_restated_file_withdraws_its_own_rows_and_no_others(files: list[File], data: st.DataObject) -> None:
    assume(files)
    before = put(None, files)
    old = data.draw(st.sampled_from(files))
    bars = {day: values for day, values in old.bars.items() if data.draw(st.booleans())}
    new = File(old.name, bars or {min(old.bars): (9.0, 9)}, "2")
    after = put(before, [new])
    of_file = before.sources.with_row_index("source").filter(pl.col("key") == keys(old.name)[0]).select("source")
    untouched = bars_of(before.rows.join(of_file, on="source", how="anti"))
    is_day = len(new.name) > len(f"{new.symbol} {MONTH}")
    left = {at: bar for at, bar in new.rows().items() if not is_day or at not in untouched}
    assert bars_of(after.rows) == {**untouched, **left}
    was_there = keys(old.name)[0] in before.sources["key"].to_list()
    assert after.restated.select("key", "sha256_before", "sha256_after").rows() == (
        [(keys(old.name)[0], "1", "2")] if was_there else []
    )


@settings(max_examples=80, deadline=None)
@given(some_files(), some_files())
def test_what_is_revised_is_the_difference_of_before_and_after(first: list[File], second: list[File]) -> None:
    one = put(None, first)
    two = put(one, [File(file.name, file.bars, "2") for file in second])
    before, after = bars_of(one.rows), bars_of(two.rows)
    old = {(*at, "before", *bar) for at, bar in before.items() if after.get(at) != bar}
    new = {(*at, "after", *after[at]) for at, bar in before.items() if at in after and after[at] != bar}
    assert set(two.revised.rows()) == old | new
    assert two.revised.height == len(old | new)
    assert two.added == len(after.keys() - before.keys())


def test_a_bar_that_a_month_confirms_is_no_revision_and_its_day_gives_way() -> None:
    days = [File(f"A {MONTH}-{day:02d}", {day: (1.0, day)}) for day in (1, 2, 3)]
    made = put(put(None, days), [File(f"A {MONTH}", {1: (1.0, 1), 2: (1.0, 2)})])
    assert made.sources["key"].to_list() == keys(f"A {MONTH}", f"A {MONTH}-03")
    assert (made.revised.height, made.restated.height, made.added) == (0, 0, 0)


def test_an_absent_value_that_appears_is_a_revision() -> None:
    made = put(put(None, [File(f"A {MONTH}", {1: (None, 1)})]), [File(f"A {MONTH}", {1: (2.0, 1)}, "2")])
    assert made.revised["state"].to_list() == ["before", "after"]
    assert made.revised["close"].to_list() == [None, 2.0]
