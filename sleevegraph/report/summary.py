"""A report in Markdown, short enough for the metadata of a partition: standing, what needs attention, key figures, a picture."""

import re
from base64 import b64encode

from sleevegraph.report.equity import benchmark_curve, earned, wealth_by_profile
from sleevegraph.report.facts import HEADLINE, MetaReport, Report
from sleevegraph.report.figures import Chart, Panel, Series, png
from sleevegraph.report.page import meta_sections, sleeve_sections
from sleevegraph.report.standing import key_figures

SHOWN = 8
_MARKS = re.compile(r"[\\`*_{}\[\]#|!]")
SIZE = (2.1, 5.0)
"""Inches, height first."""


def summary(facts: Report) -> str:
    """Markdown of a report."""
    sections = meta_sections(facts) if isinstance(facts, MetaReport) else sleeve_sections(facts)
    noticed = [(number, line) for number, section in enumerate(sections, 1) for line in section.attention]
    lines = [f"**{_plain(facts.simulated)}**", ""] if facts.simulated else []
    lines += [f"**{_plain(facts.name)} at {facts.at}: {facts.standing.word}**", ""]
    lines += [f"- attention, section {number}: {_plain(line)}" for number, line in noticed[:SHOWN]]
    lines += [f"- and {len(noticed) - SHOWN} more in the report"] if len(noticed) > SHOWN else []
    lines += ["", f"| {HEADLINE} | now | before |", "|---|---:|---:|"]
    lines += [f"| {_plain(what)} | {now} | {before} |" for what, now, before in key_figures(facts)]
    return "\n".join([*lines, "", _picture(facts)]) + "\n"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, and that no browser takes for a tag."""
    return _MARKS.sub(r"\\\g<0>", text).replace("<", "&lt;")


def _picture(facts: Report) -> str:
    """Wealth of the headline profile and of the benchmark over the lookback."""
    wealth = wealth_by_profile(facts.record).get(HEADLINE)
    if wealth is None:
        return "Nothing was earned before this rebalance."
    lines = [Series(HEADLINE, wealth, 0, strong=True), *benchmark_curve(facts)]
    chart = Chart(
        "summary",
        facts.name,
        "",
        earned(facts.record),
        [Panel(f"{facts.name}: wealth before {facts.at}", lines, ".2f", ".3f")],
        *SIZE,
    )
    return f"![{_plain(facts.name)} before {facts.at}](data:image/png;base64,{b64encode(png(chart)).decode()})"
