"""What is wrong with the bars before a date, since when they are there, and how long to wait for better ones."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from typing import Any

import dagster as dg

from assets.keys import key
from resources.evidence import evidence_before, fetched
from resources.lake import BARS
from resources.store import Store
from sleevegraph.completeness import bars_complete
from sleevegraph.errors import SleevegraphError
from sleevegraph.manifest import CompletenessRules, Manifest
from sleevegraph.readiness.corroboration import corroborate

INGESTS = 200
"""Looked back at for the first one that brought a day."""
SHOWN = 3
"""Errors of the bars that a tick has room for."""


def defects(store: Store, at: date, rules: CompletenessRules) -> list[str]:
    """What the gate on bars would refuse at `at`: its errors, or why nobody can tell."""
    try:
        bars = store.lake.bars_before(at)
        findings, _ = bars_complete(bars, at, rules)
        if fetched(store) and not any(f.level == "ERROR" for f in findings):
            # Last, since it takes a second: what else is known of the bars.
            beside = corroborate(bars, at, rules.max_defect_share, evidence_before(store, at))
            findings, _ = bars_complete(bars, at, rules, beside)
    except SleevegraphError as error:
        return [str(error)]
    return [f"{f.code}: {f.message}" for f in findings if f.level == "ERROR"]


def not_ready(store: Store, due: date, manifest: Manifest) -> str:
    """Why the bars before `due` cannot be decided on yet; empty when they can."""
    newest, needed = store.lake.newest_bar(), due - timedelta(days=1)
    if newest is None or newest < needed:
        return f"the newest bar is {newest or 'absent'}, expected {needed}"
    return "; ".join(defects(store, due, manifest.market.completeness)[:SHOWN])


def deadline(
    instance: dg.DagsterInstance, store: Store, due: date, manifest: Manifest, now: datetime
) -> datetime | None:
    """Until when incomplete bars before `due` are waited for; None as long as the newest of them is missing.

    Counted from the end of the date, or from the ingest that first brought bars up to the day before where that came later:
    after months without power nothing is given up before its bars had their time to come.
    """
    newest = store.lake.newest_bar()
    if newest is None or newest < due - timedelta(days=1):
        return None
    by = late_after(due, manifest)
    known = known_since(instance, due - timedelta(days=1))
    return max(by, known + patience(manifest)) if known is not None and known <= now else by


def late_after(due: date, manifest: Manifest) -> datetime:
    """When bars before `due` that are not there yet are late."""
    return datetime.combine(due + timedelta(days=1), time(), UTC) + patience(manifest)


def patience(manifest: Manifest) -> timedelta:
    """How long bars are waited for."""
    return timedelta(hours=manifest.market.automation.bars_deadline_hours)


def known_since(instance: dg.DagsterInstance, day: date) -> datetime | None:
    """When an ingest first brought bars of `day`, or later ones; None where no ingest is on record."""
    records = ingests(instance)
    having = list(takewhile(lambda record: last_bar(record) >= str(day), records))
    return datetime.fromtimestamp(having[-1].timestamp, UTC) if having else None


def ingests(instance: dg.DagsterInstance, limit: int = INGESTS) -> list[Any]:
    """Materialisations of daily bars, newest first."""
    return list(instance.fetch_materializations(key(BARS), limit=limit).records)


def last_bar(record: Any) -> str:
    """The newest bar of the home when an ingest ended."""
    value = record.asset_materialization.metadata.get("last_bar")
    return str(value.value) if value is not None else ""
