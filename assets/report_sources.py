"""What forensic reports read from the store, each partition once for a whole range."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl

from assets.gates import flat_gates, gates_of, meta_gates
from assets.keys import UNIVERSE, stage
from assets.metas import sleeves_below
from assets.verdicts import sleeve_certificate
from resources.lake import AssetPath, Status
from resources.receipts import Gate, State
from resources.store import Store
from sleevegraph.audit.facts import CheckRecord
from sleevegraph.calendar import STEP_DAYS, grid_dates
from sleevegraph.certification import Standing as Certificate
from sleevegraph.certification import meta_standing, sleeve_standing
from sleevegraph.errors import GateError
from sleevegraph.manifest import RISK_PROFILES, Manifest, MetaProfile
from sleevegraph.meta_book import FLAT_SCHEMA, subtree
from sleevegraph.panel import Panel
from sleevegraph.physical import PhysicalBook, drifted, physical_book
from sleevegraph.report.allocation import sleeve_shares
from sleevegraph.report.blocks import effective_number
from sleevegraph.report.facts import (
    ALLOCATION_SCHEMA,
    BREADTH_SCHEMA,
    HEADLINE,
    RECORD_SCHEMA,
    STREAM_SCHEMA,
)
from sleevegraph.track_record import CASH, market_window
from sleevegraph.universe import SCHEMA as UNIVERSE_SCHEMA

WINDOWS = 24
"""Rebalances that a report looks back on."""


class Sources:
    """Partitions, verdicts and bars of one store, for reports up to one date."""

    def __init__(self, store: Store, manifest: Manifest, last: date) -> None:
        """Read nothing yet."""
        self.store, self.lake, self.manifest, self.last = store, store.lake, manifest, last
        self.metas = {meta.name: meta for meta in manifest.metas}
        self.panel = cache(self._panel)
        self.certificate = cache(self._certificate)
        self.book = cache(self._book)
        self._checked = cache(self._check)
        self._pooled = cache(self._pool)
        self._celled = cache(self._cells)
        self._earned = cache(self._record)
        self._divided = cache(self._division)
        self.universe = cache(self._universe)

    def frame(self, path: AssetPath, at: date, schema: pl.Schema) -> pl.DataFrame:
        """Rows of a partition; none, with the schema, where it is absent or has none."""
        rows = self.lake.read(path, str(at)) if self.lake.has(path, str(at)) else schema.to_frame()
        return rows if rows.height else schema.to_frame()

    def stored(self, path: AssetPath, at: date) -> list[date]:
        """Up to `WINDOWS` rebalances up to `at` that have a partition."""
        days = grid_dates(at - timedelta(days=(WINDOWS - 1) * STEP_DAYS), at)
        return [day for day in days if self.lake.has(path, str(day))]

    def gates(self, portfolio: str, at: date) -> tuple[CheckRecord, ...]:
        """Every check that a portfolio's certificate rests on, in the order of the graph."""
        return tuple(
            self._checked(gate.path, gate.check, gate.blocking, at) for gate in gates_of(portfolio, self.manifest)
        )

    def pools(self, sleeve: str, at: date) -> dict[date, tuple[str, ...]]:
        """Winners of the last rebalances."""
        return {day: self._pooled(sleeve, day) for day in self.stored(stage(sleeve, "winners"), at)}

    def windows(self, sleeve: str, at: date, count: int) -> dict[date, dict[tuple[str, str], int] | None]:
        """Cells by engine and status in the guardrail's windows, none before the record begins."""
        path = stage(sleeve, "solver_cells")
        begun = self.lake.partitions(path)[:1]
        first = max([at - timedelta(days=(count - 1) * STEP_DAYS), *map(date.fromisoformat, begun)])
        return {day: self._celled(sleeve, day) for day in grid_dates(first, at)}

    def record(self, path: AssetPath, at: date) -> pl.DataFrame:
        """Days that a ledger earned over the lookback."""
        return pl.concat([RECORD_SCHEMA.to_frame(), *(self._earned(path, day) for day in self.stored(path, at))])

    def benchmark(self, record: pl.DataFrame) -> pl.DataFrame:
        """Returns of the first benchmark symbol on the days of a record that has returns."""
        days = record.drop_nulls("ret")["date"].unique().sort()
        symbol, panel = self.manifest.market.benchmark_symbols[0], self.panel()
        if symbol not in panel.symbols:
            return STREAM_SCHEMA.to_frame()
        held = np.isin(panel.dates, days.to_numpy().astype("datetime64[D]"))
        returns = panel.returns[held, panel.symbols.index(symbol)]
        frame = pl.DataFrame({"date": panel.dates[held], "ret": returns}, schema_overrides={"date": pl.Date})
        return frame.filter(pl.col("ret").is_not_nan())

    def allocation(self, meta: MetaProfile, at: date) -> tuple[pl.DataFrame, pl.DataFrame]:
        """`ALLOCATION_SCHEMA` and `BREADTH_SCHEMA` of the last rebalances at which nothing in the tree was blocked."""
        days = self.stored(stage(meta.name, "meta_weights"), at)
        found = [divided for day in days if (divided := self._divided(meta.name, day)) is not None]
        rows = [(day, *numbers) for day, _, numbers in found]
        weights = pl.concat([ALLOCATION_SCHEMA.to_frame(), *(frame for _, frame, _ in found)])
        return weights, pl.DataFrame(rows, schema=BREADTH_SCHEMA, orient="row")

    def metrics(self, path: AssetPath, at: date) -> pl.DataFrame | None:
        """Metrics at P; None where they were not computed."""
        return self.lake.read(path, str(at)) if self.lake.has(path, str(at)) else None

    def refusal(self, gates: Sequence[Gate], at: date) -> str:
        """Why an earlier partition is not certified; one that nobody judged is not."""
        try:
            return self.store.receipts.refusal(gates, str(at))
        except GateError as error:
            return str(error)

    def decided(self, meta: MetaProfile, at: date) -> tuple[date | None, str]:
        """The rebalance whose flattened weights are in force at `at`, and why it is not `at`."""
        gates, path = flat_gates(meta), stage(meta.name, "flattened_weights")
        refusal = self.refusal(gates, at) if self.lake.has(path, str(at)) else f"{meta.name} {at}: not stored"
        if not refusal:
            return at, ""
        earlier = [key for key in reversed(self.lake.partitions(path)) if key < str(at)]
        found = (day for day in map(date.fromisoformat, earlier) if not self.refusal(gates, day))
        return next(found, None), refusal

    def _panel(self) -> Panel:
        return self.lake.panel_before(self.last)

    def _book(self, meta: str, decided: date, at: date) -> Mapping[str, PhysicalBook]:
        """Physical books of a decision, drifted to the close before `at`."""
        flat = self.lake.read(stage(meta, "flattened_weights"), str(decided))
        # Only the headline is attributed in a report, and contributions cost more than all else in a book.
        kept = pl.when(pl.col("profile") == HEADLINE).then("contributions").otherwise(pl.lit([]))
        flat = flat.with_columns(kept.cast(flat.schema["contributions"]).alias("contributions"))
        books = {profile: physical_book(flat, profile) for profile in RISK_PROFILES}
        days = (at - decided).days
        if not days:
            return books
        window = market_window(self.panel().before(at, days), decided, days)
        return {profile: drifted(book, window) for profile, book in books.items()}

    def _certificate(self, portfolio: str, at: date) -> Certificate:
        """How a sleeve or meta stands, and why."""
        gates = self.gates(portfolio, at)
        if portfolio not in self.metas:
            return sleeve_standing(gates, sleeve_certificate(gates))
        meta = self.metas[portfolio]
        own = {(gate.path, gate.check) for gate in meta_gates(meta, self.manifest)}
        nodes = subtree(meta, self.manifest.metas)
        below = [sleeve.name for sleeve in sleeves_below(meta, self.manifest)]
        below += [node.name for node in self.manifest.metas if node in nodes and node != meta]
        children = {child: self.certificate(child, at) for child in below}
        return meta_standing([g for g in gates if (tuple(g.asset.split("/")), g.check) in own], children)

    def _check(self, path: AssetPath, check: str, blocking: bool, at: date) -> CheckRecord:
        receipt = self.store.receipts.read(path, check, str(at))
        judged = receipt is not None and self.lake.has(path, str(at))
        state = self.store.receipts.state(path, check, str(at))[0] if judged else State.ABSENT
        return CheckRecord(
            asset="/".join(path),
            check=check,
            partition=str(at),
            blocking=blocking,
            state=state.value,
            digest=receipt.digest if receipt else "",
            inputs={},
            rules={},
            findings=tuple(receipt.findings) if receipt else (),
            figures=receipt.figures if receipt else {},
        )

    def _pool(self, sleeve: str, at: date) -> tuple[str, ...]:
        rows = self.lake.read(stage(sleeve, "winners"), str(at))
        return tuple(rows.filter("winner")["symbol"].sort()) if rows.height else ()

    def _cells(self, sleeve: str, at: date) -> dict[tuple[str, str], int] | None:
        path = stage(sleeve, "solver_cells")
        if not self.lake.has(path, str(at)):
            return None
        return Counter(self.lake.read(path, str(at)).select("engine", "status").iter_rows())

    def _division(self, meta: str, at: date) -> tuple[date, pl.DataFrame, tuple[float | None, ...]] | None:
        """Child weights as they were decided, and effective numbers of children, sleeves and symbols."""
        nodes = subtree(self.metas[meta], self.manifest.metas)
        paths = {node.name: stage(node.name, "meta_weights") for node in nodes}
        if not all(self.lake.has(path, str(at)) for path in paths.values()):
            return None
        if any(self.lake.standing(path, str(at))[0] is not Status.OK for path in paths.values()):
            return None
        weights = {name: self.lake.read(path, str(at)) for name, path in paths.items()}
        rows = weights[meta].select(pl.lit(at).alias("rebalance"), "profile", "child", "weight").cast(ALLOCATION_SCHEMA)
        children = rows.filter(pl.col("profile") == HEADLINE)["weight"]
        sleeves = sleeve_shares(meta, weights, HEADLINE).values()
        held = (pl.col("profile") == HEADLINE) & (pl.col("symbol") != CASH) & ~pl.col("dust")
        nets = self.frame(stage(meta, "flattened_weights"), at, FLAT_SCHEMA).filter(held)["net"]
        return at, rows, tuple(effective_number(shares) for shares in (children, sleeves, nets))

    def _universe(self, at: date) -> pl.DataFrame:
        return self.frame(UNIVERSE, at, UNIVERSE_SCHEMA)

    def _record(self, path: AssetPath, at: date) -> pl.DataFrame:
        return self.lake.read(path, str(at)).select(RECORD_SCHEMA.names())
