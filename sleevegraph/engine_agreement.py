"""Whether engines that solve the same problem agree, and whether risk profiles still differ."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import polars as pl

from sleevegraph.engines.protocol import SOLVED
from sleevegraph.findings import Finding

MAX_DIFFERENCE = 1e-3
"""Between two engines' weights of an asset."""
CONVERGED = 1e-8
"""Two profiles whose weights differ by no more are one."""
MAX_CAPPED_SHARE = 0.5
"""Above it a profile has stopped choosing."""

Row = dict[str, Any]
Weights = dict[str, float]


def engine_agreement(cells: pl.DataFrame) -> list[Finding]:
    """A warning ENGINES_DISAGREE for each pair of engines that solved a profile as asked and differ.

    Parameters
    ----------
    cells
        Rows of `solver_cells.SCHEMA`. Stand-ins solve other problems, so only `native` cells are compared.
    """
    rows = [row for row in _solved(cells) if row["profile"] in SOLVED]
    findings = []
    for left, right in combinations(rows, 2):
        if left["profile"] != right["profile"]:
            continue
        symbol, difference = _furthest(_weights(left), _weights(right))
        if difference > MAX_DIFFERENCE:
            findings.append(Finding("WARN", "ENGINES_DISAGREE", symbol, _disagreement(left, right, symbol, difference)))
    return findings


def profile_convergence(cells: pl.DataFrame) -> list[Finding]:
    """Warnings PROFILES_CONVERGE and CAP_BINDS.

    Parameters
    ----------
    cells
        Rows of `solver_cells.SCHEMA`; a stand-in equals another profile by design and is left out.
    """
    rows = _solved(cells)
    findings = []
    for left, right in combinations(rows, 2):
        same_engine = left["engine"] == right["engine"]
        if same_engine and _furthest(_weights(left), _weights(right))[1] <= CONVERGED:
            text = (
                f"{left['engine']}: {left['profile']} and {right['profile']} have the same weights; "
                f"the cap binds on {left['cap_binding_share']:.0%} of the assets"
            )
            findings.append(Finding("WARN", "PROFILES_CONVERGE", "", text))
    for row in rows:
        if row["profile"] in SOLVED and row["cap_binding_share"] > MAX_CAPPED_SHARE:
            text = f"{row['engine']}/{row['profile']}: the cap binds on {row['cap_binding_share']:.0%} of the assets"
            findings.append(Finding("WARN", "CAP_BINDS", "", text))
    return findings


def _solved(cells: pl.DataFrame) -> list[Row]:
    return list(cells.filter(pl.col("status") == "native").iter_rows(named=True))


def _weights(row: Row) -> Weights:
    return {asset["symbol"]: asset["weight"] for asset in row["weights"]}


def _furthest(left: Weights, right: Weights) -> tuple[str, float]:
    """The asset whose weights differ most, and by how much; an asset that one side lacks has weight 0 there."""
    differences = {name: abs(left.get(name, 0.0) - right.get(name, 0.0)) for name in sorted({*left, *right})}
    name = max(differences, key=differences.__getitem__)
    return name, differences[name]


def _disagreement(left: Row, right: Row, symbol: str, difference: float) -> str:
    sides = "; ".join(f"{row['engine']} objective {_known(row)}, weights {_listed(row)}" for row in (left, right))
    return (
        f"{left['profile']}: {left['engine']} and {right['engine']} differ by up to {difference:.2g} "
        f"({_weights(left).get(symbol, 0.0):.6f} and {_weights(right).get(symbol, 0.0):.6f}): {sides}"
    )


def _known(row: Row) -> str:
    return "infinite" if row["objective"] is None else f"{row['objective']:.9g}"


def _listed(row: Row) -> str:
    return ", ".join(_pairs(row))


def _pairs(row: Row) -> Iterator[str]:
    return (f"{symbol} {weight:.6f}" for symbol, weight in _weights(row).items())
