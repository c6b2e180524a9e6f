"""A page stands alone: it opens without a network, escapes what it shows, prints, and is the same bytes every time."""

import base64
import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from matplotlib.image import imread

from sleevegraph.report.facts import RECORD_SCHEMA, MetaReport, Report, SleeveReport, Standing
from sleevegraph.report.page import meta_page, meta_sections, sleeve_page, sleeve_sections
from sleevegraph.report.summary import summary
from tests.reports import AT, LONG, check, meta_report, sleeve_report, weights_frame

PROJECT = Path(__file__).resolve().parent.parent
VOID = {"meta", "br", "hr", "img", "link", "input"}
HOSTILE = '<script>alert("x")</script>'


def page(facts: Report) -> str:
    return meta_page(facts) if isinstance(facts, MetaReport) else sleeve_page(facts)


def first(facts: Report) -> Report:
    """The same at its first rebalance, of which nothing came before."""
    ledger = {"record": RECORD_SCHEMA.to_frame(), "benchmark": facts.benchmark.clear(), "metrics": None, "before": None}
    if isinstance(facts, SleeveReport):
        nothing = {profile: {} for profile in facts.book}
        pools = {AT: facts.pools[AT]}
        return replace(
            facts, **ledger, book_before=nothing, universe_before=facts.universe.clear(), pools=pools, rules_before=None
        )
    below = tuple(first(sleeve) for sleeve in facts.sleeves)
    return replace(
        facts, **ledger, sleeves=below, books_before={}, weights_before={}, allocation=facts.allocation.clear()
    )


def blocked(facts: Report) -> Report:
    """The same where a gate stood before everything, and nothing was ever held."""
    reason = "bars_complete of universe: FAILED: ERROR STALE: 3 of 400 symbols have a bar of the day before"
    gates = (
        check("universe", "bars_complete", "FAILED", ["ERROR STALE: 3 of 400 symbols have a bar of the day before"]),
    )
    common = {"standing": Standing("BLOCKED", (reason,), None), "gates": gates, "metrics": None}
    if isinstance(facts, SleeveReport):
        empty = {n: getattr(facts, n).clear() for n in ("candidates", "winners", "cells", "universe", "streams")}
        nothing = {profile: {} for profile in facts.book}
        return replace(
            first(facts), **common, **empty, held=f"{facts.name} holds {reason}", book=nothing, pools={AT: ()}
        )
    below = tuple(blocked(sleeve) for sleeve in facts.sleeves)
    none = {name: rows.clear() for name, rows in facts.weights.items()}
    return replace(first(facts), **common, sleeves=below, held=(reason,), books={}, weights=none)


class Parsed(HTMLParser):
    """Fails on what is not closed in order, and collects tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Pages of both kinds: as usual, first of their record, and blocked."""
    usual = {"sleeve": sleeve_report(), "short": sleeve_report("SHORT"), "meta": meta_report()}
    made = {name: page(facts) for name, facts in usual.items()}
    made |= {f"first {name}": page(first(facts)) for name, facts in usual.items()}
    return made | {f"blocked {name}": page(blocked(facts)) for name, facts in usual.items()}


def test_pages_need_no_network_and_run_nothing(pages: dict[str, str]) -> None:
    for html in pages.values():
        parsed = Parsed(html)
        assert {tag for tag, _ in parsed.tags} & {"script", "link", "img", "iframe", "object", "embed", "base"} == set()
        for _, attributes in parsed.tags:
            assert not {name for name in attributes if name.startswith("on")}
            assert all((attributes.get(name) or "#").startswith("#") for name in ("href", "src", "xlink:href"))
        addresses = set(re.findall(r"https?://[^\"' )<]*", html))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert set(re.findall(r"url\(([^)]*)\)", html)) == set(re.findall(r"url\((#[^)]*)\)", html))
        assert "@import" not in html


def test_pages_are_well_formed_and_can_be_read_aloud(pages: dict[str, str]) -> None:
    for html in pages.values():
        parsed = Parsed(html)
        assert parsed.tags[0] == ("html", {"lang": "en"})
        ids = Counter(attributes["id"] for _, attributes in parsed.tags if "id" in attributes)
        assert set(ids.values()) == {1}
        assert all("scope" in attributes for tag, attributes in parsed.tags if tag == "th")
        targets = {attributes["href"] for tag, attributes in parsed.tags if tag == "a"}
        assert {(target or "#")[1:] for target in targets} <= set(ids)
        pictures = [attributes for tag, attributes in parsed.tags if tag == "svg"]
        assert all(attributes["role"] == "img" for attributes in pictures)
        assert all(name in ids for attributes in pictures for name in (attributes["aria-labelledby"] or "").split())
        assert len([tag for tag, _ in parsed.tags if tag == "caption"]) == len(
            [t for t, _ in parsed.tags if t == "table"]
        )


def test_sections_are_numbered_and_each_says_what_to_look_for(pages: dict[str, str]) -> None:
    for name, count in (("sleeve", 12), ("meta", 14)):
        numbers = re.findall(r"<h2>(\d+)\. ", pages[name])
        assert numbers == [str(i) for i in range(1, count + 1)]
    for found in (*sleeve_sections(sleeve_report()), *meta_sections(meta_report())):
        assert "Look for" in found.says or found.key == "standing"


def test_a_row_has_as_many_cells_as_its_table_has_columns(pages: dict[str, str]) -> None:
    for html in pages.values():
        for table in re.findall(r"<table.*?</table>", html, re.DOTALL):
            rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
            assert len({len(re.findall(r"<t[hd][ >]", row)) for row in rows}) == 1


def test_what_is_shown_is_escaped_wherever_it_stands() -> None:
    def hostile(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
        return frame.with_columns(pl.lit(HOSTILE).alias(column) for column in columns)

    usual = sleeve_report()
    sleeve = usual.sleeve.model_copy(update={"name": f"made_up_long{HOSTILE}"})
    market = usual.market.model_copy(update={"benchmark_symbols": (f"X:{HOSTILE}",), "exchange": HOSTILE})
    book = {f"X:{HOSTILE}": 0.25, "$x_y^{2}$": 0.25}
    facts = replace(
        usual,
        sleeve=sleeve,
        market=market,
        simulated=HOSTILE,
        standing=Standing("DEGRADED", (HOSTILE,), AT),
        held=HOSTILE,
        book=dict.fromkeys(usual.book, book),
        winners=hostile(usual.winners, "symbol", "reason"),
        universe=hostile(usual.universe, "symbol", "base").with_columns(eligible=False, rule=pl.lit("liquidity")),
        cells=hostile(usual.cells, "reason", "rung").with_columns(status=pl.lit("failed")),
        gates=(check(HOSTILE, HOSTILE, "FAILED", [HOSTILE]),),
        rules={HOSTILE: HOSTILE},
    )
    html = page(facts)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert HOSTILE in " ".join(Parsed(html).text)
    assert "$x_y^{2}$" in " ".join(Parsed(html).text)
    assert "<" not in summary(facts)


def test_pages_are_the_same_bytes_in_another_process_from_facts_that_travelled(
    pages: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "facts").write_bytes(pickle.dumps([sleeve_report(), meta_report()]))
    (tmp_path / "matplotlibrc").write_text(
        "lines.linewidth: 9\nfont.size: 30\nlines.scale_dashes: False\nsavefig.facecolor: red\n"
    )
    code = (
        "import pickle, sys; from pathlib import Path; from sleevegraph.report.page import meta_page, sleeve_page;"
        "from sleevegraph.report.summary import summary;"
        f"sleeve, meta = pickle.loads(Path({str(tmp_path / 'facts')!r}).read_bytes());"
        "sys.stdout.write('\\f'.join([sleeve_page(sleeve), meta_page(meta), summary(meta)]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "3", "TZ": "Asia/Tokyo", "MPLCONFIGDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=PROJECT, env=environment, check=True)
    assert done.stdout.decode().split("\f") == [pages["sleeve"], pages["meta"], summary(meta_report())]


def test_pages_say_nothing_of_the_machine_or_the_clock(pages: dict[str, str]) -> None:
    for html in pages.values():
        assert str(PROJECT) not in html
        assert not re.search(r"\d\d:\d\d:\d\d", html)
        days = {AT - timedelta(days=i) for i in range(300)}
        assert set(re.findall(r"\d{4}-\d\d-\d\d", html)) <= {str(day) for day in days}


def test_a_simulated_market_is_said_before_anything_else() -> None:
    warning = "simulated market, not real prices"
    for facts in (sleeve_report(simulated=warning), meta_report(simulated=warning)):
        text = " ".join("".join(Parsed(page(facts)).text).split("</style>")[-1].split())
        assert text.index(warning) < text.index("Forensic report")
        assert summary(facts).startswith(f"**{warning}**")
    assert warning not in page(sleeve_report())


def test_a_first_rebalance_says_what_is_not_there_yet(pages: dict[str, str]) -> None:
    for name in ("first sleeve", "first meta"):
        html = pages[name]
        assert "Nothing to show: nothing was earned before this rebalance: it is the first of its record." in html
        assert "There is no rebalance before this one: everything is new." in html
        assert "Nothing to compare with: this is the first rebalance of its record." in html
        assert "no rebalance before this one" in html
        assert f"Not computed: the metrics of {LONG}" in html or "Not computed: the metrics of made_up_meta" in html
    assert "fewer than two days in common" in pages["first meta"]


def test_a_blocked_rebalance_says_what_stands_in_the_way_and_what_is_missing(pages: dict[str, str]) -> None:
    for name in ("blocked sleeve", "blocked meta"):
        html = pages[name]
        assert "BLOCKED: nothing is held: in cash" in html
        assert "is FAILED: ERROR STALE: 3 of 400 symbols" in html
        assert "Nothing to show: no universe was decided at this rebalance." in html
    assert f"{LONG}: nothing was asked of the solvers" in pages["blocked sleeve"]
    assert pages["blocked meta"].count("Nothing to show: bars_complete of universe: FAILED") == 3


def test_details_are_open_in_print(pages: dict[str, str]) -> None:
    css = pages["sleeve"][pages["sleeve"].index("@media print") :]
    assert "details::details-content{display:block;content-visibility:visible" in css
    assert "size:A4" in pages["sleeve"]
    assert re.findall(r"<details>", pages["sleeve"])


def test_a_summary_is_small_and_has_standing_attention_figures_and_a_picture() -> None:
    facts = replace(meta_report(), standing=Standing("DEGRADED", ("made_up_long is DEGRADED: why",), AT))
    text = summary(facts)
    assert len(text.encode()) < 60_000
    lines = text.splitlines()
    assert lines[0] == "**made\\_up\\_meta at 2023-12-01: DEGRADED**"
    assert any(line.startswith("- attention, section 1: DEGRADED: made\\_up\\_long is DEGRADED: why") for line in lines)
    assert "| symbols held | 10 | 10 |" in lines
    image = re.fullmatch(r"!\[made\\_up\\_meta before 2023-12-01\]\(data:image/png;base64,(.*)\)", lines[-1])
    assert image
    picture = imread(BytesIO(base64.b64decode(image.group(1))))
    assert picture.shape == (168, 400, 4)
    assert len(np.unique(picture[..., 0])) > 10


def test_a_record_of_one_day_can_be_drawn() -> None:
    usual = sleeve_report()
    last = pl.col("date") == usual.record["date"].max()
    facts = replace(usual, record=usual.record.filter(last), benchmark=usual.benchmark.filter(last))
    assert "1 days from 2023-11-30 to 2023-11-30" in page(facts)


def test_a_summary_without_days_has_no_picture() -> None:
    assert summary(first(sleeve_report())).endswith("Nothing was earned before this rebalance.\n")


def test_a_meta_of_many_sleeves_shows_the_largest_and_counts_the_others() -> None:
    usual = sleeve_report()
    sleeves = []
    for i in range(30):
        profile = usual.sleeve.model_copy(update={"name": f"made_up_{i:03}"})
        sleeves.append(replace(usual, sleeve=profile))
    facts = meta_report()
    shares = {sleeve.name: 1 / 30 for sleeve in sleeves}
    wide = replace(facts, sleeves=tuple(sleeves), weights={"made_up_meta": weights_frame(shares)})
    html = page(wide)
    assert "6 more sleeves are left out" in html
    assert "23 others" in html
