"""One self-contained HTML page per portfolio and rebalance: no network, no script, no clock."""

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from sleevegraph.report import (
    allocation,
    changes,
    correlation,
    equity,
    extremes,
    gates,
    selection,
    solvers,
    standing,
    trades,
    tree,
    universe,
    weights,
)
from sleevegraph.report.blocks import Section
from sleevegraph.report.facts import MetaReport, Report, SleeveReport
from sleevegraph.report.figures import COLOURS, svg


def sleeve_page(facts: SleeveReport) -> str:
    """The forensic report of a sleeve at one rebalance."""
    return _page(facts, "sleeve", sleeve_sections(facts))


def meta_page(facts: MetaReport) -> str:
    """The forensic report of a meta at one rebalance."""
    return _page(facts, "meta", meta_sections(facts))


def sleeve_sections(facts: SleeveReport) -> list[Section]:
    """The sections of a sleeve's page, in order."""
    return [
        standing.sleeve_standing(facts),
        weights.sleeve_weights(facts),
        tree.clusters(facts),
        equity.equity(facts),
        solvers.solvers([facts]),
        selection.pools([facts]),
        extremes.extremes(facts),
        selection.vetoes([facts]),
        universe.universe(facts),
        gates.gates(facts),
        trades.trades(facts),
        changes.changed(facts),
    ]


def meta_sections(facts: MetaReport) -> list[Section]:
    """The sections of a meta's page, in order."""
    return [
        standing.meta_standing(facts),
        weights.meta_weights(facts),
        allocation.allocation(facts),
        tree.tree(facts),
        correlation.sleeves_correlation(facts),
        equity.equity(facts),
        solvers.solvers(facts.sleeves),
        selection.pools(facts.sleeves),
        extremes.extremes(facts),
        selection.vetoes(facts.sleeves),
        universe.universe(facts),
        gates.gates(facts),
        trades.trades(facts),
        changes.changed(facts),
    ]


def _page(facts: Report, kind: str, sections: Sequence[Section]) -> str:
    noticed = [(number, section, line) for number, section in enumerate(sections, 1) for line in section.attention]
    return _template().render(
        facts=facts,
        kind=kind,
        sections=sections,
        noticed=noticed,
        colours=COLOURS,
        svg=svg,
        shades=correlation.shades(),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("sleevegraph.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")
