"""Pictures of the tournament: who answered how at each rebalance, and what each risk profile held."""

from typing import Any

import numpy as np
import polars as pl

from assets.pictures import picture
from resources.lake import AssetPath, Lake
from sleevegraph.manifest import RISK_PROFILES

WINDOWS = 74
"""Rebalances shown, up to the newest of the run: two years."""
LARGEST = 8
"""Names shown one by one; the rest is one band."""
COLOURS = {
    "native": "#2e8b57",
    "fallback": "#f2c14e",
    "rejected": "#9aa5b1",
    "unsupported": "#e4e7eb",
    "unavailable": "#8e44ad",
    "failed": "#c0392b",
    "no record": "#ffffff",
}
"""By status; a rebalance that a gate blocked has no record."""
_COLUMNS = ("engine", "profile", "status")


def status_picture(lake: Lake, path: AssetPath, partition: str) -> dict[str, Any]:
    """Heat map of engine x risk profile over time, coloured by status."""
    keys = _shown(lake, path, partition)
    read = {key: lake.read(path, key).select(_COLUMNS).rows() for key in keys}
    cells = list(dict.fromkeys((engine, profile) for key in reversed(keys) for engine, profile, _ in read[key]))
    if not cells:
        return {}
    names = list(COLOURS)
    codes = np.full((len(cells), len(keys)), names.index("no record"))
    row = {cell: i for i, cell in enumerate(cells)}
    for column, key in enumerate(keys):
        for engine, profile, status in read[key]:
            codes[row[engine, profile], column] = names.index(status)

    def draw(figure: Any) -> None:
        from matplotlib.colors import ListedColormap  # noqa: PLC0415 - as slow as matplotlib itself
        from matplotlib.patches import Patch  # noqa: PLC0415

        axes = figure.add_subplot()
        colours = ListedColormap(list(COLOURS.values()))
        axes.pcolormesh(codes, cmap=colours, vmin=0, vmax=len(names) - 1, edgecolors="white", linewidth=0.4)
        axes.set_yticks(np.arange(len(cells)) + 0.5, [f"{engine} {profile}" for engine, profile in cells], fontsize=7)
        axes.invert_yaxis()
        ticks = np.unique(np.linspace(0, len(keys) - 1, min(8, len(keys))).astype(int))
        axes.set_xticks(ticks + 0.5, [keys[i] for i in ticks], fontsize=7, rotation=30, ha="right")
        present = [name for i, name in enumerate(names) if (codes == i).any()]
        patches = [Patch(facecolor=COLOURS[name], edgecolor="grey", label=name) for name in present]
        figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=7, frameon=False)

    return picture(f"{path[0]}: status of every cell to {partition}", draw, size=(8.0, 1.6 + 0.17 * len(cells)))


def weights_over_time_picture(lake: Lake, path: AssetPath, partition: str, engine: str) -> dict[str, Any]:
    """Weights of the engine of record over time, one panel per risk profile."""
    keys = _shown(lake, path, partition)
    frames = {key: lake.read(path, key).filter(pl.col("engine") == engine) for key in keys}
    if all(frame.is_empty() for frame in frames.values()):
        return {}

    def draw(figure: Any) -> None:
        panels = figure.subplots(4, 2, sharex=True, sharey=True)
        for axes, profile in zip(panels.flat, RISK_PROFILES, strict=True):
            names, weights = _stacked(frames, profile)
            if names:
                axes.stackplot(range(len(keys)), weights, labels=names, linewidth=0, step="mid")
                axes.legend(fontsize=5, ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
            axes.set_title(profile, fontsize=8)
            axes.set_ylim(0.0, 1.0)
            ticks = np.unique(np.linspace(0, len(keys) - 1, min(4, len(keys))).astype(int))
            axes.set_xticks(ticks, [keys[i] for i in ticks], fontsize=6, rotation=20, ha="right")
            axes.tick_params(axis="y", labelsize=6)

    title = f"{path[0]}: weights in synthetic space ({engine}) to {partition}"
    return picture(title, draw, size=(9.0, 9.0))


def _shown(lake: Lake, path: AssetPath, partition: str) -> list[str]:
    return [key for key in lake.partitions(path) if key <= partition][-WINDOWS:]


def _stacked(frames: dict[str, pl.DataFrame], profile: str) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Names, the largest on average first, and their weights (names, rebalances); the others are one band."""
    held = {
        key: dict(frame.filter(pl.col("profile") == profile).select("symbol", "weight").drop_nulls().iter_rows())
        for key, frame in frames.items()
    }
    totals: dict[str, float] = {}
    for book in held.values():
        for symbol, weight in book.items():
            totals[symbol] = totals.get(symbol, 0.0) + weight
    largest = sorted(totals, key=lambda symbol: (-totals[symbol], symbol))[:LARGEST]
    rows = [[book.get(symbol, 0.0) for book in held.values()] for symbol in largest]
    others = [sum(w for symbol, w in book.items() if symbol not in largest) for book in held.values()]
    names = [symbol.split(":")[-1] for symbol in largest]
    if any(others):
        names, rows = [*names, f"{len(totals) - len(largest)} others"], [*rows, others]
    return names, np.array(rows)
