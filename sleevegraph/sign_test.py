"""Section 6: the directional sign test, exact, before and after optimisation.

It recomputes what synthesis promised and shares no code with it, so that one mistake cannot pass both.
"""

from collections import Counter
from collections.abc import Sequence
from math import isfinite

import numpy as np
import polars as pl

from sleevegraph.atoms import Atom, sign_of
from sleevegraph.findings import Finding

__all__ = ["Atom", "Finding", "directional_sign_test", "optimised_sign_test"]

CASH = "CASH"
NORMALISATION_TOLERANCE = 1e-9

_WEIGHT_COLUMNS = ("engine", "profile", "symbol", "logic", "direction", "weight", "net")


def directional_sign_test(raw: pl.DataFrame, synthetic: pl.DataFrame, atoms: Sequence[Atom]) -> list[Finding]:
    """Check every atom on every row: LONG s = r, SHORT s = -min(r, 1), missing exactly where r is.

    Parameters
    ----------
    raw
        `date` and one column of physical returns per symbol; null and NaN are both missing.
    synthetic
        The same dates and one column per atom id.
    atoms
        What is to be checked; each has its own synthetic column, and there are no others.

    Returns
    -------
    list[Finding]
        Empty when all is well; every finding is an error. Tolerance is zero.
    """
    if not atoms:
        return [_error("NO_ATOMS", "", "expected at least one atom to check, found none")]
    findings = [
        *_repeat_findings(atoms),
        *_frame_findings(raw, "MISSING_RAW", "returns matrix"),
        *_frame_findings(synthetic, "MISSING_SYNTHETIC", "synthetic matrix"),
        *_stray_findings(synthetic, atoms),
    ]
    dates = _date_findings(raw, synthetic)
    for atom in atoms:
        columns = _column_findings(raw, synthetic, atom)
        findings += columns
        if not columns and not dates:
            findings += _row_findings(raw, synthetic, atom)
    return findings + dates


def optimised_sign_test(weights: pl.DataFrame, atoms: Sequence[Atom]) -> list[Finding]:
    """Check solved weights: finite and >= 0 in synthetic space, net = weight x sign exactly, sum 1 with cash.

    Parameters
    ----------
    weights
        [engine, profile, symbol, logic, direction, weight, net]; a cash row has symbol CASH, no direction and net 0.
    atoms
        The atoms that passed `directional_sign_test`; a weight on any other has no tested stream.

    Returns
    -------
    list[Finding]
        Empty when all is well; every finding is an error.
    """
    if weights.is_empty():
        return [_error("NO_ATOMS", "", "expected weights to check, found no row")]
    tested = {(atom.symbol, atom.logic, atom.direction) for atom in atoms}
    findings: list[Finding] = []
    sums: dict[tuple[str, str], list[float]] = {}
    for engine, profile, symbol, logic, direction, weight, net in weights.select(_WEIGHT_COLUMNS).iter_rows():
        sums.setdefault((engine, profile), []).append(float("nan") if weight is None else weight)
        found = f"{engine}/{profile}: {symbol}: weight {weight!r}, net {net!r}"
        if symbol == CASH:
            sign, code = 0, "OPTIMIZER_NOT_NORMALIZED"
        elif (symbol, logic, direction) in tested:
            sign, code = sign_of(direction), "LONG_MISMATCH" if direction == "LONG" else "SHORT_NOT_INVERTED"
        else:
            text = f"{engine}/{profile}: expected weights on tested atoms only, found {symbol} {logic} {direction}"
            findings.append(_error("MISSING_SYNTHETIC", symbol, text))
            continue
        if weight is None or not isfinite(weight) or weight < 0:
            findings.append(_error(code, symbol, f"{found}: expected a finite weight >= 0 in synthetic space"))
        elif net != weight * sign:
            findings.append(_error(code, symbol, f"{found}: expected net {weight * sign!r}"))
    for (engine, profile), held in sums.items():
        total = sum(held)
        if not abs(total - 1.0) <= NORMALISATION_TOLERANCE:
            message = f"{engine}/{profile}: expected weights with cash to sum to 1, found {total!r}"
            findings.append(_error("OPTIMIZER_NOT_NORMALIZED", "", message))
    return findings


def _error(code: str, symbol: str, message: str) -> Finding:
    return Finding("ERROR", code, symbol, message)


def _repeat_findings(atoms: Sequence[Atom]) -> list[Finding]:
    repeated = [atom for atom, times in Counter(atoms).items() if times > 1]
    return [
        _error("MISSING_SYNTHETIC", a.symbol, f"{a.id}: expected one atom per synthetic column, found it listed twice")
        for a in repeated
    ]


def _frame_findings(frame: pl.DataFrame, code: str, name: str) -> list[Finding]:
    if "date" in frame.columns and frame.width > 1:
        return []
    return [_error(code, "", f"{name}: expected a date column and streams beside it, found columns {frame.columns}")]


def _stray_findings(synthetic: pl.DataFrame, atoms: Sequence[Atom]) -> list[Finding]:
    expected = {"date", *(atom.id for atom in atoms)}
    return [
        _error("MISSING_PHYSICAL_COL", name, f"{name}: expected an atom behind every synthetic column, found none")
        for name in synthetic.columns
        if name not in expected
    ]


def _date_findings(raw: pl.DataFrame, synthetic: pl.DataFrame) -> list[Finding]:
    """Compare the rows' dates; a frame without dates or rows is reported elsewhere."""
    if "date" not in raw.columns or "date" not in synthetic.columns or raw.is_empty() or synthetic.is_empty():
        return []
    ours, theirs = raw["date"].to_list(), synthetic["date"].to_list()
    if ours == theirs:
        return []
    only_synthetic = sorted(set(theirs) - set(ours))
    code = "MISSING_RAW" if only_synthetic and not set(ours) - set(theirs) else "MISSING_SYNTHETIC"
    row = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    found = theirs[row] if row < len(theirs) else "no row"
    expected = ours[row] if row < len(ours) else "no row"
    return [_error(code, "", f"dates differ from row {row}: expected {expected}, found {found}; no row was compared")]


def _column_findings(raw: pl.DataFrame, synthetic: pl.DataFrame, atom: Atom) -> list[Finding]:
    """Say what keeps an atom's rows from being compared at all."""
    findings = []
    for frame, name, absent, empty in (
        (synthetic, atom.id, "MISSING_SYNTHETIC", "EMPTY_SYNTHETIC"),
        (raw, atom.symbol, "MISSING_PHYSICAL_COL", "EMPTY_RAW"),
    ):
        if name not in frame.columns:
            findings.append(_error(absent, atom.symbol, f"{atom.id}: expected a column {name}, found none"))
        elif np.isnan(_values(frame, name)).all():
            text = f"{atom.id}: expected values in column {name}, found none in {frame.height} rows"
            findings.append(_error(empty, atom.symbol, text))
    return findings


def _row_findings(raw: pl.DataFrame, synthetic: pl.DataFrame, atom: Atom) -> list[Finding]:
    physical, found = _values(raw, atom.symbol), _values(synthetic, atom.id)
    long = atom.direction == "LONG"
    expected = physical if long else np.where(physical > 1.0, -1.0, -physical)
    wrong = np.flatnonzero(~((expected == found) | (np.isnan(expected) & np.isnan(found))))
    if wrong.size == 0:
        return []
    row = int(wrong[0])
    text = (
        f"{atom.id}: expected {float(expected[row])!r} on {raw['date'][row]} where {atom.symbol} returned "
        f"{float(physical[row])!r}, found {float(found[row])!r}; {wrong.size} of {found.size} rows differ"
    )
    return [_error("LONG_MISMATCH" if long else "SHORT_NOT_INVERTED", atom.symbol, text)]


def _values(frame: pl.DataFrame, column: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return frame[column].cast(pl.Float64, strict=False).to_numpy()
