"""Which symbols an ingest is about."""

import pytest

from profiles.load import load_manifest
from sleevegraph.errors import ConfigurationError
from sleevegraph.market_data.choosing import choose, quote_of

RULES = load_manifest().market.symbols
KNOWN = ["BTCUSDT", "ETHBTC", "ETHUSDT", "GONEUSDT", "MUUSDT", "币安人生USDT"]
PAIRS = {"BTCUSDT": ("BTC", "USDT"), "ETHBTC": ("ETH", "BTC"), "ETHUSDT": ("ETH", "USDT")}


def test_symbols_that_are_asked_for_come_sorted_and_once_whatever_they_are_quoted_in() -> None:
    assert choose(KNOWN, PAIRS, RULES, ["ETHBTC", "BTCUSDT", "ETHBTC"], ["USDT"]) == ["BTCUSDT", "ETHBTC"]


def test_without_symbols_all_of_a_quote_are_chosen_also_those_that_the_exchange_names_no_longer() -> None:
    assert choose(KNOWN, PAIRS, RULES, [], ["USDT"]) == [symbol for symbol in KNOWN if symbol != "ETHBTC"]
    assert choose(KNOWN, PAIRS, RULES, [], ["USDT", "BTC"]) == KNOWN


def test_what_the_exchange_says_comes_before_the_suffix() -> None:
    assert choose(["XUSDT"], {"XUSDT": ("XUSD", "T")}, RULES, [], ["T"]) == ["XUSDT"]


def test_a_dated_future_has_the_quote_of_its_pair() -> None:
    assert quote_of("BTCUSDT_230331", {}, RULES) == "USDT"


@pytest.mark.parametrize(
    ("asked", "said"), [("BTCUSD", "found 'BTCUSD'; did you mean BTCUSDT?"), ("../X", "found '../X'"), ("", "found ''")]
)
def test_a_symbol_that_was_never_listed_is_one_line_that_names_a_near_one(asked: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        choose(KNOWN, PAIRS, RULES, [asked], ["USDT"])
    assert str(error.value) == f"--symbols: expected symbols that the exchange ever listed, {said}"


def test_a_quote_in_which_nothing_trades_is_one_line() -> None:
    with pytest.raises(ConfigurationError, match=r"^--quotes: expected .*, found XXX among 6 symbols$"):
        choose(KNOWN, PAIRS, RULES, [], ["XXX"])
