"""The bundle of a sleeve: its files, and the records of its ledger."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from sleevegraph.atoms import Atom
from sleevegraph.audit import documents, layout
from sleevegraph.audit.documents import rows_of
from sleevegraph.audit.facts import SleeveFacts, run_id
from sleevegraph.audit.ledger import Record
from sleevegraph.audit.records import generation, manifest_file, parquet
from sleevegraph.certification import BLOCKED
from sleevegraph.errors import AuditError
from sleevegraph.findings import Finding
from sleevegraph.sign_test import directional_sign_test, optimised_sign_test
from sleevegraph.track_record import CASH
from sleevegraph.universe import OTHER_QUOTE, eligible_in, passive_symbols

_CELL = ("engine", "profile", "status", "rung", "reason", "solved_by", "objective", "residual", "cap")
_WINNER = ("symbol", "cluster", "score", "stage", "reason")
_LOSER = ("symbol", "reason")
_ATOM = ("symbol", "logic", "direction")


def sleeve_files(facts: SleeveFacts) -> dict[str, bytes]:
    """Everything but the ledger and the report, by path.

    A sleeve that is BLOCKED has no weights in its documents: what was refused must not be taken for a decision.
    """
    raw, synthetic = _matrices(facts)
    weights = facts.weights.clear() if facts.standing == BLOCKED else facts.weights
    run, atoms = run_id(facts.name, facts.at), _atoms(facts)
    streams = directional_sign_test(raw, synthetic, atoms) if atoms else []
    return {
        layout.MANIFEST: manifest_file(facts),
        layout.RAW: parquet(raw),
        layout.SYNTHETIC: parquet(synthetic),
        layout.OPTIMISED: documents.as_json(documents.optimised(weights)),
        layout.PHYSICAL: documents.as_json(documents.physical(weights)),
        layout.STREAMS_SIGN_TEST: documents.as_json(documents.sign_test({run: streams})),
        layout.SIGN_TEST: documents.as_json(documents.sign_test({run: _weights_findings(facts, atoms)})),
    }


def sleeve_records(facts: SleeveFacts, files: Mapping[str, bytes]) -> list[Record]:
    """One generation of the ledger; `files` has the report, too."""
    return generation(facts, _decided(facts), files)


def _decided(facts: SleeveFacts) -> list[Record]:
    eligible = _eligible(facts)
    dropped = rows_of(facts.universe.filter(~pl.col("symbol").is_in(eligible)), "symbol", "rule", "value")
    candidates = rows_of(facts.candidates, "symbol", "kept", "reason")
    chosen = list(facts.winners.iter_rows(named=True))
    winners = [row for row in chosen if row["winner"]]
    atoms = _atoms(facts)
    return [
        {
            "event": "universe_drops",
            "drops": [
                {"symbol": symbol, "rule": rule or OTHER_QUOTE, "value": value} for symbol, rule, value in dropped
            ],
        },
        {
            "event": "candidate_drops",
            "drops": [{"symbol": symbol, "reason": reason} for symbol, kept, reason in candidates if not kept],
        },
        {
            "event": "vetoes",
            "vetoes": [{"symbol": row["symbol"], "rules": row["vetoes"]} for row in chosen if row["vetoes"]],
        },
        {
            "event": "selection",
            "stage": max((row["stage"] for row in winners), default=None),
            "winners": [{name: row[name] for name in _WINNER} for row in winners],
            "losers": [{name: row[name] for name in _LOSER} for row in chosen if not row["winner"]],
        },
        {
            "event": "atoms",
            "atoms": [{"id": atom.id, **{name: getattr(atom, name) for name in _ATOM}} for atom in atoms],
            "eligible": eligible,
        },
        *_cells(facts),
    ]


def _cells(facts: SleeveFacts) -> list[Record]:
    """One record per expected cell; none where the solvers were not asked."""
    limits: dict[tuple[str, str], tuple[float | None, float | None]] = {}
    pairs: dict[tuple[str, str], list[tuple[str, float]]] = {}
    columns = ("engine", "profile", "cluster_limit", "turnover", "symbol", "net")
    for engine, profile, limit, turnover, symbol, net in rows_of(facts.weights, *columns):
        cell = engine, profile
        limits[cell] = limit, turnover
        if symbol is not None and symbol != CASH:
            pairs.setdefault(cell, []).append((symbol, net))
    records = []
    for values in rows_of(facts.cells, *_CELL):
        row = dict(zip(_CELL, values, strict=True))
        cell = row["engine"], row["profile"]
        limit, turnover = limits.get(cell, (None, None))
        held = pairs.get(cell, [])
        records.append(
            {
                "event": "cell",
                **row,
                "of_record": row["engine"] == facts.sleeve.risk.engine_of_record,
                "cluster_limit": limit,
                "turnover": turnover,
                "assets": len(held),
                "weights_digest": documents.weights_digest(held),
            }
        )
    return records


def _eligible(facts: SleeveFacts) -> list[str]:
    return eligible_in(facts.universe, facts.sleeve.quotes)["symbol"].to_list()


def _atoms(facts: SleeveFacts) -> list[Atom]:
    """The atoms that must have a stream, by the selection and not by the streams: one that got lost is to be missed."""
    if facts.streams.is_empty():
        return []
    winners = {symbol for symbol, winner in rows_of(facts.winners, "symbol", "winner") if winner}
    passive = passive_symbols(facts.universe, facts.sleeve.quotes, facts.manifest.market.benchmark_symbols)
    return _of(sorted(winners.union(passive)), facts)


def _of(symbols: Sequence[str], facts: SleeveFacts) -> list[Atom]:
    return [Atom(symbol, facts.sleeve.logic, facts.sleeve.direction) for symbol in symbols]


def _weights_findings(facts: SleeveFacts, atoms: Sequence[Atom]) -> list[Finding]:
    """The sign test of what the engine of record holds; `benchmark` alone may hold what has no stream."""
    held = facts.weights.filter(pl.col("of_record") & pl.col("symbol").is_not_null())
    passive = pl.col("profile") == "benchmark"
    return [
        finding
        for rows, tested in ((held.filter(~passive), atoms), (held.filter(passive), _of(_eligible(facts), facts)))
        if not rows.is_empty()
        for finding in optimised_sign_test(rows, tested)
    ]


def _matrices(facts: SleeveFacts) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Raw returns by symbol and synthetic ones by atom id; only `date` where there is no stream."""
    parts = facts.streams.partition_by("symbol", "logic", "direction", maintain_order=True)
    raw: list[pl.Series] = []
    synthetic: list[pl.Series] = []
    dates = parts[0]["date"] if parts else facts.streams["date"]
    for part in parts:
        first: dict[str, Any] = part.row(0, named=True)
        if part.height != len(dates):
            raise AuditError(
                f"{facts.name} {facts.at}: expected {len(dates)} days of every stream, found {part.height} of "
                f"{first['symbol']}; materialise synthetic_returns again"
            )
        raw.append(part["raw"].alias(first["symbol"]))
        synthetic.append(part["synthetic"].alias(f"{first['symbol']}_{first['logic']}_{first['direction']}"))
    return pl.DataFrame([dates, *raw]), pl.DataFrame([dates, *synthetic])
