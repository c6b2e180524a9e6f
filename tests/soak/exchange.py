"""A folder with recorded bars that grows as an exchange would publish them, late, broken and revised as planned."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl

CLOSED = time(0, 5)
"""When a day's bar is published, on the day after."""


class Exchange:
    """Bars of `bars` that were published by the time that the clock shows, in one Parquet file."""

    def __init__(self, file: Path, bars: pl.DataFrame) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file, self.bars = file, bars
        self.published: dict[date, datetime] = {}
        """When each day's bars came."""
        self._withheld: tuple[date, datetime] | None = None
        self._written: date | None = None

    def withhold(self, first: date, until: datetime) -> None:
        """Publish nothing of `first` and later days before a moment."""
        self._withheld = first, until

    def publish(self, now: datetime) -> None:
        """Write what is out by now; time that goes back takes nothing away."""
        newest = self._newest(now)
        if newest is None or (self._written is not None and newest <= self._written):
            return
        self._written = newest
        self.write()
        for day in self.bars["date"].unique().sort():
            if day <= newest:
                self.published.setdefault(day, now)

    def write(self) -> None:
        """Write the file whole."""
        temporary = self.file.with_suffix(".new")
        self.bars.filter(pl.col("date") <= self._written).write_parquet(temporary)
        temporary.replace(self.file)

    def tear(self) -> None:
        """Leave half of the file, as an interrupted download does."""
        content = self.file.read_bytes()
        self.file.write_bytes(content[: len(content) // 2])

    def revise(self, symbol: str, day: date) -> None:
        """Restate one close; it is in the file at once."""
        one = (pl.col("symbol") == symbol) & (pl.col("date") == day)
        middle = (pl.col("low") + pl.col("high")) / 2
        self.bars = self.bars.with_columns(close=pl.when(one).then(middle).otherwise(pl.col("close")))
        self.write()

    def _newest(self, now: datetime) -> date | None:
        day = now.date() - timedelta(days=1 if now.time() >= CLOSED else 2)
        if self._withheld and now < self._withheld[1]:
            return min(day, self._withheld[0] - timedelta(days=1))
        return day


def at(day: date, hour: int = 0, minute: int = 0) -> datetime:
    """A moment of a day, UTC."""
    return datetime.combine(day, time(hour, minute), UTC)
