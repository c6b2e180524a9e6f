import json
import shutil
from collections.abc import Callable
from datetime import date

import dagster as dg
import polars as pl
import pytest

from checks.partitioned import MAX_SHOWN
from definitions import defs
from resources.lake import BARS, CORROBORATION, AssetPath
from resources.receipts import State
from sleevegraph.audit.layout import OPTIMISED
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome, checks_of, small_definitions
from tests.test_metric_assets import WARNINGS as METRIC_WARNINGS

UNIVERSE: AssetPath = ("universe",)
BTC = pl.col("symbol") == "BINANCE:BTCUSDT"
HRP = pl.col("profile") == "hrp"
SOLVED = pl.col("symbol").is_not_null() & (pl.col("status") == "native")
HIT = KEYS[1]
"""The partition that gets the defect."""

Plant = Callable[[TemporaryHome], None]


def first_where(condition: pl.Expr) -> pl.Expr:
    """The first row that meets a condition."""
    return condition & (condition.cum_sum() == 1)


def changed(column: str, where: pl.Expr, value: pl.Expr) -> pl.Expr:
    return pl.when(where).then(value).otherwise(column).alias(column)


def planting(path: AssetPath, *changes: pl.Expr, rows: pl.Expr | None = None) -> Plant:
    return lambda home: home.plant(path, HIT, *changes, rows=rows)


def on(day: str) -> pl.Expr:
    return pl.col("date") == pl.lit(day).str.to_date()


def codes(home: TemporaryHome, key: str) -> set[str]:
    """Codes of what bars_complete found; a finding reads `LEVEL CODE symbol: message`."""
    return {finding.split()[1].rstrip(":") for finding in home.receipt(UNIVERSE, "bars_complete", key).findings}


def streams(sleeve: str) -> AssetPath:
    return (sleeve, "synthetic_returns")


def weights(sleeve: str) -> AssetPath:
    return (sleeve, "risk_weights")


def cells(sleeve: str) -> AssetPath:
    return (sleeve, "solver_cells")


def flat(meta: str) -> AssetPath:
    return (meta, "flattened_weights")


def a_nudge(column: str, where: pl.Expr) -> pl.Expr:
    return changed(column, first_where(where), pl.col(column) + 1e-6)


FIVE = pl.int_range(pl.len()) < 5
"""Of sixteen cells of two windows more than a quarter, of 24 cells of three windows less."""


def with_another_engine(home: TemporaryHome) -> None:
    """The native rows again under another name, and its hrp off by a hundredth."""
    path = cells(SHORT)
    native = home.read(path, HIT)
    symbols = native["weights"][0].struct.field("symbol").to_list()
    held = native["weights"][0].struct.field("weight").to_list()
    moved = [held[0] + 0.01, held[1] - 0.01, *held[2:]]
    hrp = [{"symbol": symbol, "weight": weight} for symbol, weight in zip(symbols, moved, strict=True)]
    listed = [hrp, *native["weights"].to_list()[1:]]
    weights_type = native.schema["weights"]
    other = native.with_columns(engine=pl.lit("skfolio"), weights=pl.Series(listed, dtype=weights_type))
    home.store.lake.write(path, HIT, pl.concat([native, other]))


def with_a_tampered_bundle(home: TemporaryHome) -> None:
    """One weight of a bundle a little larger, as an editor would leave it."""
    file = home.store.runs.path(SHORT, date.fromisoformat(HIT)) / OPTIMISED
    document = json.loads(file.read_text())
    document["profiles"]["hrp"]["assets"][0]["Weight"] += 1e-6
    file.write_text(json.dumps(document, sort_keys=True, indent=1) + "\n")


def with_a_lost_bundle(home: TemporaryHome) -> None:
    """A folder that somebody deleted."""
    shutil.rmtree(home.store.runs.path(META, date.fromisoformat(HIT)))


def with_a_profile_twice(home: TemporaryHome) -> None:
    """Minimum variance where risk parity should be."""
    path = cells(LONG)
    found = home.read(path, HIT)
    rows = [
        row | {"weights": found["weights"][1].to_list()} if i == 3 else row for i, row in enumerate(found.to_dicts())
    ]
    home.store.lake.write(path, HIT, pl.DataFrame(rows, schema=found.schema))


HELD = ~pl.col("symbol").is_in(["CASH"]) & (pl.col("net").abs() > 0.01)

DEFECTS: dict[str, tuple[AssetPath, str, Plant, str]] = {
    "a short stream that is the raw one": (
        streams(SHORT),
        "directional_sign_test",
        planting(streams(SHORT), changed("synthetic", BTC, pl.col("raw"))),
        "SHORT_NOT_INVERTED",
    ),
    "a long stream turned": (
        streams(LONG),
        "directional_sign_test",
        planting(streams(LONG), changed("synthetic", BTC, -pl.col("raw"))),
        "LONG_MISMATCH",
    ),
    "one day of one stream off by one part in a million million": (
        streams(SHORT),
        "directional_sign_test",
        planting(
            streams(SHORT),
            changed("synthetic", first_where(BTC & (pl.col("raw") != 0.0)), pl.col("synthetic") * (1 + 1e-12)),
        ),
        "SHORT_NOT_INVERTED",
    ),
    "raw and synthetic wrong together": (
        streams(LONG),
        "directional_sign_test",
        planting(streams(LONG), pl.col("raw") * 2.0, pl.col("synthetic") * 2.0),
        "LONG_MISMATCH",
    ),
    "a day that became missing": (
        streams(LONG),
        "directional_sign_test",
        planting(streams(LONG), changed("synthetic", first_where(BTC), pl.lit(None))),
        "LONG_MISMATCH",
    ),
    "a winner without a stream": (
        streams(SHORT),
        "directional_sign_test",
        planting(streams(SHORT), rows=pl.col("symbol") != pl.col("symbol").filter(~BTC).first()),
        "MISSING_SYNTHETIC",
    ),
    "solves that failed": (
        cells(SHORT),
        "solver_failure_rate",
        planting(cells(SHORT), changed("status", FIVE, pl.lit("failed"))),
        "SOLVER_FAILURE_RATE",
    ),
    "solves that left no record": (
        cells(LONG),
        "solver_failure_rate",
        planting(cells(LONG), rows=~FIVE),
        "SOLVER_FAILURE_RATE",
    ),
    "an engine of record that is not there": (
        cells(LONG),
        "solver_failure_rate",
        planting(cells(LONG), changed("status", first_where(HRP), pl.lit("unavailable"))),
        "ENGINE_OF_RECORD_UNAVAILABLE",
    ),
    "a short weight with the sign of a long one": (
        weights(SHORT),
        "directional_sign_test",
        planting(weights(SHORT), changed("net", first_where(SOLVED & (pl.col("weight") > 0)), pl.col("weight"))),
        "SHORT_NOT_INVERTED",
    ),
    "a long weight of the wrong size after its sign": (
        weights(LONG),
        "directional_sign_test",
        planting(weights(LONG), a_nudge("net", SOLVED)),
        "LONG_MISMATCH",
    ),
    "a weight on a symbol that nobody tested": (
        weights(LONG),
        "directional_sign_test",
        planting(weights(LONG), changed("symbol", first_where(SOLVED & ~BTC), pl.lit("BINANCE:STRAYUSDT"))),
        "MISSING_SYNTHETIC",
    ),
    "a negative weight": (
        weights(SHORT),
        "weight_sanity",
        planting(weights(SHORT), changed("weight", first_where(SOLVED), pl.lit(-0.1))),
        "WEIGHT_NEGATIVE",
    ),
    "a weight above its cap": (
        weights(LONG),
        "weight_sanity",
        planting(
            weights(LONG),
            changed("weight", HRP, pl.when(first_where(HRP)).then(1.0).otherwise(0.0)),
        ),
        "CAP_EXCEEDED",
    ),
    "a weight that is no number": (
        weights(LONG),
        "weight_sanity",
        planting(weights(LONG), changed("weight", first_where(SOLVED), pl.lit(float("nan")))),
        "WEIGHT_NOT_FINITE",
    ),
    "weights that add to more than one": (
        weights(SHORT),
        "weight_sanity",
        planting(weights(SHORT), a_nudge("weight", SOLVED & HRP)),
        "OPTIMIZER_NOT_NORMALIZED",
    ),
    "a cell that vanished": (
        weights(SHORT),
        "weight_sanity",
        planting(weights(SHORT), rows=~HRP),
        "CELL_MISSING",
    ),
    "a net weight edited by a millionth": (
        flat(META),
        "conservation",
        planting(flat(META), a_nudge("net", HRP & HELD)),
        "NET_NOT_CONSERVED",
    ),
    "a symbol lost on the way down": (
        flat(NESTED),
        "conservation",
        planting(flat(NESTED), rows=~first_where(HRP & HELD)),
        "NET_NOT_CONSERVED",
    ),
    "a symbol that no sleeve holds": (
        flat(META),
        "conservation",
        planting(flat(META), changed("symbol", first_where(HRP & HELD), pl.lit("BINANCE:STRAYUSDT"))),
        "SYMBOL_UNEXPLAINED",
    ),
    "gross that forgot a leg": (
        flat(META),
        "conservation",
        planting(flat(META), changed("gross", first_where(HRP & HELD), pl.col("gross") - 1e-6)),
        "GROSS_NOT_CONSERVED",
    ),
    "a lost sleeve": (
        (META, "meta_weights"),
        "child_weights",
        planting((META, "meta_weights"), rows=~(HRP & (pl.col("child") == SHORT))),
        "CHILD_LOST",
    ),
    "a child beyond its bound": (
        (META, "meta_weights"),
        "child_weights",
        planting(
            (META, "meta_weights"), changed("weight", HRP, pl.when(pl.col("child") == SHORT).then(0.97).otherwise(0.03))
        ),
        "OUT_OF_BOUNDS",
    ),
    "wealth from nowhere": (
        (LONG, "track_record"),
        "ledger_identities",
        planting((LONG, "track_record"), a_nudge("equity", HRP)),
        "EQUITY_IDENTITY",
    ),
    "a day that nobody earned": (
        (META, "meta_track_record"),
        "ledger_identities",
        planting((META, "meta_track_record"), rows=~first_where(HRP)),
        "DAYS_MISSING",
    ),
    "a bundle whose weights were edited": (
        (SHORT, "audit_bundle"),
        "audit_verified",
        with_a_tampered_bundle,
        "HASHES: data/portfolio_optimized_v2.json",
    ),
    "a bundle that was deleted": ((META, "audit_bundle"), "audit_verified", with_a_lost_bundle, "SCHEMA"),
    "a book that is one symbol": (
        flat(META),
        "concentration",
        planting(flat(META), changed("net", HRP, pl.when(first_where(HRP & HELD)).then(0.9).otherwise(0.001))),
        "CONCENTRATION_BLOCK",
    ),
    "a trade list that trades twice as much": (
        (META, "trade_list"),
        "trade_list_reconciles",
        planting((META, "trade_list"), (pl.col("trade_quantity") * 2).cast(pl.Decimal(38, 18))),
        "LEGS",
    ),
    "a trade list without one of its symbols": (
        (NESTED, "trade_list"),
        "trade_list_reconciles",
        planting((NESTED, "trade_list"), rows=~BTC),
        "SYMBOL_MISSING",
    ),
}

WARNINGS: dict[str, tuple[AssetPath, str, Plant, str]] = {
    "two engines that disagree": (cells(SHORT), "engine_agreement", with_another_engine, "ENGINES_DISAGREE"),
    "two profiles that are one": (cells(LONG), "profile_convergence", with_a_profile_twice, "PROFILES_CONVERGE"),
    "a cap that binds on most assets": (
        cells(LONG),
        "profile_convergence",
        planting(cells(LONG), changed("cap_binding_share", HRP, pl.lit(0.87))),
        "CAP_BINDS: native/hrp: the cap binds on 87%",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_check_fails_for_exactly_the_partition_with_the_planted_defect(home: TemporaryHome, defect: str) -> None:
    path, check, plant, code = DEFECTS[defect]
    plant(home)
    result = home.run(*KEYS[:3], checks=[(path, check)])
    expected = {key: key != HIT for key in KEYS[:3]}
    assert home.evaluations(path, check, result.run_id) == expected
    assert {key: home.receipt(path, check, key).passed for key in KEYS[:3]} == expected
    assert any(code in finding for finding in home.receipt(path, check, HIT).findings)
    assert home.store.receipts.state(path, check, HIT)[0] is State.FAILED
    assert home.store.receipts.state(path, check, KEYS[2])[0] is State.PASSED


@pytest.mark.parametrize("defect", WARNINGS)
def test_a_warning_shows_at_exactly_its_partition_and_blocks_nothing(home: TemporaryHome, defect: str) -> None:
    path, check, plant, code = WARNINGS[defect]
    plant(home)
    assert home.run(*KEYS[:3], checks=[(path, "solver_failure_rate")]).success
    result = home.run(*KEYS[:3], assets=[weights(path[0])], checks=[(path, check)])
    assert result.success
    assert not home.evaluations(path, check, result.run_id)[HIT]
    assert any(f"WARN {code}" in finding for finding in home.receipt(path, check, HIT).findings)
    assert not any(code in finding for key in (KEYS[0], KEYS[2]) for finding in home.receipt(path, check, key).findings)
    (evaluation,) = [e for e in result.get_asset_check_evaluations() if e.partition == HIT]
    assert evaluation.severity is dg.AssetCheckSeverity.WARN
    assert home.receipt(path, check, HIT).passed
    assert home.standing(weights(path[0]), HIT) == "OK"


def test_every_check_of_the_graph_has_a_planted_defect() -> None:
    planted = [*DEFECTS.values(), *WARNINGS.values(), *METRIC_WARNINGS.values()]
    caught = {(path[-1], check) for path, check, *_ in planted} | {("universe", "bars_complete")}
    caught |= {("meta_weights", "parameter_parity")}  # its defect is one of the manifest: see test_parity.py
    assert {(path[-1], check) for path, check in checks_of(small_definitions())} == caught
    assert {(path[-1], check) for path, check in checks_of(defs)} == caught


def forget_their_bars(home: TemporaryHome) -> None:
    """Let partitions not say which bars they were made of, so that the verdict is on the bars alone."""
    for path in (UNIVERSE, CORROBORATION):
        for key in KEYS:
            home.plant(path, key)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (changed("high", pl.lit(value=True), pl.col("low") * 0.5), "OHLC_ORDER"),
        (changed("close", pl.lit(value=True), pl.lit(-1.0)), "NOT_POSITIVE"),
    ],
)
def test_a_broken_bar_fails_exactly_the_rebalance_whose_window_it_is_in(
    home: TemporaryHome, change: pl.Expr, code: str
) -> None:
    broken = BTC & on("2022-02-20")
    column = change.meta.output_name()
    home.plant(BARS, "2022-02", pl.when(broken).then(change).otherwise(column).alias(column))
    forget_their_bars(home)
    result = home.run(*KEYS, checks=[(UNIVERSE, "bars_complete")])
    verdicts = home.evaluations(UNIVERSE, "bars_complete", result.run_id)
    assert verdicts == {key: key != KEYS[2] for key in KEYS}
    assert [key for key in KEYS if code in codes(home, key)] == list(KEYS[2:]), "later ones must warn of it"
    assert "2022-02-20" in home.receipt(UNIVERSE, "bars_complete", KEYS[2]).findings[0]


@pytest.mark.parametrize(
    ("kept", "code", "told"),
    [
        # 2022-02-19 and 20 are a weekend: crypto trades, so a missing Saturday is a missing session.
        (~on("2022-02-19"), "SESSION_MISSING", KEYS[2:]),
        (~on("2022-02-28"), "STALE", KEYS[2:3]),
    ],
)
def test_a_missing_day_fails_the_rebalance_after_it(
    home: TemporaryHome, kept: pl.Expr, code: str, told: tuple[str, ...]
) -> None:
    home.plant(BARS, "2022-02", rows=kept)
    forget_their_bars(home)
    home.run(*KEYS, checks=[(UNIVERSE, "bars_complete")])
    assert tuple(key for key in KEYS if code in codes(home, key)) == told
    assert [key for key in KEYS if not home.receipt(UNIVERSE, "bars_complete", key).passed] == [KEYS[2]]


def test_a_bar_stored_twice_fails_the_rebalance_after_it(home: TemporaryHome) -> None:
    bars = home.read(BARS, "2022-02")
    home.store.lake.write(BARS, "2022-02", pl.concat([bars, bars.filter(BTC & on("2022-02-15"))]))
    forget_their_bars(home)
    home.run(*KEYS, checks=[(UNIVERSE, "bars_complete")])
    assert [key for key in KEYS if "DUPLICATE_BAR" in codes(home, key)] == list(KEYS[1:])
    assert [key for key in KEYS if not home.receipt(UNIVERSE, "bars_complete", key).passed] == [KEYS[1]]


def test_sound_partitions_pass_every_check_in_a_range_run(home: TemporaryHome) -> None:
    for path, check in checks_of(home.defs):
        assert {home.store.receipts.state(path, check, key) for key in KEYS} == {(State.PASSED, "")}


def test_a_verdict_names_the_materialisation_that_it_judged(home: TemporaryHome) -> None:
    path, check = weights(SHORT), "weight_sanity"
    result = home.run(*KEYS, checks=[(path, check)])
    made = home.instance.fetch_materializations(dg.AssetKey(list(path)), limit=len(KEYS)).records
    assert {record.run_id for record in made} != {result.run_id}
    judged = {evaluation.partition: evaluation for evaluation in result.get_asset_check_evaluations()}
    for record in made:
        evaluation = judged[record.partition_key]
        assert evaluation.target_materialization_data is not None
        assert evaluation.target_materialization_data.storage_id == record.storage_id
        assert evaluation.metadata["judged_digest"].value == home.store.lake.digest(path, str(record.partition_key))


def test_a_receipt_keeps_all_findings_where_the_page_shows_the_first(home: TemporaryHome) -> None:
    path = weights(SHORT)
    home.plant(path, HIT, pl.lit(-1.0).alias("weight"))
    result = home.run(*KEYS, checks=[(path, "weight_sanity")])
    (evaluation,) = [e for e in result.get_asset_check_evaluations() if e.partition == HIT]
    findings = home.receipt(path, "weight_sanity", HIT).findings
    assert len(findings) > MAX_SHOWN
    assert evaluation.metadata["finding_count"].value == len(findings)
    assert evaluation.metadata["findings"].value == findings[:MAX_SHOWN]
