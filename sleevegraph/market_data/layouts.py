"""What a row of each kind of file holds: its CSV columns, the rules that it keeps, and the stored row made of it.

A frame of rows has the CSV's columns and, of the row's file, `file` (its index), `file_symbol`, `starts` and `ends`
(microseconds since 1970, both inside) and `scale` (microseconds in one unit of the file's times).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import polars as pl

from sleevegraph.market_data.datasets import Dataset

DAY: Final = 86_400_000_000
"""Microseconds of a day."""

_NUMBER_CHARACTERS = b"0123456789.+-eE"
_TEXT_CHARACTERS = bytes(set(range(256)) - set(b',\n\r"'))


@dataclass(frozen=True, slots=True)
class Rule:
    """What every row keeps: `expected` of the CSV's `column`, where `sound` is true (null counts as broken)."""

    column: str
    expected: str
    sound: pl.Expr


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of CSV.

    Attributes
    ----------
    columns
        Names of the CSV's columns with the types that they are read as, in order.
    characters
        The bytes that a field may hold.
    word
        What a field of those is, in an error.
    time
        The column that orders the rows.
    microseconds
        The time of a row as an integer.
    midnight_ends
        Whether the midnight that ends the period belongs to the file.
    rules
        Those of the kind, beside the ones of time that every kind keeps.
    stored
        Columns of the dataset's schema that the CSV names otherwise or does not hold.
    """

    columns: pl.Schema
    characters: bytes
    word: str
    time: str
    microseconds: pl.Expr
    midnight_ends: bool
    rules: tuple[Rule, ...]
    stored: Mapping[str, pl.Expr] = field(default_factory=dict)

    @property
    def epochs(self) -> bool:
        """Whether times are counts since 1970, whose unit has to be inferred."""
        return self.columns[self.time] == pl.Int64()


def rules_of(dataset: Dataset) -> tuple[Rule, ...]:
    """Every rule that a row of `dataset` keeps, the ones of time first."""
    layout = LAYOUTS[dataset.kind]
    now, before = layout.microseconds, layout.microseconds.shift(1)
    first_of_file = pl.col("file").ne_missing(pl.col("file").shift(1))
    rules = [
        Rule(layout.time, "a time inside {period}", now.is_between("starts", "ends")),
        Rule(layout.time, "a later time than the row before", first_of_file | (now > before)),
    ]
    if layout.epochs:
        rules[:0] = [_is_epoch(layout.time), _is_in_unit(layout.time)]
    if dataset.kind == "klines" and dataset.step is not None:
        rules += _kline_times(dataset.interval, dataset.step)
    return (*rules, *layout.rules)


def _is_epoch(column: str) -> Rule:
    value = pl.col(column)
    digits_13, digits_16 = value.is_between(10**12, 10**13 - 1), value.is_between(10**15, 10**16 - 1)
    return Rule(column, "13 digits (milliseconds) or 16 (microseconds)", digits_13 | digits_16)


def _is_in_unit(column: str) -> Rule:
    is_micro = pl.col(column) >= 10**15
    return Rule(column, "the unit of the file's first time", is_micro == (pl.col("scale") == 1))


def _kline_times(interval: str, step: timedelta) -> list[Rule]:
    opened, closed = pl.col("open_time") * pl.col("scale"), pl.col("close_time") * pl.col("scale")
    width = step // timedelta(microseconds=1)
    rules = [
        _is_epoch("close_time"),
        _is_in_unit("close_time"),
        # Bars of an interrupted session close early, or open off the grid; they never overlap what follows.
        Rule("close_time", f"a time within {interval} of open_time", (closed >= opened) & (closed < opened + width)),
    ]
    if step == timedelta(days=1):
        rules.append(Rule("open_time", "midnight UTC", opened % DAY == 0))
    return rules


def _finite(column: str, expected: str, sound: pl.Expr) -> Rule:
    return Rule(column, f"a finite {expected}", pl.col(column).is_finite() & sound)


def _price(column: str) -> Rule:
    return _finite(column, "price > 0", pl.col(column) > 0)


def _amount(column: str) -> Rule:
    return _finite(column, "amount >= 0", pl.col(column) >= 0)


def _optional(column: str) -> Rule:
    text, value = pl.col(column), pl.col(column).cast(pl.Float64, strict=False)
    absent = text.is_null() | (text.str.to_lowercase() == "nan")
    return Rule(column, "a finite number >= 0, nan or nothing", absent | (value.is_finite() & (value >= 0)))


def _stored_optional(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float64, strict=False).fill_nan(None)


def _stored_epoch(column: str) -> pl.Expr:
    return (pl.col(column) * pl.col("scale")).cast(pl.Datetime("us", "UTC"))


_CREATED = pl.col("create_time").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC", strict=False)
_ISO_SECOND = r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:[0-5]\d$"

_KLINES = Layout(
    columns=pl.Schema(
        {
            "open_time": pl.Int64(),
            "open": pl.Float64(),
            "high": pl.Float64(),
            "low": pl.Float64(),
            "close": pl.Float64(),
            "volume": pl.Float64(),
            "close_time": pl.Int64(),
            "quote_volume": pl.Float64(),
            "count": pl.Int64(),
            "taker_buy_volume": pl.Float64(),
            "taker_buy_quote_volume": pl.Float64(),
            "ignore": pl.String(),
        }
    ),
    characters=_NUMBER_CHARACTERS,
    word="number",
    time="open_time",
    microseconds=pl.col("open_time") * pl.col("scale"),
    midnight_ends=False,
    rules=(
        *(_price(name) for name in ("open", "high", "low", "close")),
        *(_amount(name) for name in ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")),
        Rule("count", "a whole number >= 0", pl.col("count") >= 0),
    ),
    stored={
        "symbol": pl.col("file_symbol"),
        "open_time": _stored_epoch("open_time"),
        "trades": pl.col("count"),
    },
)
_FUNDING = Layout(
    columns=pl.Schema(
        {"calc_time": pl.Int64(), "funding_interval_hours": pl.Int64(), "last_funding_rate": pl.Float64()}
    ),
    characters=_NUMBER_CHARACTERS,
    word="number",
    time="calc_time",
    microseconds=pl.col("calc_time") * pl.col("scale"),
    midnight_ends=False,
    rules=(
        Rule("funding_interval_hours", "a whole number > 0", pl.col("funding_interval_hours") > 0),
        Rule("last_funding_rate", "a finite rate", pl.col("last_funding_rate").is_finite()),
    ),
    stored={
        "symbol": pl.col("file_symbol"),
        "funding_time": _stored_epoch("calc_time"),
        "funding_rate": pl.col("last_funding_rate"),
    },
)
_METRICS = Layout(
    columns=pl.Schema(
        {
            "create_time": pl.String(),
            "symbol": pl.String(),
            "sum_open_interest": pl.String(),
            "sum_open_interest_value": pl.String(),
            "count_toptrader_long_short_ratio": pl.String(),
            "sum_toptrader_long_short_ratio": pl.String(),
            "count_long_short_ratio": pl.String(),
            "sum_taker_long_short_vol_ratio": pl.String(),
        }
    ),
    characters=_TEXT_CHARACTERS,
    word="text",
    time="create_time",
    microseconds=_CREATED.cast(pl.Int64),
    # Rows are labelled by the end of their five minutes, so that a day runs from 00:05 to the next midnight.
    midnight_ends=True,
    rules=(
        Rule("create_time", "a time as in 2023-01-01 00:05:00", pl.col("create_time").str.contains(_ISO_SECOND)),
        Rule("symbol", "{symbol}", pl.col("symbol") == pl.col("file_symbol")),
        # The archive leaves any of them blank on thousands of days; what is missing stays missing.
        _optional("sum_open_interest"),
        _optional("sum_open_interest_value"),
        _optional("count_toptrader_long_short_ratio"),
        _optional("sum_toptrader_long_short_ratio"),
        _optional("count_long_short_ratio"),
        _optional("sum_taker_long_short_vol_ratio"),
    ),
    stored={
        "time": _CREATED,
        "open_interest": _stored_optional("sum_open_interest"),
        "open_interest_value": _stored_optional("sum_open_interest_value"),
        "top_trader_count_ratio": _stored_optional("count_toptrader_long_short_ratio"),
        "top_trader_position_ratio": _stored_optional("sum_toptrader_long_short_ratio"),
        "account_ratio": _stored_optional("count_long_short_ratio"),
        "taker_volume_ratio": _stored_optional("sum_taker_long_short_vol_ratio"),
    },
)

LAYOUTS: Final[Mapping[str, Layout]] = MappingProxyType(
    {"klines": _KLINES, "fundingRate": _FUNDING, "metrics": _METRICS}
)
"""By the kind of the dataset."""
