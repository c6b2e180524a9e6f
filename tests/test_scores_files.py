"""Files of scores: what is read of them, and which line is named of what is not."""

import csv
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles import scores_files
from profiles.scores_files import read_scores
from sleevegraph.errors import SignalError
from tests.signal_markets import AT, market, signal_of

ROWS = (
    ("2023-05-01,BINANCE:AAAUSDT,9", ""),
    ("2023-06-08,BINANCE:AAAUSDT,nan", ""),
    ("2023-06-09,BINANCE:AAAUSDT,0.25", ""),
)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2023-06-09,BINANCE:BBBUSDT,nan", "line 5: expected a symbol and a finite score, found BINANCE:BBBUSDT nan on 2023-06-09"),
        ("2023-06-09,BINANCE:BBBUSDT,inf", "line 5: expected a symbol and a finite score, found BINANCE:BBBUSDT inf"),
        ("2023-06-09,BINANCE:BBBUSDT,high", "line 5: expected a symbol and a finite score, found BINANCE:BBBUSDT without a number"),
        ("2023-06-09,,1", "line 5: expected a symbol and a finite score, found None 1.0"),
        ("2023-06-09,BINANCE:AAAUSDT,0.25", "line 5: expected one score a day, found BINANCE:AAAUSDT 0.25"),
        ("2023-06-09,AAAUSDT,1", "line 5: expected a symbol with a bar before 2023-06-10, found AAAUSDT 1.0"),
    ],
)  # fmt: skip
def test_a_broken_row_of_the_day_that_is_used_is_refused_with_its_line(tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "sleeves").mkdir()
    lines = ["date,symbol,score", *(line for line, _ in ROWS), row]
    (tmp_path / "sleeves" / "own.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(SignalError) as error:
        signal_of({"scores": "own.csv"}, tmp_path).opened()(market(), AT)
    assert str(error.value).startswith(f"signal own: signal.scores: own.csv: {said}")


def test_blank_lines_of_a_scores_file_are_counted_and_no_rows(tmp_path: Path) -> None:
    (tmp_path / "sleeves").mkdir()
    text = "date,symbol,score\n\n2023-06-09,BINANCE:AAAUSDT,0.25\n\n2023-06-09,BINANCE:BBBUSDT,{}\n\n"
    file = tmp_path / "sleeves" / "own.csv"
    file.write_text(text.format(1))
    found = signal_of({"scores": "own.csv"}, tmp_path).opened()(market(), AT)
    assert found.rows() == [("BINANCE:AAAUSDT", 0.25), ("BINANCE:BBBUSDT", 1.0)]
    file.write_text(text.format("nan"))
    with pytest.raises(SignalError, match=r"own\.csv: line 5: expected a symbol and a finite score"):
        signal_of({"scores": "own.csv"}, tmp_path).opened()(market(), AT)


def test_the_name_of_a_scores_file_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "sleeves").mkdir()
    for name, score in (("own[1].csv", 1), ("own1.csv", 2)):
        (tmp_path / "sleeves" / name).write_text(f"date,symbol,score\n2023-06-09,BINANCE:AAAUSDT,{score}\n")
    found = signal_of({"scores": "own[1].csv"}, tmp_path).opened()(market(), AT)
    assert found.rows() == [("BINANCE:AAAUSDT", 1.0)]


def test_scores_of_a_parquet_file_are_the_newest_before_p_and_must_not_be_too_old(tmp_path: Path) -> None:
    days = [date(2023, 5, 30), date(2023, 6, 8), date(2023, 6, 8), date(2023, 6, 10)]
    symbols = ["BINANCE:AAAUSDT", "BINANCE:BBBUSDT", "BINANCE:AAAUSDT", "BINANCE:AAAUSDT"]
    file = tmp_path / "own.parquet"
    pl.DataFrame({"date": days, "symbol": symbols, "score": [1, 2, 3, 4]}).write_parquet(file)
    score = signal_of({"scores": str(file), "max_age_days": 3}).opened()
    assert score(market(), AT).rows() == [("BINANCE:AAAUSDT", 3.0), ("BINANCE:BBBUSDT", 2.0)]
    assert score(market(), date(2023, 6, 11)).rows() == [("BINANCE:AAAUSDT", 4.0)]
    assert score(market(), date(2023, 6, 2)).rows() == [("BINANCE:AAAUSDT", 1.0)]
    with pytest.raises(
        SignalError, match="at most 3 days before 2023-06-03, found the newest of 2023-05-30, 4 days old"
    ):
        score(market(), date(2023, 6, 3))
    with pytest.raises(SignalError, match="expected scores dated before 2023-05-30, found only later ones"):
        score(market(), date(2023, 5, 30))
    pl.DataFrame({"date": days, "symbol": symbols, "score": [1.0, None, 3.0, 4.0]}).write_parquet(file)
    with pytest.raises(SignalError, match="row 2: expected a symbol and a finite score, found BINANCE:BBBUSDT without"):
        signal_of({"scores": str(file), "max_age_days": 3}).opened()(market(), AT)


def test_lines_are_those_of_the_file_where_a_field_has_more_than_one(tmp_path: Path) -> None:
    (tmp_path / "sleeves").mkdir()
    file = tmp_path / "sleeves" / "own.csv"
    text = 'date,symbol,score,note\n2023-06-09,BINANCE:AAAUSDT,1,"two\nlines"\n2023-06-09,BINANCE:BBBUSDT,{},"a ""word"""\n'
    file.write_text(text.format(2))
    found = signal_of({"scores": "own.csv"}, tmp_path).opened()(market(), AT)
    assert found.rows() == [("BINANCE:AAAUSDT", 1.0), ("BINANCE:BBBUSDT", 2.0)]
    file.write_text(text.format("nan"))
    with pytest.raises(SignalError, match=r"own\.csv: line 4: expected a symbol and a finite score"):
        signal_of({"scores": "own.csv"}, tmp_path).opened()(market(), AT)


def test_a_symbol_that_would_break_the_line_of_the_error_is_escaped(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text('date,symbol,score\n2023-06-09,"A\nB\x1b",1\n')
    with pytest.raises(SignalError, match=r"line 2: expected a symbol with a bar .* found A\\nB\\x1b 1\.0 on"):
        signal_of({"scores": str(file)}).opened()(market(), AT)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_bytes(b"\xef\xbb\xbfdate,symbol,score\r\n2023-06-09,M\xfcller,1\r\n")
    with pytest.raises(SignalError, match=r"^x: line 2: expected UTF-8 text, found byte 0xfc; save the file as UTF-8$"):
        read_scores(file, "x")


@pytest.mark.parametrize("name", ["own.csv", "own.CSV", "own.Csv"])
def test_a_csv_is_told_by_its_suffix_in_any_case_and_may_begin_with_a_byte_order_mark(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_bytes(b"\xef\xbb\xbfdate,symbol,score\r\n2023-06-09,BINANCE:AAAUSDT,1\r\n")
    signal = signal_of({"scores": str(file)})
    assert signal.opened()(market(), AT).rows() == [("BINANCE:AAAUSDT", 1.0)]
    file.write_text("date,symbol,score\n2023-06-09,BINANCE:AAAUSDT,nan\n")
    with pytest.raises(SignalError, match="line 2: expected a symbol and a finite score"):
        signal.opened()(market(), AT)


def test_a_parquet_with_a_date_beyond_the_calendar_is_refused_with_its_row(tmp_path: Path) -> None:
    far = pl.Series([19_000, 9_999_999]).cast(pl.Date)
    pl.DataFrame({"date": far, "symbol": ["A", "B"], "score": [1.0, 2.0]}).write_parquet(tmp_path / "own.parquet")
    with pytest.raises(SignalError, match=r"row 2: expected a date such as 2023-12-21, found '\+29349-01-25'"):
        read_scores(tmp_path / "own.parquet", "x")


ENDS = st.sampled_from(["\n"] * 6 + ["\r\n", "\n\n", "\r\n\r\n"])
FIELDS = {
    "date": st.sampled_from(["2023-06-09"] * 9 + ["", "9 June"]),
    "symbol": st.sampled_from(["A", "B", "é", " A", ""]),
    "score": st.sampled_from(["1", "-0.5", "1e-3", "nan", "x", ""]),
}
HEADERS = ("date,symbol,score", "score,note,date,symbol", "date,symbol,score,,")


@given(data=st.data(), header=st.sampled_from(HEADERS))
@settings(max_examples=400, deadline=None)
def test_a_file_that_is_read_at_once_reads_as_one_that_is_read_record_by_record(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, header: str
) -> None:
    field = st.sampled_from(
        ["{}"] * 8 + ['"{}"'] * 4 + ['"{},n"', '"{}\n{}"', '"{},1\n2023-06-09,B"', '"{}""n"', '{}"n"', '"{}']
    )
    record = st.tuples(*(st.tuples(field, FIELDS.get(name, st.sampled_from(["", "n"]))) for name in header.split(",")))
    written = record.map(lambda fields: ",".join(shape.replace("{}", text) for shape, text in fields))
    broken = st.sampled_from([",", ",,", ",,,,", "2023-06-09,A", "2023-06-09,A,1,n,m,o"])
    rows = st.lists(st.tuples(st.one_of(*[written] * 9, broken), ENDS), max_size=6)
    body = "".join(row + end for row, end in data.draw(rows))
    body = body if data.draw(st.booleans()) else body.rstrip("\r\n")
    file = tmp_path_factory.getbasetemp() / "scores.csv"
    head = header.replace("score", '"score"') if data.draw(st.booleans()) else header
    file.write_bytes(f"{head}\n{body}".encode())
    found = []
    for patched in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if patched:
                patch.setattr(scores_files, "_plain", lambda *_: None)
            try:
                found.append(read_scores(file, "x").rows())
            except SignalError as error:
                found.append(str(error))
    assert repr(found[0]) == repr(found[1])


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        ("2023-06-09,A,1\n2023-06-09,B,2\n", True),
        ('"2023-06-09","A","1"\r\n"2023-06-09","",""\r\n', True),
        ('2023-06-09,"A",1', True),
        ('2023-06-09,"A,B",1\n', False),
        ('2023-06-09,"A\nB",1\n', False),
        ('2023-06-09,"A,1\n2023-06-09,B",1\n', False),
        ('2023-06-09,"A""B",1\n', False),
        ('2023-06-09,A"",1\n', False),
    ],
)
def test_quotes_that_hold_nothing_together_cost_no_time(body: str, plain: bool) -> None:
    found = scores_files._plain(f'"date",symbol,score\n{body}', ["date", "symbol", "score"])
    assert (found is not None) == plain
    if found is not None:
        expected = [row for row in csv.reader(body.splitlines()) if row]
        assert [[field or "" for field in row] for row in found.rows()] == expected


@pytest.mark.parametrize("head", ["date;symbol;score", "date\tsymbol\tscore", "date, symbol, score"])
def test_another_separator_than_commas_is_told_so(tmp_path: Path, head: str) -> None:
    file = tmp_path / "scores.csv"
    file.write_text(f"{head}\n")
    with pytest.raises(SignalError, match=r"line 1: .*separate columns by commas without blanks"):
        read_scores(file, "x")
