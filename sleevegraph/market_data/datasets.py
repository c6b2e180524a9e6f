"""The datasets of Binance's public archive: what a row holds, where the files lie and how they are named.

Layout: https://github.com/binance/binance-public-data. A key is data/MARKET/SPAN/KIND/SYMBOL[/INTERVAL]/FILE, and the
file says symbol, interval or kind, and the month or day that it covers.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final, Literal

import polars as pl

Span = Literal["monthly", "daily"]

INTERVALS: Final = ("1d", "1h", "15m")

DAILY: Final = "spot_klines_1d"
"""The dataset that `daily_bars` are made of."""

MAX_SYMBOL_LENGTH: Final = 40
"""Characters; the longest ticker so far has 20. In UTF-8 the longest file name stays below the 255 bytes of a disk."""

_MARKS: Final = ("Mn", "Mc")
_TIME: Final = pl.Datetime("us", "UTC")
_KLINES: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "open_time": _TIME,
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Float64(),
        "quote_volume": pl.Float64(),
        "trades": pl.Int64(),
        "taker_buy_volume": pl.Float64(),
        "taker_buy_quote_volume": pl.Float64(),
    }
)
_FUNDING: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "funding_time": _TIME,
        "funding_interval_hours": pl.Int64(),
        "funding_rate": pl.Float64(),
    }
)
_METRICS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "time": _TIME,
        "open_interest": pl.Float64(),
        "open_interest_value": pl.Float64(),
        "top_trader_count_ratio": pl.Float64(),
        "top_trader_position_ratio": pl.Float64(),
        "account_ratio": pl.Float64(),
        "taker_volume_ratio": pl.Float64(),
    }
)
_STEPS: Final = {"1d": timedelta(days=1), "1h": timedelta(hours=1), "15m": timedelta(minutes=15)}
_SHARDS: Final = {"1d": 1, "1h": 8, "15m": 32}
_BOTH: Final[tuple[Span, ...]] = ("monthly", "daily")


@dataclass(frozen=True, slots=True)
class Dataset:
    """One kind of file of one market.

    Attributes
    ----------
    name
        As in "spot_klines_1d": the asset's key and the lake's folder.
    market
        "spot" or "futures/um" (USD-M futures).
    kind
        The archive's folder: "klines", "fundingRate" or "metrics".
    interval
        One of INTERVALS, or "" where the kind has none.
    spans
        The lengths of file that the archive offers, longest first.
    schema
        Columns of a row, in order; times are UTC, of the bar's opening.
    shards
        Files of the lake for each month.
    step
        From one row to the next; None for funding, whose interval is a column.
    """

    name: str
    market: str
    kind: str
    interval: str
    spans: tuple[Span, ...]
    schema: pl.Schema = field(hash=False)
    shards: int
    step: timedelta | None

    @property
    def time(self) -> str:
        """Name of the time column."""
        return self.schema.names()[1]


@dataclass(frozen=True, slots=True)
class Period:
    """The month ("2023-05") or day ("2023-05-04") of a file; `first` and `last` are UTC days, both inside."""

    text: str
    first: date
    last: date


def _klines(market: str, prefix: str) -> list[Dataset]:
    return [
        Dataset(f"{prefix}_klines_{i}", market, "klines", i, _BOTH, _KLINES, _SHARDS[i], _STEPS[i]) for i in INTERVALS
    ]


DATASETS: Final[Mapping[str, Dataset]] = MappingProxyType(
    {
        dataset.name: dataset
        for dataset in (
            *_klines("spot", "spot"),
            *_klines("futures/um", "um"),
            Dataset("um_funding_rates", "futures/um", "fundingRate", "", ("monthly",), _FUNDING, 1, None),
            Dataset("um_metrics", "futures/um", "metrics", "", ("daily",), _METRICS, 32, timedelta(minutes=5)),
        )
    }
)
"""Every dataset that can be ingested, by name."""


def symbols_prefix(dataset: Dataset, span: Span) -> str:
    """The folder with one folder per symbol: "data/spot/monthly/klines/"."""
    return f"data/{dataset.market}/{span}/{dataset.kind}/"


def files_prefix(dataset: Dataset, span: Span, symbol: str) -> str:
    """The folder of a symbol's files: "data/spot/monthly/klines/BTCUSDT/1d/"."""
    interval = f"{dataset.interval}/" if dataset.interval else ""
    return f"{symbols_prefix(dataset, span)}{symbol}/{interval}"


def file_name(dataset: Dataset, symbol: str, period: Period) -> str:
    """As in "BTCUSDT-1d-2023-05.zip"; its checksum has ".CHECKSUM" behind it."""
    return f"{symbol}-{dataset.interval or dataset.kind}-{period.text}.zip"


def is_symbol(text: str) -> bool:
    """Whether `text` can be a ticker: 1 to 40 letters, decimal digits and "_" of any script, in NFC.

    Marks that a script writes its words with, as in हिंदी, may follow a first letter or digit. Nothing that such a text
    holds can leave a folder, and no two of them are one text in two encodings.
    """
    # Of a mark alone, isalnum is false.
    marks = _MARKS if text[:1].isalnum() else ()
    sound = all(c.isalpha() or c.isdecimal() or c == "_" or unicodedata.category(c) in marks for c in text)
    return sound and 0 < len(text) <= MAX_SYMBOL_LENGTH and unicodedata.is_normalized("NFC", text)


def parse_key(dataset: Dataset, span: Span, symbol: str, key: str) -> Period | None:
    """The period of the zip at `key`; None unless the key is to the letter what `file_name` gives for one."""
    prefix = f"{files_prefix(dataset, span, symbol)}{symbol}-{dataset.interval or dataset.kind}-"
    if not (key.startswith(prefix) and key.endswith(".zip") and is_symbol(symbol)):
        return None
    text = key[len(prefix) : -len(".zip")]
    try:
        first = date.fromisoformat(text if span == "daily" else f"{text}-01")
    except ValueError:
        return None
    if span == "daily":
        period = Period(first.isoformat(), first, first)
    else:
        # December 9999 has no day after it, and no file of that month can be genuine.
        if first >= date(9999, 12, 1):
            return None
        following = (first + timedelta(days=31)).replace(day=1)
        period = Period(first.isoformat()[:7], first, following - timedelta(days=1))
    return period if period.text == text else None
