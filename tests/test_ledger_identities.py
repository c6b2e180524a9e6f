"""The audit of stored ledgers, on windows that the ledger itself wrote, with and without a planted defect."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from sleevegraph.ledger_identities import ledger_identities
from sleevegraph.ledgers import advance, open_ledgers, opening_rows
from sleevegraph.manifest import RISK_PROFILES, LedgerRules
from sleevegraph.track_record import ReturnsWindow

RULES = LedgerRules()
FIRST, SECOND, THIRD = (date(2023, 1, 5) + timedelta(days=10 * i) for i in range(3))
HRP = pl.col("profile") == "hrp"
LAST = pl.col("date") == pl.col("date").max()


def window(at: date) -> ReturnsWindow:
    rng = np.random.default_rng(at.toordinal())
    days = np.datetime64(at, "D") + np.arange(-10, 0)
    return ReturnsWindow(days, ("A", "B"), rng.normal(0.0, 0.03, (10, 2)))


def record() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """An opening partition and the two windows after it."""
    opened = open_ledgers(FIRST)
    first, then = (dict.fromkeys(RISK_PROFILES, book) for book in ({"A": 0.5, "B": -0.4}, {"A": -0.2}))
    second, state = advance(opened, first, "", lambda _: window(SECOND), RULES)
    third, _ = advance(state, then, "", lambda _: window(THIRD), RULES)
    return opening_rows(opened), second, third


def judge(third: pl.DataFrame, before: pl.DataFrame | None = None) -> list[str]:
    earlier = record()[1] if before is None else before
    return [finding.code for finding in ledger_identities(third, earlier, THIRD, RULES.cost)]


def changed(column: str, where: pl.Expr, value: pl.Expr) -> pl.DataFrame:
    return record()[2].with_columns(pl.when(where).then(value).otherwise(column).alias(column))


def test_what_the_ledger_writes_adds_up() -> None:
    opening, second, third = record()
    assert ledger_identities(opening, None, FIRST, RULES.cost) == []
    assert ledger_identities(second, opening, SECOND, RULES.cost) == []
    assert ledger_identities(third, second, THIRD, RULES.cost) == []


@pytest.mark.parametrize(
    ("planted", "codes"),
    [
        (record()[2].filter(~HRP), ["PROFILE_MISSING"]),
        (record()[2].filter(~(HRP & LAST)), ["DAYS_MISSING"]),
        (changed("equity", HRP & LAST, pl.lit(float("nan"))), ["NOT_FINITE"]),
        (
            changed("equity", HRP & LAST, pl.col("equity") + 1e-6),
            ["EQUITY_IDENTITY", "HOLDINGS_IDENTITY", "HOLDINGS_IDENTITY"],
        ),
        (changed("ret", HRP & LAST, -pl.col("ret")), ["EQUITY_IDENTITY"]),
        (changed("cash", HRP & LAST, pl.col("cash") + 1e-6), ["HOLDINGS_IDENTITY"]),
        (changed("net", HRP & LAST, -pl.col("net")), ["HOLDINGS_IDENTITY"]),
        (changed("cost", HRP, pl.lit(0.0)), ["COST_IDENTITY"]),
        (changed("turnover", HRP & LAST, pl.lit(0.5)), ["COST_IDENTITY"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_each_defect_is_found(planted: pl.DataFrame, codes: list[str]) -> None:
    assert judge(planted) == codes


def test_a_record_that_does_not_continue_the_one_before_is_found() -> None:
    _, second, third = record()
    grown = second.with_columns(equity=pl.col("equity") * 1.01)
    assert judge(third, grown) == ["EQUITY_IDENTITY"] * len(RISK_PROFILES)
    earlier = second.with_columns(pl.col("date") - timedelta(days=10))
    assert judge(third, earlier) == ["RECORD_BROKEN"] * len(RISK_PROFILES)
    assert [f.code for f in ledger_identities(third, None, THIRD, RULES.cost)] == ["DAYS_MISSING"] * len(RISK_PROFILES)
