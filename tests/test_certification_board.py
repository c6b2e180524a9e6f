"""The board says of every portfolio and rebalance what its audit says, and nothing that is not proven."""

import base64
import json
from collections.abc import Callable
from datetime import date
from io import BytesIO

import numpy as np
import polars as pl
from matplotlib.image import imread

from assets.certification_board import BOARD, COLOURS
from sleevegraph.audit.layout import LEDGER, REPORT
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome, cause, small_market

PORTFOLIOS = [LONG, SHORT, META, NESTED]


def rows(home: TemporaryHome, key: str) -> dict[str, dict[str, object]]:
    return {str(row["portfolio"]): row for row in home.read(BOARD, key).iter_rows(named=True)}


def ending(home: TemporaryHome, name: str, key: str) -> dict[str, object]:
    """The last record `end` of a ledger, read without our code."""
    lines = (home.store.runs.path(name, date.fromisoformat(key)) / LEDGER).read_text().splitlines()
    return next(record for record in map(json.loads, reversed(lines)) if record["event"] == "end")


def test_it_has_every_sleeve_and_meta_as_their_ledgers_end(home: TemporaryHome) -> None:
    for key in KEYS:
        found = rows(home, key)
        assert list(found) == PORTFOLIOS
        for name, row in found.items():
            end = ending(home, name, key)
            assert (row["standing"], row["reasons"]) == (end["standing"], end["reasons"])
            assert (row["standing"] == "CERTIFIED") == (not row["reasons"])
    assert rows(home, KEYS[1])[SHORT]["standing"] == "CERTIFIED"
    in_cash = rows(home, KEYS[3])  # the long sleeve found too few winners there
    assert in_cash[LONG]["standing"] == "DEGRADED"
    assert in_cash[META]["standing"] == in_cash[NESTED]["standing"] == "DEGRADED"


def test_a_rebalance_on_broken_bars_is_blocked_and_the_next_is_not(new_home: Callable[[], TemporaryHome]) -> None:
    home = new_home()
    broken = (pl.col("symbol") == "BINANCE:SIM004USDT") & (pl.col("date") == date(2022, 2, 12))
    bars = small_market().with_columns(high=pl.when(broken).then(pl.col("low") / 2).otherwise("high"))
    home.ingest(bars)
    assert home.run(*KEYS[:3]).success
    standings = [{str(row["standing"]) for row in rows(home, key).values()} for key in KEYS[:3]]
    assert standings[1] == {"BLOCKED"}
    assert "BLOCKED" not in standings[0] | standings[2]
    assert "bars_complete of universe: FAILED: ERROR OHLC_ORDER" in str(rows(home, KEYS[1])[SHORT]["reasons"])
    assert home.metadata(BOARD, KEYS[1])["BLOCKED"] == len(PORTFOLIOS)
    assert colours(home, KEYS[2]) >= {"CERTIFIED", "BLOCKED"}


def colours(home: TemporaryHome, key: str) -> set[str]:
    """Standings whose colour fills at least one in two hundred pixels of the board's picture."""
    text = home.metadata(BOARD, key)["picture"]
    encoded = text.split("base64,")[1].rstrip(")")
    pixels = imread(BytesIO(base64.b64decode(encoded)), format="png")[..., :3].reshape(-1, 3)
    found = set()
    for standing, colour in COLOURS.items():
        wanted = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        if (np.abs(pixels - wanted).max(axis=1) < 0.01).mean() > 0.005:
            found.add(standing)
    return found


def test_a_bundle_that_does_not_verify_certifies_nothing(home: TemporaryHome) -> None:
    assert rows(home, KEYS[1])[LONG]["standing"] == "CERTIFIED"
    report = home.store.runs.path(LONG, date.fromisoformat(KEYS[1])) / REPORT
    report.write_bytes(report.read_bytes().replace(b"CERTIFIED", b"CERTIFIEE", 1))
    assert home.run(*KEYS[:3], checks=[((LONG, "audit_bundle"), "audit_verified")]).success
    assert home.run(*KEYS[:3], assets=[BOARD]).success
    found = [rows(home, key)[LONG] for key in KEYS[:3]]
    assert [row["standing"] for row in found] == ["CERTIFIED", "BLOCKED", "CERTIFIED"]
    assert REPORT in str(found[1]["reasons"])


def test_without_a_verdict_on_the_audit_there_is_no_board(home: TemporaryHome) -> None:
    home.store.receipts.path((SHORT, "audit_bundle"), "audit_verified", KEYS[1]).unlink()
    result = home.run(KEYS[1], assets=[BOARD])
    assert not result.success
    assert f"audit_verified of {SHORT}/audit_bundle at {KEYS[1]}: no receipt" in cause(result)
