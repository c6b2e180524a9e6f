"""What is said beside a trade list: currencies, what is not converted, what is not lent."""

import json
from io import StringIO
from typing import Any

from rich.console import Console

from commands.in_force import Decision
from commands.trades_text import Told, as_json, notes, print_table
from sleevegraph.trading.totals import totals
from tests.trading import AT, Book, listed, terms

A, IN_TRY, IN_USDC, ALSO_USDC = "BINANCE:AUSDT", "BINANCE:BTRY", "BINANCE:CUSDC", "BINANCE:DUSDC"


def told(book: Book, **rules: Any) -> Told:
    found = terms(**rules)
    decision = Decision("meta_made", AT, AT, "")
    return Told(decision, "hrp", "made", "2024-09-10", "", found, totals(listed(book, found), found))


def printed(book: Book) -> str:
    out = StringIO()
    print_table(Console(file=out, width=250), listed(book), told(book), "")
    return out.getvalue()


def test_a_list_in_one_quote_says_nothing_of_conversions() -> None:
    book = Book().add(A, 0.1)
    assert list(notes(listed(book), told(book))) == ["holdings: made"]
    assert json.loads(as_json(listed(book), told(book)))["currency"] == "USDT"


def test_rates_are_told_and_money_of_another_quote_is_called_so() -> None:
    book = Book().add(A, 0.1).add(IN_TRY, 0.1, price=340.7)
    expected = "cost, totals and exposures are in USDT, at the closes of 2024-09-10: 1 TRY = 0.029351335 USDT"
    assert expected in notes(listed(book), told(book))
    assert expected in json.loads(as_json(listed(book), told(book)))["notes"]
    text = printed(book)
    assert "equity 100,000.00 USDT" in text
    assert "340,700.00 TRY" in text
    assert "bought 20,000.00, sold 0.00" in text
    assert "turnover 20.00 %, estimated cost 28.00" in text


def test_what_has_no_rate_is_named_with_the_pairs_whose_bars_are_missing() -> None:
    book = Book().add(A, 0.1).add(IN_USDC, 0.1, "7").add(ALSO_USDC, 0.1)
    (note,) = (text for text in notes(listed(book), told(book)) if "USDC" in text)
    assert note == (
        "2 symbols in USDC are not traded and count as nothing (held: BINANCE:CUSDC): no close of USDCUSDT or "
        "USDTUSDC on 2024-09-10 says what they are worth in USDT; ingest the bars of either pair"
    )
    assert "no conversion" in printed(book)


def test_shorts_that_nobody_lends_are_told_with_what_they_do_to_the_net_exposure() -> None:
    book = Book().add(A, -0.1, margin=False).add(IN_TRY, 0.3)
    (note,) = (text for text in notes(listed(book), told(book)) if "margin" in text)
    assert note.startswith("1 shorts are not opened: the exchange's symbols of 2024-09-10 allow none of them on margin")
    assert "net exposure 30.00 % where 20.00 % was wanted" in note


def test_the_largest_symbol_comes_first_whatever_its_quote() -> None:
    text = printed(Book().add(A, 0.5).add(IN_TRY, 0.1, price=340.7))
    assert text.index(A.partition(":")[2]) < text.index(IN_TRY.partition(":")[2])
    text = printed(Book().add(A, 0.1).add(IN_TRY, 0.5, price=340.7))
    assert text.index(A.partition(":")[2]) > text.index(IN_TRY.partition(":")[2])
