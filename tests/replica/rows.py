"""Frames as the lines of the archive's CSV files and of the API's answers."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl

MICROSECONDS_SINCE = datetime(2025, 1, 1, tzinfo=UTC)
"""From here the spot files give microseconds, before milliseconds; the futures files always milliseconds."""
METRICS_LABEL_STARTS_SINCE = datetime(2026, 6, 25, tzinfo=UTC)
"""Until here a metrics file holds 00:05 to 00:00 of the next day, from here 00:00 to 23:55."""
STEPS = {"15m": timedelta(minutes=15), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
KLINES_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
FUNDING_HEADER = "calc_time,funding_interval_hours,last_funding_rate"
METRICS = {
    "open_interest": "sum_open_interest",
    "open_interest_value": "sum_open_interest_value",
    "top_trader_count_ratio": "count_toptrader_long_short_ratio",
    "top_trader_position_ratio": "sum_toptrader_long_short_ratio",
    "account_ratio": "count_long_short_ratio",
    "taker_volume_ratio": "sum_taker_long_short_vol_ratio",
}
METRICS_HEADER = ",".join(("create_time", "symbol", *METRICS.values()))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a dataset's files are, what they are called and what stands on their first line."""

    market: str
    kind: str
    interval: str
    header: str
    spans: tuple[str, ...]

    def symbols_prefix(self, span: str) -> str:
        return f"data/{self.market}/{span}/{self.kind}/"

    def folder(self, span: str, symbol: str) -> str:
        return f"{self.symbols_prefix(span)}{symbol}/" + (f"{self.interval}/" if self.interval else "")

    def stem(self, symbol: str, period: str) -> str:
        return f"{symbol}-{self.interval or self.kind}-{period}"


def layout(name: str) -> Layout:
    """Of `spot_klines_1d` and its like."""
    market = "spot" if name.startswith("spot_") else "futures/um"
    both = ("monthly", "daily")
    if name == "um_funding_rates":
        return Layout(market, "fundingRate", "", FUNDING_HEADER, ("monthly",))
    if name == "um_metrics":
        return Layout(market, "metrics", "", METRICS_HEADER, ("daily",))
    interval = name.rpartition("_")[2]
    if interval not in STEPS or "_klines_" not in name:
        raise ValueError(f"no such dataset: {name}")
    return Layout(market, "klines", interval, "" if market == "spot" else KLINES_HEADER, both)


def decimal(name: str) -> pl.Expr:
    """Plain decimals that parse back to the very same float64: eight places where those are exact, else more."""
    text = pl.col(name).cast(pl.String)
    exponent = text.str.contains("e", literal=True)
    rare = text.map_batches(_without_exponent, return_dtype=pl.String, is_elementwise=True)
    text = pl.when(exponent).then(pl.when(exponent).then(rare)).otherwise(text)
    return text.str.pad_end(text.str.find(".", literal=True) + 9, "0")


def _without_exponent(texts: pl.Series) -> pl.Series:
    return pl.Series([_plain(text) if text and "e" in text else text for text in texts], dtype=pl.String)


def _plain(text: str) -> str:
    plain = format(Decimal(text), "f")
    return plain if "." in plain else plain + ".0"


def completed(frame: pl.DataFrame) -> pl.DataFrame:
    """Klines with all columns: those that were not given are made up, within what is plausible."""
    made = {
        "quote_volume": (pl.col("close") * pl.col("volume")).round(8),
        "trades": pl.when(pl.col("volume") > 0).then(1 + pl.col("open_time").dt.epoch("s") * 7 % 4999).otherwise(0),
        "taker_buy_volume": (pl.col("volume") / 2).round(8),
        "taker_buy_quote_volume": (pl.col("quote_volume") / 2).round(8),
    }
    for name, value in made.items():
        if name not in frame.columns:
            frame = frame.with_columns(value.alias(name))
    return frame


def klines(frame: pl.DataFrame, interval: str, *, spot: bool) -> pl.DataFrame:
    """`symbol`, `time`, `line` (of the CSV) and `row` (of the API's answer, always in milliseconds)."""
    opened, step = pl.col("open_time"), STEPS[interval]
    micro = opened >= MICROSECONDS_SINCE if spot else pl.lit(value=False)

    def stamp(time: pl.Expr) -> pl.Expr:
        return pl.when(micro).then(time.dt.epoch("us")).otherwise(time.dt.epoch("ms"))

    last = pl.when(micro).then((opened + step).dt.epoch("us") - 1).otherwise((opened + step).dt.epoch("ms") - 1)
    prices = [decimal(name) for name in ("open", "high", "low", "close", "volume")]
    money, takers = decimal("quote_volume"), [decimal(f"taker_buy_{name}") for name in ("volume", "quote_volume")]
    counts = pl.col("trades").cast(pl.Int64)
    quoted = [pl.format('"{}"', value) for value in (*prices, money, *takers)]
    row = [opened.dt.epoch("ms"), *quoted[:5], (opened + step).dt.epoch("ms") - 1, quoted[5], counts, *quoted[6:]]
    return completed(frame).select(
        "symbol",
        time=opened,
        line=pl.concat_str([stamp(opened), *prices, last, money, counts, *takers, pl.lit("0")], separator=","),
        row=pl.format('[{},"0"]', pl.concat_str(row, separator=",")) if spot else pl.lit(""),
    )


def funding(frame: pl.DataFrame) -> pl.DataFrame:
    hours = pl.col("funding_interval_hours").cast(pl.Int64)
    line = pl.concat_str([pl.col("funding_time").dt.epoch("ms"), hours, decimal("funding_rate")], separator=",")
    return frame.select("symbol", time="funding_time", line=line)


def metrics(frame: pl.DataFrame) -> pl.DataFrame:
    """Ratios that were not given are made up; a null is an empty field, as in the archive."""
    absent = [name for name in METRICS if name not in frame.columns]
    frame = frame.with_columns(pl.lit(1.25).alias(name) for name in absent)
    made = pl.col("time").dt.strftime("%Y-%m-%d %H:%M:%S")
    line = pl.concat_str([made, "symbol", *(decimal(name).fill_null("") for name in METRICS)], separator=",")
    return frame.select("symbol", time="time", line=line)


def lines(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """`symbol`, `time`, `day` (of the file that holds it), `line`, and `row` of spot klines; sorted."""
    shape = layout(name)
    if shape.kind == "klines":
        made = klines(frame, shape.interval, spot=shape.market == "spot")
    else:
        made = funding(frame) if shape.kind == "fundingRate" else metrics(frame)
    time = pl.col("time")
    if shape.kind == "metrics":
        time = pl.when(time <= METRICS_LABEL_STARTS_SINCE).then(time - timedelta(microseconds=1)).otherwise(time)
    return made.sort("symbol", "time").with_columns(day=time.dt.date())
