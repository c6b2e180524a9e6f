"""What audits read from the store: partitions, bars and ledgers, each once for a whole range."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cache, lru_cache

import polars as pl

from assets.keys import stage
from resources.lake import AssetPath, Lake
from resources.places import Place
from resources.store import Store
from sleevegraph.audit.bars_days import WITHOUT_BARS, day_digests
from sleevegraph.audit.facts import Anchors, BarsDays, Stage, run_id
from sleevegraph.audit.ledger import Record, current, ending, sound
from sleevegraph.calendar import STEP_DAYS, previous
from sleevegraph.errors import AuditError, LakeError
from sleevegraph.manifest import RISK_PROFILES, Manifest

AUDIT = "audit_bundle"

Versions = Mapping[AssetPath, str]
"""Code versions of assets."""


class AuditSources:
    """What the audits of one sleeve or meta rest on."""

    def __init__(self, store: Store, manifest: Manifest, versions: Versions, days: Sequence[date]) -> None:
        """Read nothing yet.

        `manifest` is that of the sleeve alone, or of the meta and everything below it; `days` are the rebalances that
        will be asked for.
        """
        self.store, self.lake, self.manifest, self.versions, self.days = store, store.lake, manifest, versions, days
        self.streams = cache(self._streams)
        self.stages: dict[tuple[str, str], Stage] = {}

    def stage(self, path: AssetPath, key: str, rows: int | None = None) -> Stage:
        """A partition that was used; `rows` where they are known already."""
        asset = "/".join(path)
        if (asset, key) not in self.stages:
            status, reason = self.lake.standing(path, key)
            if rows is None:
                rows = self.lake.rows(path, key)
            digest = self.lake.digest(path, key)
            self.stages[asset, key] = Stage(asset, key, digest, self.versions[path], status.value, reason, rows)
        return self.stages[asset, key]

    def bars(self, at: date) -> BarsDays:
        """Digests of the bars before a rebalance."""
        first, digests = _day_digests(self.lake.root, self.lake.bars_digest(max(self.days)), max(self.days))
        days = max((at - first).days, 0)
        # Up to P - 1 also where the last bars are older, whatever other days this run asks for.
        known = [*digests[:days], *[WITHOUT_BARS] * (days - len(digests))]
        return BarsDays(self.lake.bars_digest(at), first, "".join(known))

    def anchors(self, name: str, at: date, children: Mapping[str, Sequence[Record]]) -> Anchors:
        """Newest hashes of the ledger before and of the `children`'s, which are handed in by name.

        One that the ledger has already stays for as long as the other ledger was only added acceptances to: a rebalance
        that is run again after them has the same outcome.
        """
        own = self.ledger(name, at)
        known = own[0] if own else {"previous": None, "children": {}}
        earlier, before = previous(at), known["previous"] or {}
        ledger = self.ledger(name, earlier)
        if not ledger and self.lake.has(stage(name, AUDIT), str(earlier)):
            raise LakeError(
                f"{name}/{AUDIT} {at}: expected the ledger of {earlier} to anchor this one in, found none in "
                f"{self.store.runs.path(name, earlier)}; restore that folder, or materialise {AUDIT} for {earlier}"
            )
        named = {run_id(child, at): records for child, records in children.items()}
        return Anchors(
            (run_id(name, earlier), _anchor(ledger, before.get("hash"))) if ledger else None,
            {run: _anchor(records, known["children"].get(run)) for run, records in sorted(named.items())},
        )

    def ledger(self, name: str, at: date) -> list[Record]:
        """The newest generation of a bundle's ledger, its chain and its end found; empty without a bundle."""
        try:
            text = self.store.runs.ledger(name, at)
            records = current(sound(text))
            if text:
                ending(records)
        except AuditError as error:
            raise LakeError(f"{name}/{AUDIT} {at}: {error}") from error
        return records

    def _streams(self, path: AssetPath) -> dict[str, pl.DataFrame]:
        """[date, ret] by risk profile of a portfolio's stored records, as far back as any of the days looks."""
        windows = max(meta.lookback_windows for meta in self.manifest.metas)
        first = str(min(self.days) - timedelta(days=(windows - 1) * STEP_DAYS))
        keys = [key for key in self.lake.partitions(path) if first <= key <= str(max(self.days))]
        rows = pl.concat([self.lake.read(path, key).select("profile", "date", "ret") for key in keys]).drop_nulls()
        return {
            profile: rows.filter(pl.col("profile") == profile).select("date", "ret").sort("date")
            for profile in RISK_PROFILES
        }


def _anchor(records: Sequence[Record], known: str | None) -> str:
    """The newest hash of a generation, or the known one where nothing but acceptances followed it."""
    hashes = [str(record["hash"]) for record in records[records.index(ending(records)) :]]
    return known if known in hashes else hashes[-1]


@lru_cache(maxsize=1)
def _day_digests(root: Place, digest: str, last: date) -> tuple[date, list[str]]:
    """The same bars for every portfolio of a run; `digest` says that they are."""
    del digest
    return day_digests(Lake(root).bars_before(last))
