import json
from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from profiles.load import load_manifest
from sleevegraph.manifest import Rename, SymbolRules
from sleevegraph.symbols import former_names, renamed, split_symbol
from tests.shared import SHARED, needs_shared

RULES = SymbolRules()
PAIRS = {"ADAUSDT": ("ADA", "USDT"), "EURUSDT": ("EUR", "USDT"), "ADABTC": ("ADA", "BTC")}


def rename(old: str, new: str, since: str) -> Rename:
    return Rename(old=old, new=new, since=date.fromisoformat(since))


@pytest.mark.parametrize(
    ("ticker", "pair"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("ADAEUR", ("ADA", "EUR")),  # EUR, although AEUR is a quote: the exchange knows ADA and no AD
        ("EURAEUR", ("EUR", "AEUR")),  # AEUR, although EUR is a quote: the exchange knows EUR and no EURA
        ("ZADAEUR", ("ZAD", "AEUR")),  # nobody knows either base: the longest quote
        ("BTCFDUSD", ("BTC", "FDUSD")),
        ("币安人生USDT", ("币安人生", "USDT")),
        ("1000SATSTRY", ("1000SATS", "TRY")),
    ],
)
def test_a_ticker_is_read_by_the_exchanges_bases_first_and_by_the_longest_quote_then(
    ticker: str, pair: tuple[str, str]
) -> None:
    assert split_symbol(ticker, PAIRS, RULES) == pair


def test_the_exchanges_own_answer_stands_above_every_rule() -> None:
    assert split_symbol("ADAEUR", {**PAIRS, "ADAEUR": ("AD", "AEUR")}, RULES) == ("AD", "AEUR")


@pytest.mark.parametrize("ticker", ["MU", "LULU", "BIDU", "U", "USDT", "NOQUOTE", ""])
def test_a_ticker_that_ends_in_no_quote_or_is_one_is_no_pair(ticker: str) -> None:
    named = {**PAIRS, "BTCU": ("BTC", "U"), "USDTUSDC": ("USDT", "USDC")}
    assert split_symbol(ticker, named, RULES) is None


def test_a_quote_of_one_letter_holds_only_where_the_exchange_names_the_pair() -> None:
    named = {**PAIRS, "BTCU": ("BTC", "U"), "LULUSDT": ("LUL", "USDT")}
    assert split_symbol("BTCU", named, RULES) == ("BTC", "U")
    assert split_symbol("ADAU", named, RULES) is None
    assert split_symbol("LULU", named, RULES) is None
    assert split_symbol("UUSDT", named, RULES) == ("U", "USDT")
    assert split_symbol("MUUSDT", named, RULES) == ("MU", "USDT")
    assert split_symbol("BIDUUSDT", named, RULES) == ("BIDU", "USDT")
    with pytest.raises(ValidationError, match="quotes"):
        SymbolRules(quotes=("USDT", "U"))


def test_a_quote_that_only_the_exchange_knows_is_one() -> None:
    assert split_symbol("ADANEWQ", PAIRS, RULES) is None
    assert split_symbol("ADANEWQ", {**PAIRS, "BTCNEWQ": ("BTC", "NEWQ")}, RULES) == ("ADA", "NEWQ")


@given(st.text("ADEURSTBC", min_size=1, max_size=8), st.sampled_from(["USDT", "BTC", "EUR", "AEUR", "TUSD"]))
def test_a_reading_is_always_a_base_followed_by_a_quote(base: str, quote: str) -> None:
    pair = split_symbol(base + quote, PAIRS, RULES)
    assert pair is not None
    assert pair[0]
    assert "".join(pair) == base + quote
    assert pair[1] in RULES.quotes


def recorded_pairs() -> dict[str, tuple[str, str]]:
    listed = pl.read_parquet(SHARED / "market" / "spot_symbols.parquet")
    return {symbol: (base, quote) for symbol, base, quote in listed["symbol", "base_asset", "quote_asset"].rows()}


@needs_shared
def test_every_recorded_pair_is_read_right_when_its_own_entry_is_taken_out() -> None:
    pairs = recorded_pairs()
    assert len(pairs) == 1248
    for symbol, pair in list(pairs.items()):
        del pairs[symbol]
        assert split_symbol(symbol, pairs, RULES) == pair
        pairs[symbol] = pair


@needs_shared
def test_without_any_metadata_only_two_recorded_pairs_have_another_reading() -> None:
    pairs = recorded_pairs()
    wrong = {symbol for symbol, pair in pairs.items() if split_symbol(symbol, {}, RULES) != pair}
    # A base that ends in A, quoted in EUR: AEUR is the longer ending, and nothing says that it is not meant.
    assert wrong == {"ADAEUR", "GALAEUR"}


def test_a_coin_has_its_old_name_until_the_day_of_the_new_one() -> None:
    rules = SymbolRules(renames=(rename("MATIC", "POL", "2024-09-13"),))
    assert renamed("MATIC", date(2024, 9, 12), rules) == "MATIC"
    assert renamed("MATIC", date(2024, 9, 13), rules) == "POL"
    assert renamed("POL", date(2020, 1, 1), rules) == "POL"
    assert renamed("BTC", date(2025, 1, 1), rules) == "BTC"


def test_renames_form_a_chain_that_is_followed_both_ways() -> None:
    rules = SymbolRules(renames=(rename("B", "C", "2022-01-01"), rename("A", "B", "2020-01-01")))
    assert [renamed("A", date(year, 6, 1), rules) for year in (2019, 2021, 2023)] == ["A", "B", "C"]
    assert former_names("C", rules) == ("A", "B")
    assert former_names("A", rules) == ()


@pytest.mark.parametrize(
    ("renames", "message"),
    [
        ((("A", "B", "2020-01-01"), ("B", "A", "2021-01-01")), "renames: expected A to become B after it got its own"),
        ((("A", "A", "2020-01-01"),), "renames: expected A to become A after it got its own name"),
        ((("A", "B", "2022-01-01"), ("B", "C", "2021-01-01")), "found 2022-01-01 and 2021-01-01"),
        ((("A", "B", "2020-01-01"), ("A", "C", "2020-01-01")), r"renames.old: expected each name once, found \['A'\]"),
        ((("A", "C", "2020-01-01"), ("B", "C", "2021-01-01")), r"renames.new: expected each name once, found \['C'\]"),
        ((("A", "B/C", "2020-01-01"),), "should match pattern"),
        ((("A", "B", "2020-02-30"),), "valid date"),
    ],
)
def test_a_table_of_renames_that_tells_no_single_history_is_refused(
    renames: tuple[tuple[str, str, str], ...], message: str
) -> None:
    table = [dict(zip(("old", "new", "since"), row, strict=True)) for row in renames]
    with pytest.raises(ValidationError, match=message):
        SymbolRules.model_validate_json(json.dumps({"renames": table}))


def test_the_shipped_renames_name_the_well_known_ones() -> None:
    rules = load_manifest().market.symbols
    assert renamed("MATIC", date(2024, 9, 13), rules) == "POL"
    assert {old: renamed(old, date(2024, 1, 1), rules) for old in ("LEND", "ERD", "NANO", "BCHABC", "VEN")} == {
        "LEND": "AAVE",
        "ERD": "EGLD",
        "NANO": "XNO",
        "BCHABC": "BCH",
        "VEN": "VET",
    }
    assert rules.quotes == SymbolRules().quotes


@needs_shared
def test_shipped_renames_are_dated_by_the_recorded_bars() -> None:
    lives = (
        pl.read_parquet(SHARED / "market" / "spot_daily.parquet")
        .group_by(pl.col("symbol").str.strip_suffix("USDT").alias("base"))
        .agg(pl.col("date").min().alias("first"), pl.col("date").max().alias("last"))
    )
    first = dict(lives.select("base", "first").rows())
    last = dict(lives.select("base", "last").rows())
    recorded = [r for r in load_manifest().market.symbols.renames if r.old in first and r.new in first]
    dated = [r for r in recorded if first[r.new] > min(first.values())]
    assert len(dated) == 12
    for r in dated:
        assert first[r.new] == r.since
        assert 0 < (r.since - last[r.old]).days <= 14


@needs_shared
def test_bases_that_the_exchange_lists_are_of_one_category_and_real_coins_of_none() -> None:
    lists = load_manifest().market.universe.excluded_bases
    bases = {base for base, _ in recorded_pairs().values()}
    assert {"stable", "fiat", "wrapped", "leveraged", "pegged", "commodity"} == set(lists)
    found = {category: sorted(bases & set(listed)) for category, listed in lists.items()}
    assert found == {
        "stable": ["AEUR", "EURI", "FDUSD", "TUSD", "USDC", "USDP", "USDT"],
        "pegged": ["USTC"],
        "fiat": ["EUR"],
        "wrapped": ["WBETH", "WBTC"],
        "commodity": ["PAXG"],
        "leveraged": [],
    }
    ends_like_one = {base for base in bases if base.endswith(("UP", "DOWN", "BULL", "BEAR"))}
    assert ends_like_one == {"JUP"}
