"""Flatten trees of 100 to 10,000 sleeves over 73 rebalances, beside recursive dictionaries, from the same Parquet files.

    python -m bench.metas [--dates N] [--most SLEEVES]

Time and peak memory are those of a process of its own that compiles the tree from the profiles, reads the files and
flattens them, a date at a time; the best of five, imports in the memory but not in the time. The dictionaries are
filled from the same files in another process, on as many dates as make three million leaf rows, and scaled to all. The
ratios and the growth are of CPU seconds, which a busy machine disturbs less; `alone` is flattening without the files.
Then follow the growth with the leaf weights, for which trees of 2,500 and 5,000 sleeves are timed as well, and what must
hold at every size.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from bench.made_trees import (
    ALONE,
    SYMBOLS,
    dictionaries,
    flattened_dates,
    leaves_of,
    make,
    recursive,
    sleeve_names,
    stored_dates,
    stored_shares,
    stored_tree,
)
from bench.memory import peak_mib
from sleevegraph.conservation import conservation
from sleevegraph.findings import Finding
from sleevegraph.flattening import cancelled, collapse, flatten
from sleevegraph.panel import Floats
from sleevegraph.tree import node_weights, place_weights

SIZES = ((100, 15), (100, 100), (1_000, 15), (1_000, 100), (10_000, 15), (10_000, 100))
BETWEEN = ((2_500, 100), (5_000, 100))
"""Sizes that are timed for the growth only."""
DATES, ROUNDS = 73, 5
ROWS = 3_000_000
"""Leaf rows that the dictionaries are timed on."""
SECONDS, MIB, FASTER = 3.0, 512.0, 30.0
"""What is wanted of the largest: at most so many seconds and so much memory, and so many times as fast."""
EQUAL = 1e-12
LINEAR = 1.25
"""Largest exponent that passes for linear: a machine's caches and its other work cost the largest trees that much."""

Figures = dict[str, float]


def with_arrays(folder: Path) -> Figures:
    """Flatten every date in this process, and leave the results beside the files."""
    began, cpu = time.perf_counter(), time.process_time()
    _, nets, grosses = zip(*flattened_dates(folder), strict=True)
    figures = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "peak": peak_mib()}
    np.savez(folder / "flat.npz", net=np.array(nets), gross=np.array(grosses))
    return figures | {"alone": without_files(folder)}


def without_files(folder: Path) -> float:
    """CPU seconds of the same less what the files take."""
    tree, shares, days = stored_tree(folder), stored_shares(folder), stored_dates(folder)
    began = time.process_time()
    net, gross = node_weights(tree, place_weights(tree, shares))
    taken = time.process_time() - began
    for i, day in enumerate(days):
        leaves = leaves_of(folder, day)
        began = time.process_time()
        collapse(net[i], gross[i], *leaves, len(SYMBOLS))
        taken += time.process_time() - began
    return taken


def with_dictionaries(folder: Path, dates: int) -> Figures:
    """The same for the first dates by recursion; the largest difference is from what `with_arrays` left."""
    tree, shares, arrays = stored_tree(folder), stored_shares(folder), np.load(folder / "flat.npz")
    seconds, cpu, alone, apart = 0.0, 0.0, 0.0, 0.0
    for i, day in enumerate(stored_dates(folder)[:dates]):
        began, cpu_began = time.perf_counter(), time.process_time()
        books = dictionaries(folder, tree, shares[i], day)
        filled = time.process_time()
        found = recursive(*books)
        seconds, cpu = seconds + time.perf_counter() - began, cpu + time.process_time() - cpu_began
        alone += time.process_time() - filled
        for name, sums in zip(("net", "gross"), found, strict=True):
            apart = max(apart, *(abs(sums.get(s, 0.0) - w) for s, w in zip(SYMBOLS, arrays[name][i], strict=True)))
    return {"seconds": seconds, "cpu": cpu, "alone": alone, "difference": apart}


def measured(kind: str, folder: Path, dates: int) -> Figures:
    """One of the two in a process of its own."""
    command = [sys.executable, "-m", "bench.metas", "--child", kind, "--folder", str(folder), "--dates", str(dates)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
    figures: Figures = json.loads(done.stdout)
    return figures


def facts(folder: Path, sleeves: int) -> Iterator[tuple[str, bool]]:
    """What must hold of the first date, in names and words as the product judges it."""
    tree, day = stored_tree(folder), stored_dates(folder)[0]
    edges = tree.edges.with_columns(weight=stored_shares(folder)[0])
    node, symbol, weight = leaves_of(folder, day)
    leaves = pl.DataFrame(
        {"node": tree.nodes.gather(node), "symbol": pl.Series(SYMBOLS).gather(symbol), "weight": weight}
    )
    small, pair = sleeve_names(sleeves)[-3], SYMBOLS[0]
    flat = flatten(edges, leaves)
    arrays = np.load(folder / "flat.npz")
    held = [SYMBOLS.index(symbol) for symbol in flat["symbol"]]
    yield "names and codes give the same bits", np.array_equal(flat["net"].to_numpy(), arrays["net"][0][held])
    honest = conservation(edges, leaves, flat)
    netted = flat["gross"].sum() - flat["net"].abs().sum()
    yield f"conserved to 1e-9, {netted:.0%} of gross netted long against short", not honest and netted > 0.0
    without = flatten(edges, leaves.filter(pl.col("node") != small))
    lost = codes(conservation(edges, leaves, without))
    yield f"a lost sleeve of {ALONE:.0%} fails", {"NET_NOT_CONSERVED", "GROSS_NOT_CONSERVED"} <= lost
    line = cancelled(flat).filter(pl.col("symbol") == pair)
    empty = line.select("net", "gross").rows() == [(0.0, 2 * ALONE)]
    yield "a cancelled pair is an empty line with a note and no error", empty and not honest


def codes(findings: list[Finding]) -> set[str]:
    """What was found."""
    return {finding.code for finding in findings}


def growth(seconds: dict[int, Figures]) -> bool:
    """Print how CPU seconds grow with leaf rows; whether they do so linearly.

    One curve through all sizes: a fixed cost (opening 73 files takes as long whatever is in them) and a power of the rows,
    whose exponent, fixed cost and factor leave the least relative errors.
    """
    rows = np.array(sorted(seconds), dtype=np.float64)
    if len(rows) < len(SIZES):
        print("Too few sizes to fit the growth with.")
        return True
    linear = True
    for name, what in (("cpu", "from the files"), ("alone", "without the files")):
        taken = np.array([seconds[int(n)][name] for n in rows])
        power, fixed, largest, apart = fitted(rows / rows[-1], taken)
        print(
            f"CPU seconds {what}: {fixed:.3f} + {largest:.3f} x (leaf rows / {rows[-1] / 1e6:.0f} million) ^ {power:.2f}, "
            f"through {len(rows)} sizes from {rows[0] / 1e6:.1f} million rows on, {apart:.0%} off on average."
        )
        linear &= power <= LINEAR
    return linear


def fitted(shares: Floats, taken: Floats) -> tuple[float, float, float, float]:
    """Power p, a, b and root mean square relative error of a + b x share ^ p, the best of a fine grid of powers."""
    best = (0.0, 0.0, 0.0, np.inf)
    for power in np.arange(0.2, 2.0, 0.005):
        columns = np.column_stack([np.ones(len(shares)), shares**power]) / taken[:, None]
        (fixed, largest), *_ = np.linalg.lstsq(columns, np.ones(len(shares)), rcond=None)
        apart = float(np.sqrt(np.mean((columns @ (fixed, largest) - 1.0) ** 2)))
        best = min(best, (float(power), float(fixed), float(largest), apart), key=lambda found: found[3])
    return best


def timed(folder: Path, sleeves: int, atoms: int, dates: int) -> tuple[int, Figures]:
    """Leaf rows of a date, and the best of the arrays."""
    make(folder, sleeves, atoms, dates)
    rounds = [measured("arrays", folder, dates) for _ in range(ROUNDS)]
    best = {name: min(run[name] for run in rounds) for name in ("seconds", "cpu", "alone")}
    return len(leaves_of(folder, stored_dates(folder)[0])[0]) * dates, best | {"peak": max(r["peak"] for r in rounds)}


def size(folder: Path, sleeves: int, atoms: int, dates: int) -> tuple[int, Figures, bool]:
    """Measure one size and print its line."""
    rows, arrays = timed(folder, sleeves, atoms, dates)
    chosen = min(dates, max(1, ROWS * dates // rows))
    plain = measured("dictionaries", folder, chosen)
    slow = {name: plain[name] * dates / chosen for name in ("seconds", "cpu", "alone")}
    whole, alone = slow["cpu"] / arrays["cpu"], slow["alone"] / arrays["alone"]
    print(
        f"{sleeves:7,} {atoms:5} {rows:11,} | {arrays['peak']:5.0f} {arrays['seconds']:7.3f} {arrays['cpu']:7.3f} "
        f"{arrays['alone']:7.3f} | {slow['seconds']:7.2f} {slow['cpu']:7.2f} {slow['alone']:7.2f}"
        f"{'*' if chosen < dates else ' '}| {whole:5.0f} {alone:5.0f} {plain['difference']:6.0e}",
        flush=True,
    )
    good = plain["difference"] <= EQUAL
    if (sleeves, atoms) == SIZES[-1]:
        good &= arrays["seconds"] <= SECONDS and arrays["peak"] <= MIB and whole >= FASTER
    return rows, arrays, good


def run(dates: int, most: int) -> bool:
    """Print the table, the growth and the facts; whether all is as wanted."""
    print(f"{f'{dates} dates':<25} | {'arrays':<29} | {'dictionaries':<24}| ratio of CPU")
    heads = f"{'seconds':>7} {'CPU':>7} {'alone':>7}"
    print(f"{'sleeves':>7} {'atoms':>5} {'leaf rows':>11} |   MiB {heads} | {heads} | whole alone  apart")
    measured_at: dict[int, Figures] = {}
    judged, good = [], True
    for sleeves, atoms in (found for found in SIZES if found[0] <= most):
        with tempfile.TemporaryDirectory() as folder:
            rows, best, wanted = size(Path(folder), sleeves, atoms, dates)
            measured_at[rows] = best
            found = list(facts(Path(folder), sleeves))
        judged += [(f"{sleeves:,} x {atoms}", text, holds) for text, holds in found]
        good &= wanted and all(holds for _, holds in found)
    print("* measured on fewer dates, and scaled\n")
    for sleeves, atoms in (found for found in BETWEEN if found[0] <= most):
        with tempfile.TemporaryDirectory() as folder:
            rows, best = timed(Path(folder), sleeves, atoms, dates)
            measured_at[rows] = best
    good &= growth(measured_at)
    for where, text, holds in judged:
        print(f"{where:>12}: {'holds' if holds else 'FAILS'}: {text}")
    return good


def main() -> None:
    """Print a table; leave with 1 where something is not as wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dates", type=int, default=DATES)
    parser.add_argument("--most", type=int, default=SIZES[-1][0], help="leave out larger numbers of sleeves")
    parser.add_argument("--child", choices=["arrays", "dictionaries"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child == "arrays":
        print(json.dumps(with_arrays(asked.folder)))
    elif asked.child == "dictionaries":
        print(json.dumps(with_dictionaries(asked.folder, asked.dates)))
    else:
        sys.exit(0 if run(asked.dates, asked.most) else 1)


if __name__ == "__main__":
    main()
