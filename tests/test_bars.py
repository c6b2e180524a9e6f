import unicodedata
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleevegraph.bars import BAR_SCHEMA, canonical_bars, merge_bars, validate_bars
from sleevegraph.errors import BarsError
from tests.shared import SHARED, needs_shared

DAY = date(2021, 4, 5)


def raw(symbols: tuple[str, ...] = ("AAAUSDT", "BBBUSDT"), days: int = 3) -> pl.DataFrame:
    """Foreign bars: no prefix, no base, no quote volume, one column nobody asked for."""
    rows = [
        {
            "symbol": symbol,
            "date": DAY + timedelta(days=i),
            "open": 1.0 + i,
            "high": 3.0 + i,
            "low": 0.5 + i,
            "close": 2.0 + i,
            "volume": 10.0,
            "n_hours": 24,
        }
        for symbol in symbols
        for i in range(days)
    ]
    return pl.DataFrame(rows)


def bars(**changes: list[object]) -> pl.DataFrame:
    return canonical_bars(raw(), "x.csv").with_columns(pl.Series(k, v, BAR_SCHEMA[k]) for k, v in changes.items())


def refused(frame: pl.DataFrame) -> str:
    with pytest.raises(BarsError) as error:
        validate_bars(frame, "x.csv")
    assert "\n" not in str(error.value)
    return str(error.value)


def not_canonical(frame: pl.DataFrame, **kwargs: tuple[str, ...]) -> str:
    with pytest.raises(BarsError) as error:
        canonical_bars(frame, "x.csv", **kwargs)
    assert "\n" not in str(error.value)
    assert "x.csv" in str(error.value)
    return str(error.value)


def with_cell(column: str, row: int, value: object) -> pl.DataFrame:
    frame = bars()
    cells = frame[column].to_list()
    cells[row] = value
    return frame.with_columns(pl.Series(column, cells, BAR_SCHEMA[column], strict=False))


def test_canonical_bars_have_the_schema_the_prefix_and_a_derived_quote_volume() -> None:
    result = canonical_bars(raw(("BBBUSDT", "KRAKEN:XEUR")), "x.csv")
    assert result.schema == BAR_SCHEMA
    assert result["symbol"].unique(maintain_order=True).to_list() == ["BINANCE:BBBUSDT", "KRAKEN:XEUR"]
    assert result.select("base", "quote").unique(maintain_order=True).rows() == [("BBB", "USDT"), ("X", "EUR")]
    assert result["quote_volume"].to_list() == [20.0, 30.0, 40.0] * 2
    assert result["quote_volume_derived"].all()


def test_a_given_quote_volume_is_kept_and_only_the_absent_one_is_derived() -> None:
    result = canonical_bars(raw(("AAAUSDT",)).with_columns(quote_volume=pl.Series([7.0, None, 9.0])), "x.csv")
    assert result["quote_volume"].to_list() == [7.0, 30.0, 9.0]
    assert result["quote_volume_derived"].to_list() == [False, True, False]


def test_canonical_bars_are_canonical_again_with_the_derived_mark_kept() -> None:
    once = canonical_bars(raw(), "x.csv")
    assert canonical_bars(once, "x.csv").equals(once)


def test_exchange_metadata_is_believed_over_the_ticker() -> None:
    frame = raw(("ADAEUR",)).with_columns(base=pl.lit("ADA"), quote=pl.lit("EUR"))
    assert canonical_bars(frame, "x.csv").select("base", "quote").row(0) == ("ADA", "EUR")


@pytest.mark.parametrize("symbol", ["AAAXYZ", "USDT", "aaausdt"])
def test_a_symbol_without_a_known_quote_is_refused(symbol: str) -> None:
    message = not_canonical(raw((symbol,)))
    assert f"BINANCE:{symbol}: symbol: expected a base followed by one known quote" in message
    assert "found none; add columns base and quote" in message


def test_a_symbol_with_two_readings_is_refused_rather_than_cut() -> None:
    assert "BINANCE:ADAEUR: symbol: expected" in not_canonical(raw(("ADAEUR",)))
    assert "found AEUR or EUR" in not_canonical(raw(("ADAEUR",)))
    assert canonical_bars(raw(("ADAEUR",)), "x.csv", quotes=("EUR",))["base"][0] == "ADA"


@needs_shared
def test_tickers_read_as_the_exchange_lists_them_or_are_refused() -> None:
    ambiguous = ["ADAEUR", "EURAEUR", "GALAEUR"]
    listed = pl.read_parquet(SHARED / "market" / "spot_symbols.parquet").sort("symbol")
    for symbol in ambiguous:
        assert f"{symbol}: symbol: expected a base followed by one known quote" in not_canonical(raw((symbol,)))
    clear = listed.filter(~pl.col("symbol").is_in(ambiguous))
    read = canonical_bars(raw(tuple(clear["symbol"]), days=1), "x.csv")
    assert read.select("base", "quote").rows() == clear.select("base_asset", "quote_asset").rows()


@needs_shared
def test_recorded_bars_keep_the_contract_and_every_value() -> None:
    recorded = pl.read_parquet(SHARED / "market" / "spot_daily.parquet")
    result = canonical_bars(recorded, "spot_daily.parquet")
    assert result.height == recorded.height
    kept = result.select(
        pl.col("symbol").str.strip_prefix("BINANCE:"), "date", "open", "high", "low", "close", "volume"
    )
    assert kept.equals(recorded.select(kept.columns).sort("symbol", "date"))


@pytest.mark.parametrize("column", list(BAR_SCHEMA))
def test_a_missing_column_is_named(column: str) -> None:
    message = refused(bars().drop(column))
    assert message.startswith(f"x.csv: {column}: expected a column of that name, found ")
    if column in {"symbol", "date", "open", "high", "low", "close", "volume"}:
        assert f"{column}: expected a column of that name" in not_canonical(raw().drop(column))


@pytest.mark.parametrize(("column", "kind"), [("close", pl.Float32), ("date", pl.String), ("symbol", pl.Categorical)])
def test_a_wrong_type_is_named_with_what_was_found(column: str, kind: type[pl.DataType]) -> None:
    message = refused(bars().with_columns(pl.col(column).cast(kind)))
    assert f"{column}: expected type {BAR_SCHEMA[column]}, found {kind}" in message


def test_text_where_numbers_belong_is_refused() -> None:
    assert "volume: expected numbers, found type String" in not_canonical(raw().with_columns(volume=pl.lit("1")))


def test_a_symbol_that_is_no_text_is_refused() -> None:
    assert "symbol: expected text, found Int64" in not_canonical(raw().with_columns(symbol=pl.lit(1, pl.Int64)))


@pytest.mark.parametrize("column", ["open", "high", "low", "close"])
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), 0.0, -1.0])
def test_a_price_that_is_no_price_is_refused_at_its_row(column: str, value: object) -> None:
    message = refused(with_cell(column, 4, value))
    assert message.startswith(
        f"x.csv: BINANCE:BBBUSDT 2021-04-06: {column}: expected a finite price > 0, found {value};"
    )


@pytest.mark.parametrize("column", ["volume", "quote_volume"])
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -0.1])
def test_a_volume_that_is_no_volume_is_refused_at_its_row(column: str, value: object) -> None:
    message = refused(with_cell(column, 0, value))
    assert message.startswith(
        f"x.csv: BINANCE:AAAUSDT 2021-04-05: {column}: expected a finite volume >= 0, found {value};"
    )


def test_the_first_offender_is_named_and_a_day_without_trades_is_none() -> None:
    frame = with_cell("volume", 0, 0.0)
    validate_bars(frame, "x.csv")
    both = frame.with_columns(close=pl.Series([2.0, 3.0, 4.0, 2.0, -1.0, -2.0]), high=pl.Series([3.0] * 5 + [None]))
    assert "BINANCE:BBBUSDT 2021-04-06: close: expected a finite price > 0, found -1.0" in refused(both)


@pytest.mark.parametrize("column", ["date", "quote_volume_derived"])
def test_an_absent_date_or_mark_is_refused(column: str) -> None:
    assert f"{column}: expected" in refused(with_cell(column, 2, None))
    assert "found None" in refused(with_cell(column, 2, None))


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("symbol", "BTCUSDT", "EXCHANGE:TICKER, found 'BTCUSDT'"),
        ("symbol", None, "EXCHANGE:TICKER, found None"),
        ("base", "AAA/", "letters and digits, found 'AAA/'"),
        ("quote", None, "letters and digits, found None"),
        ("symbol", "BINANCE:\u093fUSDT", "EXCHANGE:TICKER"),
        ("base", "\u093f", "letters and digits"),
    ],
)
def test_a_broken_name_is_refused(column: str, value: object, expected: str) -> None:
    assert f"{column}: expected {expected}" in refused(with_cell(column, 0, value))


@pytest.mark.parametrize("base", ["हिंदी", "தமிழ்", "ไม่ใช่", "币安人生"])
def test_a_ticker_of_any_script_is_a_name(base: str) -> None:
    assert all(unicodedata.category(c)[0] in "LM" for c in base)
    assert canonical_bars(raw((f"{base}USDT",)), "x.csv")["base"].unique().to_list() == [base]


def test_one_symbol_has_one_base_and_quote() -> None:
    message = refused(with_cell("base", 1, "ZZZ"))
    assert "BINANCE:AAAUSDT: base, quote: expected one pair per symbol, found AAA/USDT and ZZZ/USDT" in message


def test_a_repeated_bar_is_refused() -> None:
    frame = bars()
    assert "BINANCE:AAAUSDT 2021-04-06: date: expected one bar a day, found several" in refused(
        pl.concat([frame, frame.slice(1, 1)])
    )


def test_dates_that_run_backwards_are_refused_in_file_order() -> None:
    unordered = raw().sort("symbol", "date", descending=[False, True])
    assert "BINANCE:AAAUSDT 2021-04-06: date: expected a later date than the row before" in not_canonical(unordered)


def test_symbols_may_interleave() -> None:
    assert canonical_bars(raw().sort("date", "symbol"), "x.csv").equals(canonical_bars(raw(), "x.csv"))


def test_the_order_of_open_high_low_close_is_left_to_the_gate() -> None:
    validate_bars(with_cell("low", 0, 99.0), "x.csv")


@pytest.mark.parametrize(
    "text", ["2021-04-05", "2021-04-05T00:00:00Z", "2021-04-05 00:00:00+00:00", "2021-04-05T00:00:00.000Z"]
)
def test_iso_days_and_utc_midnights_are_dates(text: str) -> None:
    assert canonical_bars(raw(days=1).with_columns(date=pl.lit(text)), "x.csv")["date"].to_list() == [DAY, DAY]


@pytest.mark.parametrize(
    "text",
    [
        "2021-04-05T00:00:00",
        "2021-04-05T00:00:00+02:00",
        "2021-04-05T08:00:00Z",
        "05/04/2021",
        "2021-02-30",
        "1617580800",
    ],
)
def test_text_that_is_no_utc_day_is_refused_as_found(text: str) -> None:
    message = not_canonical(raw(days=1).with_columns(date=pl.lit(text)))
    assert (
        f"AAAUSDT: date: expected an ISO date such as 2021-04-05, or its midnight with Z or +00:00, found '{text}'"
        in message
    )


def test_utc_midnight_timestamps_are_dates() -> None:
    frame = raw(days=1).with_columns(date=pl.lit(datetime(2021, 4, 5, tzinfo=UTC)))
    assert canonical_bars(frame, "x.csv")["date"].to_list() == [DAY, DAY]


@pytest.mark.parametrize(
    ("dates", "found"),
    [
        (pl.lit(datetime(2021, 4, 5)), "found a timestamp without a time zone; convert to UTC"),  # noqa: DTZ001 - the defect
        (
            pl.lit(datetime(2021, 4, 5, tzinfo=UTC)).dt.convert_time_zone("Asia/Tokyo"),
            "found time zone Asia/Tokyo; convert to UTC",
        ),
        (
            pl.lit(datetime(2021, 4, 5, 8, tzinfo=UTC)),
            "AAAUSDT: date: expected midnight UTC, one bar a day, found '2021",
        ),
        (pl.lit(1_617_580_800_000), "date: expected dates or UTC timestamps, found type Int64"),
    ],
)
def test_a_timestamp_that_could_be_another_day_is_refused(dates: pl.Expr, found: str) -> None:
    assert found in not_canonical(raw(days=1).with_columns(date=dates))


def test_merge_counts_what_it_added_revised_and_left() -> None:
    stored = bars()
    incoming = pl.concat(
        [stored.slice(0, 1), with_cell("close", 1, 2.5).slice(1, 1), with_cell("close", 5, 9.0).slice(5)]
    )
    later = canonical_bars(raw(("CCCUSDT",), days=2), "y.csv")
    merged, report = merge_bars(stored, pl.concat([incoming, later]))
    assert (report.added, report.revised, report.unchanged) == (2, 2, 1)
    assert report.first_revised == date(2021, 4, 6)
    assert merged["close"].to_list() == [2.0, 2.5, 4.0, 2.0, 3.0, 9.0, 2.0, 3.0]


def test_merge_into_nothing_adds_all_and_merging_again_changes_nothing() -> None:
    merged, report = merge_bars(bars().clear(), bars())
    assert report.added == 6
    again, second = merge_bars(merged, bars())
    assert again.equals(merged)
    assert (second.added, second.revised, second.unchanged, second.first_revised) == (0, 0, 6, None)


KEYS = st.tuples(st.sampled_from(["AAAUSDT", "BBBUSDT", "CCCUSDT"]), st.integers(0, 5))
BOOKS = st.dictionaries(KEYS, st.sampled_from([1.0, 2.0, 3.0]), max_size=12)


def book(cells: dict[tuple[str, int], float]) -> pl.DataFrame:
    rows = [
        {"symbol": s, "date": DAY + timedelta(days=i), "volume": 1.0}
        | dict.fromkeys(("open", "high", "low", "close"), v)
        for (s, i), v in sorted(cells.items())
    ]
    return canonical_bars(pl.DataFrame(rows), "book") if rows else pl.DataFrame(schema=BAR_SCHEMA)


@given(stored=BOOKS, incoming=BOOKS)
def test_merge_is_what_a_dictionary_update_is(
    stored: dict[tuple[str, int], float], incoming: dict[tuple[str, int], float]
) -> None:
    merged, report = merge_bars(book(stored), book(incoming))
    assert merged.equals(book(stored | incoming))
    revised = [day for (s, day), v in incoming.items() if stored.get((s, day), v) != v]
    assert report.revised == len(revised)
    assert report.added == len(incoming.keys() - stored.keys())
    assert report.added + report.revised + report.unchanged == len(incoming)
    assert report.first_revised == (DAY + timedelta(days=min(revised)) if revised else None)
