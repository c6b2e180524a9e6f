from datetime import date, timedelta

import polars as pl
import pytest

from sleevegraph.readiness.expected_sessions import SCHEMA, expected_sessions
from sleevegraph.readiness.zero_volume import zero_volume

AT = date(2022, 3, 21)
LAST = AT - timedelta(days=1)
Span = tuple[str, date, date, str]
MARCH, MARCH_END = date(2022, 3, 1), date(2022, 3, 31)


def calendar(*spans: Span) -> pl.DataFrame:
    kinds = {"symbol": pl.String(), "first": pl.Date(), "last": pl.Date(), "status": pl.String()}
    return pl.DataFrame(list(spans), schema=kinds, orient="row")


def listings(*rows: tuple[str, date | None, str]) -> pl.DataFrame:
    return pl.DataFrame(
        list(rows), schema={"symbol": pl.String(), "listed": pl.Date(), "status": pl.String()}, orient="row"
    )


def bars(**days: list[int]) -> pl.DataFrame:
    """Bars of March by symbol and day."""
    rows = [(symbol, date(2022, 3, day)) for symbol, there in days.items() for day in there]
    return pl.DataFrame(rows, schema={"symbol": pl.String(), "date": pl.Date()}, orient="row")


EVERY = list(range(1, 21))


def test_who_has_a_bar_on_every_day_of_its_files_misses_nothing() -> None:
    found = expected_sessions(
        calendar(("A", MARCH, MARCH_END, "stored")), listings(("A", None, "TRADING")), bars(A=EVERY), AT
    )
    assert found.schema == SCHEMA
    assert not found.height


@pytest.mark.parametrize("status", ["quarantined", "failed"])
def test_the_days_of_a_file_that_gave_no_rows_are_missing_up_to_the_day_before_the_rebalance(status: str) -> None:
    files = calendar(("A", date(2022, 3, 18), MARCH_END, status), ("A", AT, AT, status))
    found = expected_sessions(files, listings(), bars(A=[18]), AT)
    assert found.rows() == [("A", date(2022, 3, 19), status), ("A", LAST, status)]


def test_a_day_that_another_stored_file_covers_is_not_missing() -> None:
    files = calendar(("A", MARCH, MARCH_END, "failed"), ("A", date(2022, 3, 2), MARCH_END, "stored"))
    assert expected_sessions(files, listings(), bars(A=[]), AT)["date"].to_list() == [MARCH]


def test_a_halt_inside_a_stored_file_is_the_exchanges_own_and_not_missing() -> None:
    files = calendar(("A", MARCH, MARCH_END, "stored"))
    assert not expected_sessions(files, listings(), bars(A=[1, 20]), AT).height


def test_days_before_a_listing_are_not_expected_of_a_months_file() -> None:
    files = calendar(("A", MARCH, MARCH_END, "quarantined"))
    found = expected_sessions(files, listings(("A", date(2022, 3, 19), "TRADING")), bars(A=[]), AT)
    assert found["date"].to_list() == [date(2022, 3, 19), LAST]


@pytest.mark.parametrize(
    ("row", "missing"),
    [
        (("A", None, "TRADING"), True),
        (("A", LAST, "TRADING"), True),
        (("A", AT, "TRADING"), False),
        (("A", None, "BREAK"), False),
        (("NEVERSEEN", None, "TRADING"), False),  # another quote, which this lake does not hold
    ],
)
def test_who_trades_by_the_exchange_has_a_bar_on_the_day_before(
    row: tuple[str, date | None, str], *, missing: bool
) -> None:
    found = expected_sessions(calendar(), listings(row), bars(A=EVERY[:-1], B=EVERY), AT)
    assert found.rows() == ([("A", LAST, "trading")] if missing else [])


def test_a_file_that_was_lost_is_named_before_the_exchanges_status() -> None:
    files = calendar(("A", LAST, LAST, "failed"))
    assert expected_sessions(files, listings(("A", None, "TRADING")), bars(A=[19]), AT).rows() == [
        ("A", LAST, "failed")
    ]


def test_nothing_is_expected_on_a_day_of_outage() -> None:
    files = calendar(("A", date(2022, 3, 19), LAST, "failed"))
    found = expected_sessions(files, listings(("B", None, "TRADING")), bars(B=[19]), AT, {LAST})
    assert found["date"].to_list() == [date(2022, 3, 19)]


def test_days_without_volume_are_counted_by_symbol_the_most_first() -> None:
    quiet = {("A", 3), ("B", 2), ("B", 9), ("B", 4)}
    rows = bars(A=EVERY, B=EVERY, C=EVERY).with_columns(volume=pl.lit(1e-8))
    zero = pl.struct("symbol", pl.col("date").dt.day()).map_elements(
        lambda key: (key["symbol"], key["date"]) in quiet, return_dtype=pl.Boolean
    )
    found = zero_volume(rows.with_columns(volume=pl.when(zero).then(0.0).otherwise("volume")))
    assert found.rows() == [("B", 3, date(2022, 3, 2), date(2022, 3, 9)), ("A", 1, date(2022, 3, 3), date(2022, 3, 3))]
    assert not zero_volume(rows).height
