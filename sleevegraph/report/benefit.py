"""What a meta's children gain from one another, and the days that all of them have, per risk profile."""

from sleevegraph.child_figures import joins, lost_too_much
from sleevegraph.correlation_benefit import benefits
from sleevegraph.meta_book import WEIGHTS_SCHEMA
from sleevegraph.report.blocks import Cell, Column, Table, figure, percent, share, short, text
from sleevegraph.report.facts import MetaReport


def children_tables(facts: MetaReport) -> tuple[Table, ...]:
    """Correlation benefit and lost days of the meta's own children; none where it never weighed them."""
    rows = facts.weights.get(facts.name, WEIGHTS_SCHEMA.to_frame())
    if rows.is_empty():
        return ()
    names = short(sorted(facts.meta.children))
    gains = [
        (
            text(profile),
            share(meta),
            share(best),
            text(names.get(child)),
            share(mean),
            share(against_best, sign=True),
            share(against_mean, sign=True),
        )
        for profile, meta, child, best, mean, against_best, against_mean in benefits(rows).iter_rows()
    ]
    lost = [
        (text(profile), figure(used, ",d"), figure(gone, ",d"), _lost(of_all, facts), text(who))
        for profile, used, gone, of_all, who in joins(rows).iter_rows()
    ]
    return (
        Table(
            "Annual volatility over the days of the solve, at the weights now, and how much less that is than the children's",
            (
                Column("risk profile"),
                Column("meta", number=True),
                Column("calmest child", number=True),
                Column("which"),
                Column("mean of the children", number=True),
                Column("less than the calmest", number=True),
                Column("less than the mean", number=True),
            ),
            tuple(gains),
        ),
        Table(
            f"Days that all children have; more than {percent(facts.meta.max_rows_lost)} lost warns",
            (
                Column("risk profile"),
                Column("days used", number=True),
                Column("days lost", number=True),
                Column("share", number=True),
                Column("for lack of (days)", wide=True),
            ),
            tuple(lost),
        ),
    )


def lost_days(facts: MetaReport) -> tuple[str, ...]:
    """One line per risk profile of which more days were lost than the meta lets pass."""
    return tuple(lost_too_much(facts.weights.get(facts.name, WEIGHTS_SCHEMA.to_frame()), facts.meta))


def _lost(of_all: float, facts: MetaReport) -> Cell:
    return share(of_all, "attention" if of_all > facts.meta.max_rows_lost else "")
