"""Holdings that a person gives: read, or refused with file, line and column."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleevegraph.errors import ConfigurationError
from sleevegraph.trading.holdings_file import RealHoldings, read_holdings

KNOWN = {"BINANCE:ARUSDT", "BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "BINANCE:币安人生USDT"}


def whole(text: str | bytes) -> RealHoldings:
    return read_holdings(text.encode() if isinstance(text, str) else text, "h.csv", KNOWN, "BINANCE")


def read(text: str | bytes) -> dict[str, Decimal]:
    return whole(text).quantities


def test_tickers_and_symbols_in_full_are_read_in_any_case_and_column_order() -> None:
    text = 'Quantity,SYMBOL\r\n 0.5 ,"btcusdt"\r\n\r\n-1e-5,BINANCE:ETHUSDT\r\n+3.,币安人生USDT\r\n'
    expected = {"BINANCE:BTCUSDT": "0.5", "BINANCE:ETHUSDT": "-0.00001", "BINANCE:币安人生USDT": "3"}
    assert read(text) == {symbol: Decimal(quantity) for symbol, quantity in expected.items()}
    assert read(b"\xef\xbb\xbf" + text.encode()) == read(text)


def test_a_file_with_a_header_alone_holds_nothing() -> None:
    assert read("symbol,quantity\n") == {}


@pytest.mark.parametrize("sign", ["", "-"])
def test_the_largest_quantity_that_can_be_stored_is_read(sign: str) -> None:
    largest = f"{sign}{'9' * 20}.{'9' * 18}"
    assert read(f"symbol,quantity\nBTCUSDT,{largest[:-3]}\n") == {"BINANCE:BTCUSDT": Decimal(largest[:-3])}
    assert read(f"symbol,quantity\nBTCUSDT,{largest}\n") == {"BINANCE:BTCUSDT": Decimal(largest)}


@pytest.mark.parametrize("name", ["EQUITY", "equity", " Equity "])
def test_a_row_of_equity_is_no_holding(name: str) -> None:
    found = whole(f"symbol,quantity\nBTCUSDT,2\n\n{name},84213.50\n")
    assert found == RealHoldings({"BINANCE:BTCUSDT": Decimal(2)}, 84213.5, "h.csv: line 4: quantity")
    assert whole("symbol,quantity\nBTCUSDT,2\n").equity is None


@given(st.decimals(-(10**19), 10**19, places=18))
def test_a_quantity_keeps_every_digit(quantity: Decimal) -> None:
    assert read(f"symbol,quantity\nBTCUSDT,{quantity:f}\n") == {"BINANCE:BTCUSDT": quantity}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "h.csv: line 1: symbol: expected one column of that name in symbol,quantity, found an empty file"),
        ("\n\n", "h.csv: line 1: symbol: expected one column of that name in symbol,quantity, found an empty file"),
        ("symbol,amount\n", r"h.csv: line 1: quantity: .*found \['symbol', 'amount'\]"),
        (
            "symbol;quantity\nBTCUSDT;1\n",
            "h.csv: line 1: symbol: expected .*, found semicolons in 'symbol;quantity'; separate columns by commas",
        ),
        (
            "symbol\tquantity\nBTCUSDT\t1\n",
            r"h.csv: line 1: symbol: expected .*, found tabs in 'symbol\\tquantity'; separate columns by commas",
        ),
        ("sep=;\nsymbol;quantity\n", "line 1: symbol: .*found semicolons in 'sep=;'; separate columns by commas"),
        ("symbol|quantity\n", "line 1: symbol: .*found vertical bars in"),
        (
            "\nsymbol,quantity\nBTCUSDT,1\n",
            "h.csv: line 1: symbol: expected .*, found a blank line; begin the file with symbol,quantity$",
        ),
        ("name,size\n", r"h.csv: line 1: symbol: .*found \['name', 'size'\]; name the columns symbol,quantity$"),
        (
            "symbol,quantity,equity\nBTCUSDT,1,1000\n",
            "h.csv: line 1: expected no column beside symbol,quantity, found 'equity'; give it in a row EQUITY,<amount>$",
        ),
        (
            "note,symbol,quantity\nx,BTCUSDT,1\n",
            "h.csv: line 1: expected no column beside symbol,quantity, found 'note'; leave it out$",
        ),
        ("symbol,quantity,\nBTCUSDT,1,\n", "h.csv: line 1: expected no column beside symbol,quantity, found ''"),
        (
            "symbol,quantity\nEQUITY,1\nBTCUSDT,1\nequity,1\n",
            "h.csv: line 4: symbol: expected each symbol once, found 'equity', as in line 2; leave one of them out",
        ),
        *(
            (
                f"symbol,quantity\nBTCUSDT,1\nEQUITY,{text}\n",
                f"h.csv: line 3: quantity: expected a positive, finite amount of equity such as 84213.50, found '{text}'",
            )
            for text in ("-5", "0", "-0.0", "nan", "inf", "1e999", "1e-999", "much", "", "٣")
        ),
        ("symbol,quantity,quantity\n", "h.csv: line 1: quantity: expected one column"),
        ("symbol,quantity\nBTCUSDT\n", "h.csv: line 2: expected 2 fields, found 1"),
        ("symbol,quantity\nBTCUSDT,1,000\n", "h.csv: line 2: expected 2 fields, found 3"),
        ("symbol,quantity\nBTCUSDT,1\n\nBTCUSD,1\n", "line 4: symbol: .*found 'BTCUSD'; did you mean BINANCE:BTCUSDT"),
        ("symbol,quantity\nUSDT,1\n", "line 2: symbol: .*leave cash out: it is part of the equity"),
        ("symbol,quantity\nBTC,1\n", "found 'BTC'; did you mean BINANCE:BTCUSDT[?] leave cash out"),
        ("symbol,quantity\nAR,1\n", "found 'AR'; did you mean BINANCE:ARUSDT$"),
        ("symbol,quantity\n,1\n", "line 2: symbol: expected one of the 4 symbols"),
        ("symbol,quantity\nKRAKEN:BTCUSDT,1\n", "line 2: symbol: expected one of the 4 symbols"),
        (
            "symbol,quantity\nBTCUSDT,1\nbinance:btcusdt,2\n",
            "line 3: symbol: expected each symbol once, .*as in line 2",
        ),
        *(
            (
                f"symbol,quantity\nBTCUSDT,{text}\n",
                f"h.csv: line 2: quantity: expected a number such as -0.25, found '{text}'",
            )
            for text in ("", "nan", "inf", "one", "0x10", "1 000", "1_000", "--1", "1e", "٣")
        ),
        ('symbol,quantity\nBTCUSDT,"1,000"\n', "line 2: quantity: expected a number"),
        ("symbol,quantity\nBTCUSDT,0.0000000000000000001\n", "line 2: quantity: expected at most 20 digits before"),
        ("symbol,quantity\nBTCUSDT,1e20\n", "line 2: quantity: expected at most 20 digits before"),
        ('symbol,quantity\nBTCUSDT,"1\n', "h.csv: line 2: expected a line of CSV"),
        ("symbol,quantity\nBTC\0USDT,1\n", "h.csv: line 2: "),
        (b"symbol,quantity\nBTCUSDT,1\n\xe4,1\n", "h.csv: line 3: expected text in UTF-8, found byte 0xe4"),
        ("symbol,quantity\nBTCUSDT,1\n".encode("utf-16"), "h.csv: line 1: expected text in UTF-8, found byte 0xff"),
    ],
)
def test_a_bad_file_is_refused_with_its_line_in_one_line(text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as refusal:
        read(text)
    assert "\n" not in str(refusal.value)
