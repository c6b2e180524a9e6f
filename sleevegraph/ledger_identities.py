"""Judge whether a stored window of track records adds up, day by day, and continues the window before.

It recomputes what the ledger promised from what is stored, and shares no code with the simulation.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from math import fsum, isfinite
from typing import Any

import polars as pl

from sleevegraph.calendar import STEP_DAYS
from sleevegraph.findings import Finding
from sleevegraph.manifest import RISK_PROFILES
from sleevegraph.track_record import CASH

TOLERANCE = 1e-9
"""Relative to wealth: the ledger itself keeps to 1e-12, but a product of ten days may lose some of that."""

Row = dict[str, Any]


def ledger_identities(rows: pl.DataFrame, before: pl.DataFrame | None, at: date, cost_rate: float) -> list[Finding]:
    """Every defect of one window of a sleeve's or meta's ledgers; all are errors.

    Parameters
    ----------
    rows
        `ledgers.SCHEMA`, the partition at `at`: the days from the previous rebalance to the day before.
    before
        The partition before; None where the record begins at `at`, which then holds one row per profile without a return.
    cost_rate
        Cost of one unit of turnover.

    Returns
    -------
    list of Finding
        PROFILE_MISSING, DAYS_MISSING, NOT_FINITE, EQUITY_IDENTITY (wealth is that of the day before and the day's return),
        HOLDINGS_IDENTITY (wealth is cash and positions), COST_IDENTITY (cost is rate times turnover), RECORD_BROKEN (the
        window does not begin where the one before ended).
    """
    findings = []
    parts = {str(name): part.sort("date") for (name,), part in rows.partition_by("profile", as_dict=True).items()}
    ended = {} if before is None else {str(row["profile"]): row for row in _last_rows(before)}
    for profile in RISK_PROFILES:
        if profile not in parts:
            findings.append(_error("PROFILE_MISSING", profile, "expected a ledger, found no row"))
            continue
        days = parts[profile].to_dicts()
        unreadable = [*_days(profile, days, at, opening=before is None), *_finite(profile, days)]
        findings += unreadable or _walk(profile, days, ended.get(profile), cost_rate)
    return findings


def _last_rows(rows: pl.DataFrame) -> list[Row]:
    return rows.filter(pl.col("holdings").list.len() > 0).to_dicts()


def _days(profile: str, days: list[Row], at: date, *, opening: bool) -> list[Finding]:
    count = 1 if opening else STEP_DAYS
    expected = [at - timedelta(days=count - i) for i in range(count)]
    found = [day["date"] for day in days]
    if found == expected:
        return []
    text = f"expected {count} days from {expected[0]} to {expected[-1]}, found {len(found)}"
    missing = [str(day) for day in expected if day not in found]
    return [_error("DAYS_MISSING", profile, text + (f", none on {', '.join(missing[:3])}" if missing else ""))]


def _finite(profile: str, days: list[Row]) -> list[Finding]:
    return [
        _error("NOT_FINITE", profile, f"{day['date']}: {name}: expected a finite number, found {day[name]}")
        for day in days
        for name in ("equity", "cash", "gross", "net")
        if not isinstance(day[name], float) or not isfinite(day[name])
    ]


def _walk(profile: str, days: list[Row], ended: Row | None, cost_rate: float) -> Iterator[Finding]:
    wealth = 1.0 if ended is None else _number(ended["equity"])
    if ended is not None and ended["date"] != days[0]["date"] - timedelta(days=1):
        yield _error("RECORD_BROKEN", profile, f"expected to continue {ended['date']}, found {days[0]['date']}")
    for day in days:
        expected, found = wealth * (1.0 + _number(day["ret"])), _number(day["equity"])
        if not abs(found - expected) <= TOLERANCE * max(1.0, wealth):
            yield _error("EQUITY_IDENTITY", profile, f"{day['date']}: expected wealth {expected!r}, found {found!r}")
        charged = cost_rate * _number(day["turnover"])
        if not abs(_number(day["cost"]) - min(charged, 1.0)) <= TOLERANCE:
            yield _error("COST_IDENTITY", profile, f"{day['date']}: expected cost {charged!r}, found {day['cost']!r}")
        wealth = found
    yield from _holdings(profile, days[-1])


def _holdings(profile: str, day: Row) -> Iterator[Finding]:
    held = {entry["symbol"]: entry["value"] for entry in day["holdings"]}
    wealth, net = _number(day["equity"]), fsum(value for symbol, value in held.items() if symbol != CASH)
    if not abs(fsum(held.values()) - wealth) <= TOLERANCE * max(1.0, wealth):
        yield _error(
            "HOLDINGS_IDENTITY", profile, f"expected cash and positions {wealth!r}, found {fsum(held.values())!r}"
        )
    if not abs(held.get(CASH, 0.0) - _number(day["cash"])) <= TOLERANCE * max(1.0, wealth):
        yield _error("HOLDINGS_IDENTITY", profile, f"expected cash {day['cash']!r}, found {held.get(CASH)!r}")
    if wealth > 0.0 and not abs(net / wealth - _number(day["net"])) <= TOLERANCE:
        yield _error("HOLDINGS_IDENTITY", profile, f"expected net {net / wealth!r}, found {day['net']!r}")


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _error(code: str, profile: str, text: str) -> Finding:
    return Finding("ERROR", code, "", f"{profile}: {text}")
