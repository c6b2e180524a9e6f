"""Every guarantee of a bundle, against defects planted in the bundles of a small home."""

import json
import random
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets.audit_facts import meta_facts, sleeve_facts
from assets.audit_sources import AuditSources, Versions
from assets.gates import meta_gates, sleeve_gates
from resources.store import Store
from sleevegraph.audit import contract
from sleevegraph.audit import facts as fact_types
from sleevegraph.audit.facts import MetaFacts, SleeveFacts
from sleevegraph.audit.guarantees import standing
from sleevegraph.audit.ledger import extended
from sleevegraph.audit.meta_bundle import meta_files, meta_records
from sleevegraph.audit.sleeve_bundle import sleeve_files, sleeve_records
from sleevegraph.audit.verification import GUARANTEES, Guarantee, verify
from sleevegraph.manifest import Manifest, MetaProfile, RiskRules, SleeveProfile
from sleevegraph.risk_weights import books, risk_weights
from tests.bundles import LEDGER, MANIFEST, OPTIMISED, REPORT, Bundle
from tests.homes import KEYS, LONG, META, NESTED, SHORT, TemporaryHome, checks_of, small_definitions, small_manifest
from tests.planted_audits import AT, FALLEN, META_RUN, NESTED_RUN, SLEEVE, Planted
from tests.planted_files import SEALED as SEALED_FILES
from tests.planted_files import UNSEALED
from tests.planted_metas import METAS
from tests.planted_sleeves import SLEEVES

SEALED = SEALED_FILES + SLEEVES + METAS
SEALS = {"hashes", "chain"}
RUNS = (SLEEVE, FALLEN, META_RUN, NESTED_RUN)


@pytest.fixture(scope="session")
def home_root(_four_rebalances: Path) -> Path:
    return _four_rebalances


@pytest.fixture(scope="session")
def runs(home_root: Path) -> Path:
    return home_root / "runs"


@dataclass(frozen=True)
class Facts:
    """What the bundles of one rebalance were made from."""

    store: Store
    versions: Versions

    def sleeve(self, sleeve: SleeveProfile, at: date) -> SleeveFacts:
        alone = Manifest(market=small_manifest().market, sleeves=(sleeve,), metas=())
        return sleeve_facts(AuditSources(self.store, alone, self.versions, [at]), at)

    def meta(self, meta: MetaProfile, at: date) -> MetaFacts:
        tree = small_manifest().model_copy(update={"metas": (meta,)})
        return meta_facts(AuditSources(self.store, tree, self.versions, [at]), at)


@pytest.fixture(scope="session")
def facts(home_root: Path) -> Facts:
    """What the bundles of one rebalance were made from."""
    graph = small_definitions().resolve_asset_graph()
    versions = {tuple(key.path): str(graph.get(key).code_version) for key in graph.get_all_asset_keys()}
    return Facts(Store(home=str(home_root)), versions)


def sleeve_named(name: str) -> SleeveProfile:
    return next(sleeve for sleeve in small_manifest().sleeves if sleeve.name == name)


def page(facts: SleeveFacts | MetaFacts) -> bytes:
    return f"<html>{facts.name} at {facts.at}</html>\n".encode()


def bundle_of(facts: SleeveFacts | MetaFacts) -> dict[str, bytes]:
    """A bundle as the asset makes it, with a page that says whose it is."""
    if isinstance(facts, SleeveFacts):
        files = {**sleeve_files(facts), REPORT: page(facts)}
        return {**files, LEDGER: extended("", sleeve_records(facts, files)).encode()}
    files = {**meta_files(facts), REPORT: page(facts)}
    return {**files, LEDGER: extended("", meta_records(facts, files)).encode()}


def blocked(facts: Any) -> Any:
    """The same facts after a gate has failed."""
    failed = replace(facts.checks[0], state="FAILED", findings=["ERROR PLANTED: planted"])
    reasons = [f"{failed.check} of {failed.asset}: FAILED: {failed.findings[0]}"]
    return replace(facts, checks=[failed, *facts.checks[1:]], standing="BLOCKED", reasons=reasons)


def of(found: list[Guarantee], name: str) -> Guarantee:
    return next(guarantee for guarantee in found if guarantee.name == name)


def failures(found: list[Guarantee]) -> list[Guarantee]:
    return [guarantee for guarantee in found if not guarantee.ok]


def test_untouched_bundles_hold_every_guarantee_in_order(runs: Path) -> None:
    for folder in sorted(runs.iterdir()):
        found = Bundle(folder).verify()
        kind = "meta" if folder.name.startswith("meta") else "sleeve"
        assert [guarantee.name for guarantee in found] == [name for name, _, _ in GUARANTEES[kind]]
        assert failures(found) == []


@pytest.mark.parametrize("planted", UNSEALED + SEALED, ids=str)
def test_a_planted_defect_is_named_by_its_file_and_guarantee(runs: Path, planted: Planted) -> None:
    bundle = Bundle(runs / planted.run)
    planted.plant(bundle)
    if planted.sealed:
        bundle.seal()
    found = failures(bundle.verify())
    texts = {(guarantee.file, guarantee.name): guarantee.text for guarantee in found}
    assert planted.says in texts[planted.file, planted.guarantee]
    if planted.sealed and planted.guarantee not in {*SEALS, "schema"}:
        assert SEALS.isdisjoint(name for _, name in texts), "the seal is sound, so something else has to see it"


@pytest.mark.parametrize("planted", SEALED, ids=str)
def test_without_new_seals_files_or_chain_show_it(runs: Path, planted: Planted) -> None:
    bundle = Bundle(runs / planted.run)
    planted.plant(bundle)
    shown = {file for file, name in bundle.failed() if name in {*SEALS, "schema"}}
    assert shown & {*bundle.changed(), LEDGER}


@pytest.mark.parametrize("run", RUNS)
def test_any_flipped_bit_is_seen_in_its_file(runs: Path, run: str) -> None:
    rng = random.Random(run)  # noqa: S311 - reproducible, not secret
    for file in Bundle(runs / run).files:
        for _ in range(5):
            bundle = Bundle(runs / run)
            content = bytearray(bundle.files[file])
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            bundle.files[file] = bytes(content)
            assert file in {name for name, _ in bundle.failed()}


def test_only_anchors_see_what_nothing_else_in_the_bundle_holds(runs: Path) -> None:
    bundle = Bundle(runs / SLEEVE)
    bundle.ledger("selection", lambda record: record["winners"][0].update(score=99.0))
    bundle.seal()
    assert {name for _, name in bundle.failed()} == {"anchor"}
    bundle.neighbours = {}
    assert bundle.failed() == []


def test_anchors_say_how_many_were_compared_and_which_ledgers_are_not_there(runs: Path) -> None:
    bundle = Bundle(runs / META_RUN)
    assert of(bundle.verify(), "anchor").text == "anchors compared: 5, ledgers beside it: 5"
    bundle.neighbours = {}
    text = of(bundle.verify(), "anchor").text
    absent = f"{META}-20220219, {LONG}-20220301, {SHORT}-20220301"
    assert text == f"anchors compared: 0, ledgers beside it: 0; not there: {absent}"


def test_an_acceptance_that_was_taken_out_is_missed_by_who_followed_it(runs: Path) -> None:
    bundle = Bundle(runs / f"{LONG}-20220301")
    warned = next(r for r in bundle.records if r["event"] == "check" and r["check"] == "profile_convergence")
    accepted = {
        "event": "acceptance", "asset": f"{LONG}/solver_cells", "check": "profile_convergence", "partition": AT,
        "receipt": "0" * 64, "findings": warned["findings"], "because": "it is planted", "by": "tests",
        "on": "2022-03-02T00:00:00+00:00",
    }  # fmt: skip
    bundle.write([*bundle.records, accepted])
    bundle.seal()
    assert bundle.failed() == []
    follower = Bundle(runs / f"{LONG}-20220311")
    follower.ledger("begin", lambda record: record["previous"].update(hash=bundle.records[-1]["hash"]))
    follower.seal()
    bundle.neighbours[follower.name] = follower.files[LEDGER]
    assert bundle.failed() == []
    bundle.lines(lambda lines: lines.pop())
    assert bundle.failed() == [(LEDGER, "anchor")]


def test_a_further_generation_is_read_and_the_earlier_one_cannot_be_taken_out(runs: Path) -> None:
    bundle = Bundle(runs / SLEEVE)
    first = bundle.records
    again = [{**record, **({"generation": 2} if record["event"] == "begin" else {})} for record in first]
    bundle.write([*first, *again])
    bundle.seal()
    assert bundle.failed() == []
    assert of(bundle.verify(), "chain").text.endswith("generations: 2")
    bundle.write([{**record, "generation": 1} if record["event"] == "begin" else record for record in again])
    bundle.ledger("environment", lambda record: record.update(revision="0" * 40))
    bundle.seal()
    assert bundle.failed() == [(LEDGER, "anchor")]


def test_another_schema_version_is_told_and_nothing_else_is_judged(runs: Path) -> None:
    bundle = Bundle(runs / SLEEVE)
    bundle.ledger("begin", lambda record: record.update(schema_version=7))
    text = "schema version: expected 1, found 7; verify with the release that wrote it"
    assert bundle.verify() == [Guarantee("schema", ok=False, file=LEDGER, text=text)]


def test_a_bundle_under_another_name_is_not_the_one_it_says_it_is(runs: Path) -> None:
    bundle = Bundle(runs / SLEEVE)
    bundle.name = f"{SHORT}-20220311"
    bundle.neighbours = {}
    assert bundle.failed() == [(MANIFEST, "manifest")]


@pytest.mark.parametrize(
    ("record", "fact"),
    [
        (contract.Stage, fact_types.Stage),
        (contract.Check, fact_types.CheckRecord),
        (contract.Acceptance, fact_types.AcceptanceRecord),
        (contract.Child, fact_types.ChildRecord),
    ],
)
def test_records_are_read_with_the_keys_with_which_they_are_written(record: type[contract.Record], fact: type) -> None:
    assert set(record.model_fields) - set(contract.Record.model_fields) == set(fact.__slots__)


def test_required_checks_are_those_that_gate_the_graph() -> None:
    manifest = small_manifest()
    for gates, checks, name in (
        (sleeve_gates(sleeve_named(SHORT), manifest.market), standing.SLEEVE_CHECKS, SHORT),
        (meta_gates(manifest.metas[0], manifest), standing.META_CHECKS, META),
    ):
        asked = {("/".join(gate.path), gate.check): gate.blocking for gate in gates}
        known = {("universe", check) for check in standing.MARKET_CHECKS["universe"]}
        known |= {(f"{name}/{asset}", check) for asset, named in checks.items() for check in named}
        assert set(asked) == known
        assert {check for (_, check), blocking in asked.items() if not blocking} <= set(standing.WARNING_CHECKS)
        assert not {check for (_, check), blocking in asked.items() if blocking} & set(standing.WARNING_CHECKS)


def test_a_blocked_sleeve_shows_no_weights_and_holds(facts: Facts) -> None:
    made = blocked(facts.sleeve(sleeve_named(SHORT), date.fromisoformat(AT)))
    files = bundle_of(made)
    assert failures(verify(files)) == []
    refused = bundle_of(replace(made, standing="DEGRADED"))
    smuggled = {**files, OPTIMISED: refused[OPTIMISED]}
    assert ("sign_test", OPTIMISED) in {(g.name, g.file) for g in failures(verify(smuggled))}


def test_a_blocked_meta_shows_no_book_and_holds(facts: Facts) -> None:
    meta = next(meta for meta in small_manifest().metas if meta.name == META)
    made = blocked(facts.meta(meta, date.fromisoformat(AT)))
    files = bundle_of(made)
    assert failures(verify(files)) == []
    book = bundle_of(replace(made, standing="DEGRADED"))
    named = {
        (g.name, g.file) for g in failures(verify({**files, **{f: book[f] for f in book if f.startswith("data/")}}))
    }
    assert {("children", "data/cluster_tree.json"), ("flattening", "data/flattened.json")} <= named


def test_a_sleeve_that_is_blocked_and_the_metas_that_hold_its_weights_hold_every_guarantee(home: TemporaryHome) -> None:
    weights, metas = (SHORT, "risk_weights"), (META, NESTED)
    stages = [(SHORT, stage) for stage in ("track_record", "sleeve_metrics")]
    stages += [
        (m, stage)
        for m in metas
        for stage in ("meta_weights", "meta_track_record", "flattened_weights", "meta_metrics")
    ]
    checks = [(path, check) for path, check in checks_of(home.defs) if path in stages]
    first = pl.int_range(pl.len()) == 0
    home.plant(weights, KEYS[1], *(pl.when(first).then(-0.5).otherwise(c).alias(c) for c in ("weight", "net")))
    assert home.run(KEYS[1], checks=[(weights, "directional_sign_test"), (weights, "weight_sanity")]).success
    audits = [(name, "audit_bundle") for name in (SHORT, *metas)]
    assert home.run(*KEYS[1:], assets=[*stages, *audits], checks=checks).success
    found = {folder.name: Bundle(folder).verify() for folder in (home.root / "runs").iterdir()}
    assert {name: failures(guarantees) for name, guarantees in found.items() if failures(guarantees)} == {}
    sleeve, meta = (found[f"{name}-20220219"] for name in (SHORT, META))
    assert of(sleeve, "certificate").text.startswith("BLOCKED")
    assert of(sleeve, "sign_test").text.startswith("BLOCKED: the weights that were refused are not here; ")
    assert of(meta, "certificate").text.startswith("DEGRADED")
    assert of(meta, "chain").text.endswith("generations: 2")


def risky(facts: SleeveFacts, previous: Any = None, **risk: Any) -> SleeveFacts:
    """The same cells under other risk rules."""
    rules = RiskRules(**{**facts.sleeve.risk.model_dump(), **risk})
    sleeve = facts.sleeve.model_copy(update={"risk": rules})
    held = facts.winners.filter("winner")
    weights = risk_weights(facts.cells, sleeve, dict(held.select("symbol", "cluster").iter_rows()), previous)
    written = rules.model_dump(mode="json")
    checks = [
        replace(check, rules={key: written.get(key, value) for key, value in check.rules.items()})
        for check in facts.checks
    ]
    return replace(
        facts, manifest=facts.manifest.model_copy(update={"sleeves": (sleeve,)}), weights=weights, checks=checks
    )


def test_a_cluster_cap_is_solved_again_and_judged_by_the_clusters_of_the_bundle(facts: Facts) -> None:
    made = risky(facts.sleeve(sleeve_named(SHORT), date.fromisoformat(AT)), max_cluster_weight=0.3)
    limits = made.weights.filter(pl.col("profile") == "hrp")["cluster_limit"]
    assert limits[0] is not None
    bundle_files = bundle_of(made)
    assert failures(verify(bundle_files)) == []
    loose = bundle_of(replace(made, weights=made.weights.with_columns(cluster_limit=pl.col("cluster_limit") + 0.1)))
    assert {g.name for g in failures(verify(loose))} == {"weight_sanity"}


def test_weights_bound_by_a_turnover_limit_are_said_not_to_be_solved_again(facts: Facts) -> None:
    asked = facts.sleeve(sleeve_named(SHORT), date.fromisoformat(AT))
    symbol = asked.winners.filter("winner")["symbol"][0]
    before = {cell: {symbol: 1.0} for cell in books(asked.weights)}
    bound = verify(bundle_of(risky(asked, before, turnover_limit=1.0)))
    assert failures(bound) == []
    assert "bound to the previous weights by the turnover limit hrp" in of(bound, "solves").text
    free = verify(bundle_of(risky(asked, before, turnover_limit=2.0)))
    assert failures(free) == []
    assert of(free, "solves").text == "8 cells solved again"


def by_another_engine(facts: Facts) -> SleeveFacts:
    """A sleeve whose engine of record is another one, with the same answers."""
    asked = facts.sleeve(sleeve_named(SHORT), date.fromisoformat(AT))
    other = pl.concat([asked.cells, asked.cells.with_columns(engine=pl.lit("skfolio"))])
    stages = [
        replace(stage, rows=other.height) if stage.asset.endswith("/solver_cells") else stage for stage in asked.stages
    ]
    made = replace(asked, cells=other, stages=stages)
    return risky(made, engines=("native", "skfolio"), engine_of_record="skfolio")


def test_cells_of_another_engine_are_compared_with_those_of_the_native_one(facts: Facts) -> None:
    found = verify(bundle_of(by_another_engine(facts)))
    assert failures(found) == []
    said = "8 cells solved again, 5 of them by native where skfolio answered, compared to 0.001"
    assert of(found, "solves").text == said


@pytest.mark.parametrize(("amount", "failed"), [(5e-4, set()), (5e-3, {"solves"})])
def test_another_engine_may_differ_by_what_engine_agreement_allows(
    facts: Facts, amount: float, failed: set[str]
) -> None:
    made = by_another_engine(facts)
    hrp = (pl.col("profile") == "hrp") & (pl.col("engine") == "skfolio")
    ranked = made.weights.with_row_index().filter(hrp).sort("weight")["index"]
    moved = pl.when(pl.col("index") == ranked[-1]).then(-amount).when(pl.col("index") == ranked[0]).then(amount)
    weight = (pl.col("weight") + moved.otherwise(0.0)).alias("weight")
    weights = made.weights.with_row_index().with_columns(weight, (-weight).alias("net")).drop("index")
    weights = pl.concat([made.weights.filter(~hrp), weights.filter(hrp)])
    changed = replace(made, weights=weights)
    assert {g.name for g in failures(verify(bundle_of(changed)))} == failed
    warned = [
        replace(check, findings=["WARN ENGINES_DISAGREE: planted"]) if check.check == "engine_agreement" else check
        for check in changed.checks
    ]
    said = verify(bundle_of(replace(changed, checks=warned)))
    assert failures(said) == []
    assert (
        "not solved again: with a warning that engines disagree, by the engine skfolio hrp" in of(said, "solves").text
    )


VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**70, 10**400, -0.0, 1e308, float("nan"), float("inf"), "", "x", "\ud800", "\x1b[31m", "2022-13-45",
    "0" * 64, "SHORT", "native", "CASH", "BLOCKED", [], [[]], {}, {"x": 1}, [1, 2], ["x"] * 3,
)  # fmt: skip
"""What no reader expects where it stands."""


def mutated(document: Any, rng: random.Random) -> Any:
    """Take out, add or replace one value at a random place of a JSON document."""
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        parent = waiting.pop()
        inside = parent.items() if isinstance(parent, dict) else enumerate(parent) if isinstance(parent, list) else ()
        for key, value in inside:
            places.append((parent, key))
            waiting.append(value)
    if not places or rng.random() < 0.02:
        return rng.choice(VALUES)
    parent, key = rng.choice(places)
    if rng.random() < 0.3:
        del parent[key]
    elif rng.random() < 0.2 and isinstance(parent, list):
        parent.insert(key, rng.choice(VALUES))
    else:
        parent[key] = rng.choice(VALUES)
    return document


@pytest.mark.parametrize("run", RUNS)
def test_whatever_a_document_says_nothing_is_raised_and_every_line_is_printable(runs: Path, run: str) -> None:
    rng = random.Random(run)  # noqa: S311 - reproducible, not secret
    untouched = Bundle(runs / run)
    for _ in range(90):
        bundle = untouched.copy()
        for _ in range(rng.randrange(1, 4)):
            file = rng.choice([LEDGER, *(name for name in bundle.files if name.endswith(".json"))])
            if file == LEDGER:
                records: list[Any] = bundle.records
                place = rng.randrange(len(records))
                records[place] = mutated(records[place], rng)
                bundle.write(records)
            else:
                bundle.files[file] = json.dumps(mutated(json.loads(bundle.files[file]), rng), indent=1).encode()
        if rng.random() < 0.6:
            with suppress(TypeError, KeyError, AttributeError):  # what is no record any more stays unsealed
                bundle.seal()
        found = bundle.verify()
        assert found[0].name == "schema"
        assert all(guarantee.text.isprintable() and guarantee.file.isprintable() for guarantee in found)
        assert bundle.changed() == [] or failures(found)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"a":1}',
        b"null\n",
        b"{}\n{}\n",
        b"PAR1PAR1",
        b'"' + b"\\ud800" * 9,
        b"1" * 9_000,
    ],
    ids=["empty", "newline", "deep", "utf-16", "no newline", "null", "objects", "magic", "surrogates", "digits"],
)
def test_any_bytes_in_place_of_any_file_are_named(runs: Path, content: bytes) -> None:
    for run in (SLEEVE, META_RUN):
        untouched = Bundle(runs / run)
        for file in untouched.files:
            bundle = untouched.copy()
            bundle.files[file] = content
            assert file in {name for name, _ in bundle.failed()}


@pytest.mark.parametrize("content", [b"", b"\xff\n", b'{"event":"begin"}\n', b'[{"event":"begin"}]', b"[" * 100_000])
def test_ledgers_beside_it_that_cannot_be_read_do_not_hold_what_it_names(runs: Path, content: bytes) -> None:
    bundle = Bundle(runs / META_RUN)
    bundle.neighbours = dict.fromkeys(bundle.neighbours, content)
    assert {name for _, name in bundle.failed()} == {"anchor"}


def test_a_parquet_file_without_its_middle_is_named_even_when_sealed(runs: Path) -> None:
    bundle = Bundle(runs / SLEEVE)
    content = bundle.files["data/returns_matrix.parquet"]
    bundle.files["data/returns_matrix.parquet"] = content[:4] + content[-6000:]
    bundle.seal()
    assert ("data/returns_matrix.parquet", "schema") in bundle.failed()


def test_no_files_at_all_is_a_bundle_without_every_file() -> None:
    found = verify({})
    assert not any(guarantee.ok for guarantee in found)
    assert of(found, "schema").text.endswith("6 more")
