"""Section 6: physical returns turned so that solvers only ever see long-only streams."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from sleevegraph.atoms import Atom, Direction
from sleevegraph.errors import BarsError
from sleevegraph.panel import Floats, Panel

MAX_SHORT_LOSS = 1.0
"""A short loses at most its allocation, so a rise above +100 % costs no more than one of +100 %."""

STREAMS_SCHEMA = pl.Schema(
    {
        "date": pl.Date(),
        "symbol": pl.String(),
        "logic": pl.String(),
        "direction": pl.String(),
        "raw": pl.Float64(),
        "synthetic": pl.Float64(),
    }
)


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


def long_streams(raw: pl.DataFrame, synthetic: pl.DataFrame, atoms: Sequence[Atom]) -> pl.DataFrame:
    """Both matrices as rows [date, symbol, logic, direction, raw, synthetic], atom by atom, to store and to query."""
    return pl.concat(
        pl.DataFrame(
            {
                "date": raw["date"],
                "symbol": atom.symbol,
                "logic": atom.logic,
                "direction": atom.direction,
                "raw": raw[atom.symbol],
                "synthetic": synthetic[atom.id],
            },
            schema=STREAMS_SCHEMA,
        )
        for atom in atoms
    )


def wide_streams(rows: pl.DataFrame) -> tuple[list[Atom], pl.DataFrame]:
    """The atoms of `long_streams` rows in their order, and `date` with one synthetic column per atom id."""
    atoms = [Atom(*key) for key in rows.select("symbol", "logic", "direction").unique(maintain_order=True).iter_rows()]
    parts = rows.partition_by("symbol", "logic", "direction", maintain_order=True)
    columns = [part["synthetic"].alias(atom.id) for atom, part in zip(atoms, parts, strict=True)]
    return atoms, pl.DataFrame([parts[0]["date"], *columns])


def _frame(dates: pl.Series, columns: dict[str, Floats]) -> pl.DataFrame:
    return pl.DataFrame(
        [dates, *(pl.Series(name, values, pl.Float64, nan_to_null=True) for name, values in columns.items())]
    )
