"""Pictures of the tournament: who answered how at each rebalance, and what each risk profile held."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from assets.pictures import picture
from resources.lake import AssetPath, Lake
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.track_record import CASH

WINDOWS = 74
"""Rebalances shown, up to the newest of the run: two years."""
LARGEST = 14
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
REST, IDLE = "#e9ecef", "#495057"
"""Colours of the band of all other names, and of cash."""
OTHERS = " others"
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
    books: dict[str, list[dict[str, float]]] = {profile: [{} for _ in keys] for profile in RISK_PROFILES}
    for column, key in enumerate(keys):
        rows = lake.read(path, key).select("engine", "profile", "symbol", "weight").drop_nulls()
        for solver, profile, symbol, weight in rows.iter_rows():
            if solver == engine:
                books[profile][column][symbol] = weight

    panels = {profile: _bands(books[profile]) for profile in RISK_PROFILES}
    colours = _colours(panels.values())

    def draw(figure: Any) -> None:
        ticks = np.unique(np.linspace(0, len(keys) - 1, min(4, len(keys))).astype(int))
        for axes, (profile, bands) in zip(
            figure.subplots(4, 2, sharex=True, sharey=True).flat, panels.items(), strict=True
        ):
            if bands:
                # A rebalance holds until the next one, the newest as long as the others.
                heights = [[*weights, weights[-1]] for weights in bands.values()]
                shades = [colours.get(name, REST) for name in bands]
                axes.stackplot(range(len(keys) + 1), heights, labels=bands, colors=shades, linewidth=0, step="post")
                axes.legend(fontsize=5, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
            axes.set_title(profile, fontsize=8)
            axes.set_ylim(0.0, 1.0)
            axes.set_xlim(0, len(keys))
            axes.set_xticks(ticks + 0.5, [keys[i] for i in ticks], fontsize=6, rotation=20, ha="right")
            axes.tick_params(axis="y", labelsize=6)

    title = f"{path[0]}: weights in synthetic space ({engine}) to {partition}"
    return picture(title, draw, size=(9.0, 9.0))


def _shown(lake: Lake, path: AssetPath, partition: str) -> list[str]:
    return [key for key in lake.partitions(path) if key <= partition][-WINDOWS:]


def _colours(panels: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """One colour per name in every panel that shows it; with more than forty names the palette begins anew."""
    from matplotlib import colormaps  # noqa: PLC0415 - as slow as matplotlib itself

    totals: Counter[str] = Counter()
    for bands in panels:
        totals.update({name: sum(weights) for name, weights in bands.items() if not name.endswith(OTHERS)})
    palette = (*colormaps["tab20"].colors, *colormaps["tab20b"].colors)
    names = sorted(totals, key=lambda name: (-totals[name], name))
    return {name: palette[i % len(palette)] for i, name in enumerate(names)} | {CASH: IDLE}


def _bands(books: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Weights over time of the names that are largest on average, then of all others as one band."""
    totals: Counter[str] = Counter()
    for book in books:
        totals.update(book)
    ranked = sorted(totals, key=lambda symbol: (symbol == CASH, -totals[symbol], symbol))
    shown = [*ranked[:LARGEST], *(name for name in ranked[LARGEST:] if name == CASH)]
    bands = {_short(name): [book.get(name, 0.0) for book in books] for name in shown}
    others = [sum(weight for name, weight in book.items() if name not in shown) for book in books]
    return bands | ({f"{len(totals) - len(shown)}{OTHERS}": others} if any(others) else {})


def _short(symbol: str) -> str:
    return symbol.rsplit(":", maxsplit=1)[-1]
