"""Section 6: physical returns turned so that solvers only ever see long-only streams."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from sleevegraph.atoms import Atom, Direction
from sleevegraph.errors import BarsError
from sleevegraph.panel import Floats, Panel

MAX_SHORT_LOSS = 1.0
"""A short loses at most its allocation, so a rise above +100 % costs no more than one of +100 %."""


def synthesise(raw: Floats, direction: Direction) -> Floats:
    """Return s = r for LONG and s = -min(r, 1) for SHORT, any shape; NaN stays NaN."""
    return raw.copy() if direction == "LONG" else -np.minimum(raw, MAX_SHORT_LOSS)


def returns_matrix(known: Panel, symbols: Sequence[str], train_days: int) -> pl.DataFrame:
    """The last `train_days` days as `date` and one column of returns per symbol; missing is null.

    Raises
    ------
    BarsError
        When a symbol has no bars in `known`.
    """
    train = known.select(tuple(symbols)).last(train_days)
    columns = {symbol: train.returns[:, i] for i, symbol in enumerate(train.symbols)}
    return _frame(pl.Series("date", train.dates), columns)


def synthetic_matrix(raw: pl.DataFrame, atoms: Sequence[Atom]) -> pl.DataFrame:
    """`date` and one synthetic stream per atom, named by its id; missing is null.

    Raises
    ------
    BarsError
        When `raw` has no column for an atom's symbol.
    """
    unknown = sorted({atom.symbol for atom in atoms} - set(raw.columns))
    if unknown:
        raise BarsError(f"synthetic matrix: expected a returns column per atom, found none for {unknown[:5]}")
    return _frame(
        raw["date"],
        {atom.id: synthesise(raw[atom.symbol].cast(pl.Float64).to_numpy(), atom.direction) for atom in atoms},
    )


def _frame(dates: pl.Series, columns: dict[str, Floats]) -> pl.DataFrame:
    return pl.DataFrame(
        [dates, *(pl.Series(name, values, pl.Float64, nan_to_null=True) for name, values in columns.items())]
    )
