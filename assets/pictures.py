"""Pictures in metadata: drawn for the newest partition of a run, small enough for the event log."""

import base64
from collections.abc import Callable
from io import BytesIO
from typing import Any

import dagster as dg
import polars as pl

from resources.lake import AssetPath, Lake

LARGEST = 12
"""Names shown one by one; the rest would be unreadable."""


def equity_picture(lake: Lake, path: AssetPath, partition: str) -> dict[str, Any]:
    """Wealth per risk profile up to one rebalance."""
    rows = lake.scan(path).filter(pl.col("date") < pl.lit(partition).str.to_date()).collect()
    if rows["date"].n_unique() < 2:  # noqa: PLR2004 - a line needs two points
        return {}

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        for profile, part in rows.sort("date").group_by("profile", maintain_order=True):
            axes.plot(part["date"], part["equity"], label=str(profile[0]), linewidth=1)
        axes.legend(fontsize=6, ncols=2)
        axes.set_ylabel("wealth, start = 1")
        figure.autofmt_xdate()

    return picture(f"{path[0]}: equity to {partition}", draw)


def _bars(frame: pl.DataFrame, title: str) -> dict[str, Any]:
    held = frame.filter(pl.col("net") != 0.0).sort(pl.col("net").abs(), descending=True).head(LARGEST)
    if held.is_empty():
        return {}

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        colours = ["tab:green" if net > 0 else "tab:red" for net in held["net"]]
        axes.barh([symbol.split(":")[-1] for symbol in held["symbol"]], held["net"], color=colours)
        axes.invert_yaxis()
        axes.set_xlabel("physical net weight")

    return picture(title, draw)


def flattened_picture(lake: Lake, path: AssetPath, partition: str) -> dict[str, Any]:
    """Bars of a meta's flattened hrp weights at one rebalance."""
    return _bars(lake.read(path, partition).filter(pl.col("profile") == "hrp"), f"{path[0]}: hrp at {partition}")


def picture(title: str, draw: Callable[[Any], None], size: tuple[float, float] = (5.0, 3.2)) -> dict[str, Any]:
    """Metadata with what `draw` draws on an empty figure."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, needed once per run

    figure = Figure(figsize=size, layout="constrained")
    draw(figure)
    figure.suptitle(title, fontsize=8)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return {"picture": dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")}
