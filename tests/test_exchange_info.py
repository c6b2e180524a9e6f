import copy
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import polars as pl
import pytest

from sleevegraph.errors import ArchiveError
from sleevegraph.market_data.exchange_info import CHANGES, SCHEMA, changes, exchange_info, unusable
from tests.shared import SHARED, needs_shared

AS_OF = datetime(2024, 9, 8, 17, 36, 48, tzinfo=UTC)
FILTERED = {"tick_size", "min_price", "step_size", "min_qty", "max_qty", "min_notional"}


def symbol(name: str, base: str = "AAA", status: str = "TRADING") -> dict[str, Any]:
    return {
        "symbol": name,
        "status": status,
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quoteAssetPrecision": 8,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissionSets": [["SPOT", "MARGIN"]],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "1.0", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "minQty": "0.10", "maxQty": "9000.00", "stepSize": "0.10"},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
        ],
    }


def answer(*symbols: dict[str, Any]) -> dict[str, Any]:
    return {"timezone": "UTC", "serverTime": 1725817008719, "symbols": list(symbols)}


@cache
def recorded() -> dict[str, Any]:
    with gzip.open(SHARED / "market" / "raw" / "exchangeInfo_spot_2024-09-08.json.gz") as file:
        return json.load(file)


@needs_shared
def test_the_recorded_answer_gives_the_recorded_table() -> None:
    table = pl.read_parquet(SHARED / "market" / "spot_symbols.parquet")
    rows = exchange_info(recorded(), AS_OF)
    assert rows.schema == SCHEMA
    assert rows.drop("as_of").equals(table.sort("symbol"))
    assert rows["as_of"].unique().to_list() == [AS_OF]
    assert unusable(recorded()) == []


def test_numbers_stay_the_decimals_that_the_exchange_wrote() -> None:
    row = exchange_info(answer(symbol("AAAUSDT")), AS_OF).row(0, named=True)
    assert (row["tick_size"], row["max_qty"], row["min_notional"]) == ("0.01000000", "9000.00", "5.00000000")
    assert row["permission_sets"] == '[["SPOT","MARGIN"]]'


def test_the_older_names_of_a_filter_and_of_permissions_are_read() -> None:
    old = symbol("AAAUSDT")
    old["filters"][2]["filterType"] = "MIN_NOTIONAL"
    old["permissions"] = old.pop("permissionSets")[0]
    assert exchange_info(answer(old), AS_OF).equals(exchange_info(answer(symbol("AAAUSDT")), AS_OF))


def test_a_ticker_of_another_script_is_a_symbol() -> None:
    assert exchange_info(answer(symbol("币安人生USDT", "币安人生")), AS_OF)["base_asset"].to_list() == ["币安人生"]


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda entry: entry.pop(key)


def put(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda entry: entry.__setitem__(key, value)


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (without("status"), "AAAUSDT"),
        (put("status", "\ud800"), "AAAUSDT"),
        (put("baseAsset", ""), "AAAUSDT"),
        (put("baseAsset", "A/B"), "AAAUSDT"),
        (put("quoteAsset", 1), "AAAUSDT"),
        (put("symbol", "../AAA"), "'../AAA'"),
        (put("symbol", "A\n\ud800"), r"'A\n\ud800'"),
        (put("symbol", "A" * 99), "'" + "A" * 59),
        (put("symbol", None), "None"),
    ],
)
def test_an_entry_without_its_names_is_left_out_and_told(spoil: Callable[[dict[str, Any]], object], name: str) -> None:
    sound, odd = [symbol("BBBUSDT"), symbol("CCCUSDT")], symbol("AAAUSDT")
    spoil(odd)
    assert exchange_info(answer(sound[0], odd, sound[1]), AS_OF).equals(exchange_info(answer(*sound), AS_OF))
    assert unusable(answer(sound[0], odd, sound[1])) == [name]
    assert unusable(answer(*sound)) == []


@pytest.mark.parametrize(
    ("spoil", "fields"),
    [
        (without("quoteAssetPrecision"), {"quote_precision"}),
        (put("quoteAssetPrecision", "8"), {"quote_precision"}),
        (put("baseAssetPrecision", True), {"base_precision"}),
        (put("baseAssetPrecision", 10**30), {"base_precision"}),
        (put("isSpotTradingAllowed", 1), {"is_spot"}),
        (without("permissionSets"), {"permission_sets"}),
        (put("permissionSets", "SPOT"), {"permission_sets"}),
        (put("filters", []), FILTERED),
        (put("filters", "none"), FILTERED),
        (without("filters"), FILTERED),
        (lambda entry: entry["filters"].pop(), {"min_notional"}),
        (lambda entry: entry["filters"].__setitem__(0, "PRICE_FILTER"), {"tick_size", "min_price"}),
        (lambda entry: entry["filters"][0].pop("tickSize"), {"tick_size"}),
        (lambda entry: entry["filters"][1].update(minQty="1e9"), {"min_qty"}),
    ],
)
def test_what_an_entry_does_not_say_is_null_and_the_rest_is_kept(
    spoil: Callable[[dict[str, Any]], object], fields: set[str]
) -> None:
    entry = symbol("AAAUSDT")
    sound = exchange_info(answer(entry), AS_OF).row(0, named=True)
    spoil(entry)
    frame = exchange_info(answer(entry), AS_OF)
    assert frame.schema == SCHEMA
    assert frame.row(0, named=True) == sound | dict.fromkeys(fields)
    assert unusable(answer(entry)) == []


def test_an_answer_with_more_than_half_of_its_entries_unusable_is_refused() -> None:
    sound, odd = [symbol("AAAUSDT"), symbol("BBBUSDT")], [{"symbol": "CCCUSDT"}, "DDDUSDT", []]
    assert exchange_info(answer(*sound, *odd[:2]), AS_OF).height == 2
    with pytest.raises(ArchiveError, match="in most of 5 entries, found 3 without, first CCCUSDT; ask again"):
        exchange_info(answer(*sound, *odd), AS_OF)


@pytest.mark.parametrize(
    ("malformed", "message"),
    [
        ({}, "symbols: expected list, found None"),
        ({"symbols": {}}, "symbols: expected list"),
        ({"symbols": []}, "symbols: expected at least one, found none"),
        ({"symbols": ["AAAUSDT"]}, "in most of 1 entries, found 1 without, first AAAUSDT"),
        (answer(symbol("AAAUSDT"), symbol("AAAUSDT")), "AAAUSDT: expected each symbol once"),
        ({"code": 0, "msg": "Service unavailable from a restricted location"}, "symbols: expected list, found None"),
    ],
)
def test_an_answer_that_is_no_list_of_symbols_is_refused(malformed: dict[str, Any], message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        exchange_info(malformed, AS_OF)


def test_changes_are_listings_delistings_and_fields() -> None:
    before = [symbol("STAYS"), symbol("GOES"), symbol("HALTS"), symbol("RETURNS", status="BREAK"), symbol("OTHER")]
    after = copy.deepcopy([before[0], before[2], before[3], before[4]])
    after[1]["status"] = "BREAK"
    after[2]["status"] = "TRADING"
    after[3]["filters"][0]["tickSize"] = "0.00100000"
    after.append(symbol("COMES"))
    found = changes(exchange_info(answer(*before), AS_OF), exchange_info(answer(*after), AS_OF.replace(day=9)))
    assert found.schema == CHANGES
    assert found.rows() == [
        ("COMES", "listed", "status", None, "TRADING"),
        ("GOES", "delisted", "status", "TRADING", None),
        ("HALTS", "delisted", "status", "TRADING", "BREAK"),
        ("OTHER", "changed", "tick_size", "0.01000000", "0.00100000"),
        ("RETURNS", "listed", "status", "BREAK", "TRADING"),
    ]


def test_a_rule_that_the_exchange_no_longer_gives_is_a_change() -> None:
    entry = symbol("AAAUSDT")
    before = exchange_info(answer(entry), AS_OF)
    entry["filters"].pop()
    after = exchange_info(answer(entry), AS_OF)
    assert changes(before, after).rows() == [("AAAUSDT", "changed", "min_notional", "5.00000000", None)]
    assert changes(after, before).rows() == [("AAAUSDT", "changed", "min_notional", None, "5.00000000")]
    assert not changes(after, after).height


def test_a_symbol_that_does_not_trade_is_no_listing_when_it_appears_and_no_delisting_when_it_goes() -> None:
    with_it = exchange_info(answer(symbol("STAYS"), symbol("HALTED", status="BREAK")), AS_OF)
    without_it = exchange_info(answer(symbol("STAYS")), AS_OF)
    assert changes(without_it, with_it)["change"].to_list() == ["changed"]
    assert changes(with_it, without_it)["change"].to_list() == ["changed"]
    assert not changes(with_it, with_it).height


@needs_shared
def test_the_recorded_answer_differs_from_itself_in_nothing_but_what_was_planted() -> None:
    planted = copy.deepcopy(recorded())
    gone = planted["symbols"].pop(7)
    before, after = exchange_info(recorded(), AS_OF), exchange_info(planted, AS_OF)
    assert changes(before, after).rows() == [(gone["symbol"], "delisted", "status", "TRADING", None)]
