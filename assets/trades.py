"""Group metas: the trade list of each meta, from the weights that were held to those that are in force."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

import dagster as dg
import polars as pl

from assets.freshness import EVERY_REBALANCE
from assets.gates import bars_gates, children_gates, deciding_gates, flat_gates
from assets.grid import reaching_back
from assets.keys import KNOWN_BARS, key, stage
from assets.metadata import markdown_table
from assets.metas import sleeves_below
from assets.partitioned import Compute, Metadata, Partition, Stage, blocked, cash, rules_of
from resources.binance.source import EXCHANGE_INFO
from resources.lake import AssetPath
from resources.receipts import Gate
from resources.store import Store
from sleevegraph.manifest import RISK_PROFILES, Manifest, MetaProfile
from sleevegraph.meta_book import subtree
from sleevegraph.panel import Panel
from sleevegraph.physical import drifted, physical_book
from sleevegraph.track_record import market_window
from sleevegraph.trading.model import Facts, model_trades
from sleevegraph.trading.quotes import market_quotes
from sleevegraph.trading.totals import Totals, totals
from sleevegraph.trading.trade_list import SCHEMA as TRADES_SCHEMA
from sleevegraph.trading.trade_list import Terms

SCHEMA = pl.Schema({"profile": pl.String(), **TRADES_SCHEMA})

Nets = dict[str, float]
"""Signed net weight by symbol."""


@dataclass(frozen=True, slots=True)
class Books:
    """What a meta wants and holds at a rebalance, by risk profile."""

    wanted: dict[str, Nets]
    held: dict[str, Nets]
    reduce_only: str
    """Why nothing may be opened, as `reduce_only_because` says it; empty where everything may."""


def trade_list_stage(meta: MetaProfile, manifest: Manifest) -> Stage:
    """Trade lists of all risk profiles at the equity of the manifest."""
    flat = key(stage(meta.name, "flattened_weights"))

    def prepare(store: Store, days: Sequence[date]) -> Compute:
        panel = store.lake.panel_before(max(days))

        def compute(at: date) -> Partition:
            books = books_at(store, meta, manifest, at, panel)
            if books is None:
                return blocked(f"{meta.name} {at}: no flattened weights up to it are certified")
            facts = facts_at(store, meta, manifest, at, panel, books)
            lists = {profile: model_trades(facts[profile]) for profile in RISK_PROFILES}
            found = {profile: totals(rows, facts[profile].terms) for profile, rows in lists.items()}
            frame = pl.concat(rows.select(pl.lit(p).alias("profile"), pl.all()) for p, rows in lists.items())
            money = f"{meta.trading.equity:,.2f} {manifest.market.currency}"
            figures = {"equity": money, **_figures(found, books, filters_before(store, at)[1])}
            return Partition(frame, figures) if frame.height else cash("nothing is held or wanted")

        return compute

    return Stage(
        stage(meta.name, "trade_list"),
        "metas",
        SCHEMA,
        [
            key(KNOWN_BARS),
            dg.AssetDep(flat, partition_mapping=reaching_back(1)),
            *(key(stage(node.name, "meta_weights")) for node in subtree(meta, manifest.metas)),
        ],
        prepare,
        held_over=own_gates(meta, manifest),
        description="What to buy and sell of every symbol: whole steps, costs, participation, and what cannot be traded.",
        rules={
            **rules_of(meta, "trading", "ledger.slippage", "ledger.commission"),
            "currency": manifest.market.currency,
        },
        owner=meta.owner,
        freshness=EVERY_REBALANCE,
    )


def own_gates(meta: MetaProfile, manifest: Manifest) -> list[Gate]:
    """Gates of the market's bars and of a meta's own weights: where one refuses, nothing new is decided here."""
    nodes = subtree(meta, manifest.metas)
    return [
        *bars_gates(manifest.market),
        *(g for node in nodes for g in children_gates(node, manifest)),
        *flat_gates(meta),
    ]


def reduce_only_because(store: Store, meta: MetaProfile, manifest: Manifest, at: date) -> str:
    """Why nothing may be opened at `at`: the first refusal on the way to the flattened weights, and how many there are.

    The way is that of every sleeve and meta below: of each the first refusal counts, as those after it are its
    consequences, and one that several share counts once. Empty where nothing refuses; GateError where nobody judged.
    """
    nodes = subtree(meta, manifest.metas)
    ways = [
        *(deciding_gates(sleeve, manifest.market) for sleeve in sleeves_below(meta, manifest)),
        *([*bars_gates(manifest.market), *children_gates(node, manifest)] for node in nodes),
        [*bars_gates(manifest.market), *flat_gates(meta)],
    ]
    gates = {(gate.path, gate.check): gate for way in ways for gate in way}
    by_path: dict[AssetPath, list[Gate]] = {}
    for gate in gates.values():
        by_path.setdefault(gate.path, []).append(gate)
    asked = cache(lambda path: store.receipts.refusal(by_path[path], str(at)))
    firsts = (next((text for gate in way if (text := asked(gate.path))), "") for way in ways)
    refusals = [text for text in dict.fromkeys(firsts) if text]
    return refusals[0] + (f" (the first of {len(refusals)} refusals)" if refusals[1:] else "") if refusals else ""


def decided_before(store: Store, meta: MetaProfile, at: date) -> date | None:
    """The newest rebalance before `at` whose flattened weights are certified; GateError where nobody judged them."""
    earlier = [day for day in store.lake.partitions(stage(meta.name, "flattened_weights")) if day < str(at)]
    certified = (day for day in reversed(earlier) if not store.receipts.refusal(flat_gates(meta), day))
    return next(map(date.fromisoformat, certified), None)


def nets(store: Store, path: AssetPath, decided: date | None, at: date, panel: Panel) -> dict[str, Nets]:
    """Net weights of a decision by risk profile, drifted to `at`; without a decision nothing is held."""
    if decided is None:
        return {profile: {} for profile in RISK_PROFILES}
    flat = store.lake.read(path, str(decided))
    # Nobody asks who contributed, and contributions cost more than all else in a book.
    flat = flat.with_columns(pl.lit([]).cast(flat.schema["contributions"]).alias("contributions"))
    books = {profile: physical_book(flat, profile) for profile in RISK_PROFILES}
    days = (at - decided).days
    if days:
        window = market_window(panel.before(at, days), decided, days)
        books = {profile: drifted(book, window) for profile, book in books.items()}
    return {
        profile: dict(book.positions.filter(pl.col("net") != 0).select("symbol", "net").iter_rows())
        for profile, book in books.items()
    }


def books_at(store: Store, meta: MetaProfile, manifest: Manifest, at: date, panel: Panel) -> Books | None:
    """What is in force at `at` and what was before; None where nothing up to `at` is certified."""
    path = stage(meta.name, "flattened_weights")
    before = decided_before(store, meta, at)
    decided = before if store.receipts.refusal(flat_gates(meta), str(at)) else at
    if decided is None:
        return None
    refusal = reduce_only_because(store, meta, manifest, at)
    held = nets(store, path, before, at, panel)
    return Books(held if decided == before else nets(store, path, at, at, panel), held, refusal)


def facts_at(
    store: Store, meta: MetaProfile, manifest: Manifest, at: date, panel: Panel, books: Books
) -> dict[str, Facts]:
    """What the trade list of each risk profile is made from: bars and filters of before `at` alone."""
    terms = terms_of(meta, manifest, at, meta.trading.equity, books.reduce_only)
    quotes, (info, _) = market_quotes(panel, at, terms.currency), filters_before(store, at)
    return {
        profile: Facts(books.wanted[profile], books.held[profile], quotes, info, terms) for profile in RISK_PROFILES
    }


def terms_of(meta: MetaProfile, manifest: Manifest, at: date, equity: float, reduce_only: str) -> Terms:
    """The manifest's rules on an equity; nothing is opened where `reduce_only` says why."""
    currency = manifest.market.currency
    return Terms(at, equity, currency, meta.ledger.cost, meta.trading, reduce_only=bool(reduce_only))


def filters_before(store: Store, day: date) -> tuple[pl.DataFrame | None, str]:
    """The newest snapshot of the exchange's symbols that is of an earlier day, and its day."""
    days = [known for known in store.lake.partitions(EXCHANGE_INFO) if known < str(day)]
    return (store.lake.read(EXCHANGE_INFO, days[-1]), days[-1]) if days else (None, "")


def _figures(found: Mapping[str, Totals], books: Books, filters: str) -> Metadata:
    rows = [
        {
            "profile": profile,
            "trades": one.trades,
            "turnover": _share(one.turnover),
            "cost": _share(one.cost_share),
            "net wanted": _share(one.wanted.net),
            "of it the short policy leaves": _share(one.permitted.net),
            "net after": _share(one.after.net),
            "gross after": _share(one.after.gross),
            "untradable": sum(one.untradable.values()),
            "clipped": one.clipped,
            "above the warning": one.warned,
            "assumed filters": one.assumed,
        }
        for profile, one in found.items()
    ]
    untradable = {profile: one.untradable for profile, one in found.items() if one.untradable}
    return {
        "totals": markdown_table(pl.DataFrame(rows)),
        "untradable": untradable,
        "filters": f"of the exchange, {filters}" if filters else "assumed: no snapshot of the exchange is older than P",
        **({"reduce_only": books.reduce_only} if books.reduce_only else {}),
    }


def _share(value: float) -> str:
    return f"{100 * round(value, 6) + 0.0:.2f} %"
