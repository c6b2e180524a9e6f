"""Defects planted in bundles, each with the file and the guarantee by which `verify` has to name it.

A defect that is `sealed` was planted by somebody who then wrote every hash anew: files and chain say nothing, and the
guarantee that recomputes what was changed has to.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from tests.bundles import (
    FLATTENED,
    LEDGER,
    MANIFEST,
    META_OPTIMISED,
    META_RETURNS,
    OPTIMISED,
    PHYSICAL,
    RAW,
    REPORT,
    SIGN_TEST,
    STREAMS_SIGN_TEST,
    SYNTHETIC,
    TREE,
    Bundle,
    digest_of,
)
from tests.homes import LONG, META, NESTED, SHORT

AT = "2022-03-01"
SLEEVE, FALLEN, IN_CASH = f"{SHORT}-20220301", f"{SHORT}-20220209", f"{LONG}-20220311"
META_RUN, NESTED_RUN, SOLVED_RUN = f"{META}-20220301", f"{NESTED}-20220301", f"{META}-20220311"
"""A certified short sleeve, one whose tangency portfolio fell back, one in cash, and metas: the last has history enough."""


@dataclass(frozen=True)
class Planted:
    """One defect."""

    name: str
    run: str
    plant: Callable[[Bundle], object]
    file: str
    guarantee: str
    sealed: bool = True
    says: str = ""
    """Part of what is said of it."""

    def __str__(self) -> str:
        return self.name


def flip(file: str, at: float, bit: int = 0) -> Callable[[Bundle], None]:
    """Flip one bit at a share of a file's length."""

    def plant(bundle: Bundle) -> None:
        content = bytearray(bundle.files[file])
        content[int(at * (len(content) - 1))] ^= 1 << bit
        bundle.files[file] = bytes(content)

    return plant


def truncate(file: str) -> Callable[[Bundle], None]:
    def plant(bundle: Bundle) -> None:
        bundle.files[file] = bundle.files[file][: len(bundle.files[file]) // 2]

    return plant


def weight(
    file: str, place: int, change: Callable[[dict[str, Any]], object], profile: str = "hrp"
) -> Callable[[Bundle], None]:
    """Change one asset of a risk profile."""
    return lambda bundle: bundle.profile(file, profile, lambda assets: change(assets[place]))


def by(key: str, amount: float) -> Callable[[dict[str, Any]], object]:
    return lambda row: row.update({key: row[key] + amount})


def to(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda row: row.update({key: value})


def heavier(row: dict[str, Any], amount: float) -> None:
    """More of a weight, in synthetic space or physical."""
    sign = -1.0 if row["Direction"] == "SHORT" else 1.0
    row["Weight"] += amount
    row["Net_Weight"] = sign * row["Weight"]


def moved_consistently(bundle: Bundle) -> None:
    """Move a millionth from one atom to another, in every document and digest that has it."""
    for file in (OPTIMISED, PHYSICAL):
        bundle.profile(file, "hrp", lambda assets: (heavier(assets[0], 1e-6), heavier(assets[1], -1e-6)))
    assets = json.loads(bundle.files[PHYSICAL])["profiles"]["hrp"]["assets"]
    bundle.ledger("cell", to("weights_digest", digest_of(assets)), lambda cell: cell["profile"] == "hrp")


def long_instead_of_short(row: dict[str, Any]) -> None:
    row.update({"Net_Weight": abs(row["Net_Weight"]), "Direction": "LONG"})


def both_matrices(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Bundle], None]:
    def plant(bundle: Bundle) -> None:
        for file in (RAW, SYNTHETIC):
            bundle.frame(file, change)

    return plant


def column(place: int, change: Callable[[pl.Series], pl.Series | pl.Expr]) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda frame: frame.with_columns(change(frame[frame.columns[place]]).alias(frame.columns[place]))


def one_value(amount: float) -> Callable[[pl.Series], pl.Series]:
    return lambda values: values.scatter(7, values[7] + amount)


def other_returns(bundle: Bundle) -> None:
    """Another history of one symbol, with the short stream that belongs to it."""
    bundle.frame(RAW, column(2, lambda values: -values))
    bundle.frame(SYNTHETIC, column(2, lambda values: -values))


def in_order(records: list[dict[str, Any]], first: str, second: str) -> list[dict[str, Any]]:
    """The records with those of two events exchanged."""
    events = [record["event"] for record in records]
    one, other = events.index(first), events.index(second)
    records[one], records[other] = records[other], records[one]
    return records


def certified(bundle: Bundle) -> None:
    bundle.ledger("end", lambda end: end.update(standing="CERTIFIED", reasons=[]))


def native_throughout(bundle: Bundle) -> None:
    """Say that a fallback was solved as asked, in the cell, the check and the end."""
    bundle.ledger(
        "cell", lambda cell: cell.update(status="native", reason=""), lambda cell: cell["status"] == "fallback"
    )
    figures = {"certification": "CERTIFIED", "reasons": []}
    bundle.ledger("check", to("figures", figures), lambda check: check["check"] == "weight_sanity")
    certified(bundle)


def rule(path: str, value: Any, *, kind: str = "sleeves") -> Callable[[Bundle], None]:
    """Change a rule of the resolved manifest."""

    def change(document: Any) -> None:
        *parents, last = path.split(".")
        found = document["manifest"][kind][0]
        for parent in parents:
            found = found[parent]
        found[last] = value

    return lambda bundle: bundle.edit(MANIFEST, change)


def tree(change: Callable[[dict[str, Any]], object], profile: str = "hrp") -> Callable[[Bundle], None]:
    """Change the root of one risk profile's tree."""
    return lambda bundle: bundle.edit(TREE, lambda document: change(document["profiles"][profile]))


def leaf(root: dict[str, Any], name: str) -> dict[str, Any]:
    """The first node of that name."""
    if root["Node"] == name:
        return root
    return next((found for child in root.get("Children", []) if (found := leaf(child, name))), {})


def children_moved(bundle: Bundle) -> None:
    """Move a millionth from one child to another, in the tree and beside it."""

    def change(children: list[Any]) -> None:
        for child, amount in zip(children, (1e-6, -1e-6), strict=False):
            child["Weight"] += amount
            if "Net_Weight" in child:
                child["Net_Weight"] = child["Weight"]

    tree(lambda root: change(root["Children"]))(bundle)
    bundle.profile(META_OPTIMISED, "hrp", change)


def without_document_of(bundle: Bundle, file: str) -> None:
    del bundle.files[file]
    bundle.drop("output", lambda output: output["file"] == file)


def second_generation(records: list[dict[str, Any]], **begin: Any) -> list[dict[str, Any]]:
    """The newest generation once more, with another begin."""
    first, *others = records
    return [{**first, "generation": 2, **begin}, *others]


def miscounted(bundle: Bundle) -> None:
    """Another count of records, with a sound chain."""
    bundle.chain([{**record, **({"records": 43} if record["event"] == "end" else {})} for record in bundle.records])


def other_engine(bundle: Bundle) -> None:
    """A cell of an engine that the manifest does not have."""
    cell = next(record for record in bundle.records if record["event"] == "cell")
    records = bundle.records
    bundle.write([*records[:25], {**cell, "engine": "skfolio", "of_record": False}, *records[25:]])


def unlike_itself(bundle: Bundle) -> None:
    """Another book of a sleeve where it stands a second time."""

    def change(root: dict[str, Any]) -> None:
        again = next(child for child in root["Children"] if child["Node"] == SHORT)
        again["Assets"][0], again["Assets"][1] = (
            {**again["Assets"][0], "Weight": 0.0, "Net_Weight": -0.0, "Direction": "LONG"},
            again["Assets"][1],
        )

    tree(change)(bundle)


def false_finding(code: str, run: str = SLEEVE) -> Callable[[Any], None]:
    finding = {"level": "ERROR", "code": code, "run_id": run, "symbol": "BINANCE:BTCUSDT", "message": "planted"}
    return lambda document: document.update(errors=1, findings=[finding])


def doubled_key(bundle: Bundle) -> None:
    """A key twice in one object: which of the two counts depends on who reads."""
    text = bundle.files[OPTIMISED]
    bundle.files[OPTIMISED] = text.replace(b'"Direction": "LONG",', b'"Direction": "LONG", "Direction": "LONG",', 1)


UNSEALED = (
    Planted("one bit of the raw returns", SLEEVE, flip(RAW, 0.4), RAW, "hashes", sealed=False),
    Planted("one bit of the synthetic returns", SLEEVE, flip(SYNTHETIC, 0.7, 6), SYNTHETIC, "hashes", sealed=False),
    Planted("one bit of the optimised weights", SLEEVE, flip(OPTIMISED, 0.5), OPTIMISED, "hashes", sealed=False),
    Planted("one bit of the manifest", SLEEVE, flip(MANIFEST, 0.5, 1), MANIFEST, "hashes", sealed=False),
    Planted("one bit of the report", SLEEVE, flip(REPORT, 0.3), REPORT, "hashes", sealed=False),
    Planted("one bit of the tree", META_RUN, flip(TREE, 0.9, 2), TREE, "hashes", sealed=False),
    Planted("one bit of a realised stream", META_RUN, flip(META_RETURNS, 0.5), META_RETURNS, "hashes", sealed=False),
    Planted("a weight by 1e-6", SLEEVE, weight(OPTIMISED, 0, by("Weight", 1e-6)), OPTIMISED, "hashes", sealed=False),
    Planted(
        "a short made a long", SLEEVE, weight(PHYSICAL, 0, long_instead_of_short), PHYSICAL, "hashes", sealed=False
    ),
    Planted("a sleeve taken out", META_RUN, tree(lambda root: root["Children"].pop()), TREE, "hashes", sealed=False),
    Planted("a truncated matrix", SLEEVE, truncate(RAW), RAW, "schema", sealed=False),
    Planted("a truncated document", META_RUN, truncate(FLATTENED), FLATTENED, "schema", sealed=False),
    Planted("a truncated ledger", SLEEVE, truncate(LEDGER), LEDGER, "chain", sealed=False),
    Planted("an empty ledger", SLEEVE, lambda b: b.files.update({LEDGER: b""}), LEDGER, "schema", sealed=False),
    Planted("no ledger", SLEEVE, lambda b: b.files.pop(LEDGER), LEDGER, "schema", sealed=False),
    Planted("no report", META_RUN, lambda b: b.files.pop(REPORT), REPORT, "schema", sealed=False),
    Planted(
        "no report, which its record misses",
        META_RUN,
        lambda b: b.files.pop(REPORT),
        REPORT,
        "hashes",
        sealed=False,
        says="found no file",
    ),
    Planted(
        "one file too many", SLEEVE, lambda b: b.files.update({"data/x.csv": b""}), "data/x.csv", "schema", sealed=False
    ),
    Planted(
        "a ledger line dropped",
        SLEEVE,
        lambda b: b.lines(lambda ls: ls.pop(12)),
        LEDGER,
        "chain",
        sealed=False,
        says="a record is missing, added or moved",
    ),
    Planted("the first line dropped", SLEEVE, lambda b: b.lines(lambda ls: ls.pop(0)), LEDGER, "chain", sealed=False),
    Planted("the last line dropped", META_RUN, lambda b: b.lines(lambda ls: ls.pop()), LEDGER, "chain", sealed=False),
    Planted(
        "a ledger line twice", SLEEVE, lambda b: b.lines(lambda ls: ls.insert(5, ls[5])), LEDGER, "chain", sealed=False
    ),
    Planted(
        "two ledger lines swapped",
        SLEEVE,
        lambda b: b.lines(lambda ls: ls.insert(20, ls.pop(21))),
        LEDGER,
        "chain",
        sealed=False,
    ),
    Planted("a standing rewritten", FALLEN, certified, LEDGER, "chain", sealed=False, says="the record was changed"),
    Planted(
        "another schema version",
        SLEEVE,
        lambda b: b.edit(MANIFEST, to("schema_version", 7)),
        MANIFEST,
        "schema",
        sealed=False,
    ),
)

SEALED = (
    # files and ledger
    Planted("a truncated matrix, sealed", SLEEVE, truncate(RAW), RAW, "schema"),
    Planted(
        "a report taken out with its record",
        SLEEVE,
        lambda b: without_document_of(b, REPORT),
        REPORT,
        "schema",
        says="expected a file, found none",
    ),
    Planted(
        "an output of no file",
        SLEEVE,
        lambda b: b.ledger("output", to("file", "data/y")),
        LEDGER,
        "hashes",
        says="no part of a bundle",
    ),
    Planted("a key that stands twice", SLEEVE, doubled_key, OPTIMISED, "schema"),
    Planted(
        "a weight that is no number", SLEEVE, weight(OPTIMISED, 0, to("Weight", float("nan"))), OPTIMISED, "schema"
    ),
    Planted("a weight as text", SLEEVE, weight(OPTIMISED, 0, to("Weight", "0.25")), OPTIMISED, "schema"),
    Planted(
        "assets out of order", SLEEVE, lambda b: b.profile(PHYSICAL, "hrp", lambda a: a.reverse()), PHYSICAL, "schema"
    ),
    Planted(
        "vetoes taken out",
        SLEEVE,
        lambda b: b.drop("vetoes"),
        LEDGER,
        "chain",
        says="expected one record vetoes, found 0",
    ),
    Planted(
        "two events exchanged",
        SLEEVE,
        lambda b: b.write(in_order(b.records, "vetoes", "atoms")),
        LEDGER,
        "chain",
        says="expected vetoes before selection",
    ),
    Planted(
        "a generation that is not counted",
        SLEEVE,
        lambda b: b.ledger("begin", to("generation", 2)),
        LEDGER,
        "chain",
        says="generation: expected 1, found 2",
    ),
    Planted(
        "a rule added to the manifest", SLEEVE, rule("risk.lenient", value=True), MANIFEST, "manifest", says="lenient"
    ),
    Planted(
        "a rule left to its default",
        SLEEVE,
        lambda b: b.edit(MANIFEST, lambda d: d["manifest"]["sleeves"][0].pop("owner")),
        MANIFEST,
        "manifest",
        says="every rule with its default",
    ),
    Planted(
        "another portfolio's manifest",
        SLEEVE,
        lambda b: b.edit(MANIFEST, to("portfolio", LONG)),
        MANIFEST,
        "manifest",
        says="portfolio: expected",
    ),
    Planted(
        "a date off the grid",
        SLEEVE,
        lambda b: b.edit(MANIFEST, to("partition", "2022-03-02")),
        MANIFEST,
        "manifest",
        says="2022-03-02",
    ),
    Planted(
        "bounds that cannot be met",
        META_RUN,
        rule("weight_min", 0.9, kind="metas"),
        MANIFEST,
        "manifest",
        says="weight_min",
    ),
    # anchors: what a ledger alone cannot show
    Planted(
        "a drop's value, which only anchors hold",
        SLEEVE,
        lambda b: b.ledger("universe_drops", lambda r: r["drops"][0].update(value=1.0)),
        LEDGER,
        "anchor",
        says="this ledger was rewritten",
    ),
    Planted(
        "the revision of the program",
        META_RUN,
        lambda b: b.ledger("environment", to("revision", "0" * 40)),
        LEDGER,
        "anchor",
        says="this ledger was rewritten",
    ),
    Planted(
        "an anchor to another ledger",
        SLEEVE,
        lambda b: b.ledger("begin", lambda r: r["previous"].update(hash="0" * 64)),
        LEDGER,
        "anchor",
        says="one of the two was rewritten",
    ),
    Planted(
        "an anchor taken out",
        SLEEVE,
        lambda b: b.ledger("begin", to("previous", None)),
        LEDGER,
        "anchor",
        says="which is beside it, found none",
    ),
    Planted(
        "a child's anchor taken out",
        META_RUN,
        lambda b: b.ledger("begin", lambda r: r["children"].popitem()),
        LEDGER,
        "anchor",
        says="children: expected the ledgers of the children of",
    ),
    Planted(
        "a child's standing, everywhere here",
        NESTED_RUN,
        lambda b: b.ledger("child", to("standing", "BLOCKED")),
        LEDGER,
        "anchor",
        says="expected a standing that its own ledger has",
    ),
    # the sleeve
    Planted(
        "a column dropped from both matrices",
        SLEEVE,
        both_matrices(lambda f: f.drop(f.columns[3])),
        RAW,
        "matrices",
        says="columns: expected date and the ledger's atoms",
    ),
    Planted(
        "two columns exchanged",
        SLEEVE,
        lambda b: b.frame(RAW, lambda f: f.select("date", *reversed(f.columns[1:]))),
        RAW,
        "matrices",
    ),
    Planted(
        "a day dropped from both matrices",
        SLEEVE,
        both_matrices(lambda f: f.slice(1)),
        RAW,
        "matrices",
        says="date: expected 252 days",
    ),
    Planted("a day twice", SLEEVE, both_matrices(lambda f: pl.concat([f.head(1), f.head(251)])), RAW, "matrices"),
    Planted(
        "a look ahead by one day",
        SLEEVE,
        both_matrices(lambda f: f.with_columns(pl.col("date") + timedelta(days=1))),
        RAW,
        "matrices",
        says="the first that differs is 2021-06-23",
    ),
    Planted(
        "a return that is infinite",
        SLEEVE,
        lambda b: b.frame(RAW, column(1, one_value(float("inf")))),
        RAW,
        "matrices",
        says="expected finite numbers or null",
    ),
    Planted(
        "an atom the ledger does not have",
        SLEEVE,
        lambda b: b.ledger("atoms", lambda r: r["atoms"].pop()),
        LEDGER,
        "matrices",
        says="the winners and the eligible benchmark symbols",
    ),
    Planted(
        "an atom in the other direction",
        SLEEVE,
        lambda b: b.ledger("atoms", lambda r: r["atoms"][0].update(direction="LONG")),
        LEDGER,
        "matrices",
        says="_SHORT, found",
    ),
    Planted(
        "a winner nobody may hold",
        SLEEVE,
        lambda b: b.ledger("atoms", lambda r: r["eligible"].pop(2)),
        LEDGER,
        "matrices",
        says="expected winners among the eligible symbols",
    ),
    Planted(
        "a short stream that is long",
        SLEEVE,
        lambda b: b.frame(SYNTHETIC, column(3, lambda v: -v)),
        SYNTHETIC,
        "sign_test_pre_opt",
    ),
    Planted(
        "one synthetic return by a hair",
        SLEEVE,
        lambda b: b.frame(SYNTHETIC, column(3, one_value(1e-15))),
        SYNTHETIC,
        "sign_test_pre_opt",
    ),
    Planted(
        "a day missing from one stream",
        SLEEVE,
        lambda b: b.frame(SYNTHETIC, column(3, lambda v: v.scatter(7, None))),
        SYNTHETIC,
        "sign_test_pre_opt",
    ),
    Planted(
        "a finding of streams that is none",
        SLEEVE,
        lambda b: b.edit(STREAMS_SIGN_TEST, false_finding("SHORT_NOT_INVERTED")),
        STREAMS_SIGN_TEST,
        "sign_test_pre_opt",
    ),
    Planted(
        "a finding of weights that is none",
        SLEEVE,
        lambda b: b.edit(SIGN_TEST, false_finding("LONG_MISMATCH")),
        SIGN_TEST,
        "sign_test",
    ),
    Planted(
        "errors that are not counted",
        SLEEVE,
        lambda b: b.edit(SIGN_TEST, to("errors", 2)),
        SIGN_TEST,
        "sign_test",
        says="errors: expected 0",
    ),
    Planted(
        "a short made a long, sealed",
        SLEEVE,
        weight(PHYSICAL, 0, long_instead_of_short),
        PHYSICAL,
        "sign_test",
        says="SHORT_NOT_INVERTED",
    ),
    Planted(
        "a short's sign alone",
        SLEEVE,
        weight(PHYSICAL, 0, lambda a: a.update(Net_Weight=-a["Net_Weight"])),
        PHYSICAL,
        "sign_test",
        says="SHORT_NOT_INVERTED",
    ),
    Planted(
        "a direction in synthetic space",
        SLEEVE,
        weight(OPTIMISED, 0, to("Direction", "SHORT")),
        OPTIMISED,
        "sign_test",
        says="expected LONG with Net_Weight = Weight in synthetic space",
    ),
    Planted(
        "a weight of an untested atom",
        SLEEVE,
        weight(OPTIMISED, -1, to("Symbol", "BINANCE:XUSDT_rating_all_SHORT")),
        OPTIMISED,
        "sign_test",
        says="MISSING_SYNTHETIC",
    ),
    Planted(
        "a weight by 1e-6, sealed",
        SLEEVE,
        weight(OPTIMISED, 0, lambda a: heavier(a, 1e-6)),
        OPTIMISED,
        "weight_sanity",
        says="OPTIMIZER_NOT_NORMALIZED",
    ),
    Planted(
        "a negative weight",
        SLEEVE,
        weight(OPTIMISED, 0, lambda a: heavier(a, -1.0)),
        OPTIMISED,
        "weight_sanity",
        says="WEIGHT_NEGATIVE",
    ),
    Planted(
        "a weight above the cap",
        SLEEVE,
        weight(OPTIMISED, 0, lambda a: heavier(a, 0.3)),
        OPTIMISED,
        "weight_sanity",
        says="CAP_EXCEEDED",
    ),
    Planted(
        "an atom twice",
        SLEEVE,
        lambda b: b.profile(OPTIMISED, "hrp", lambda a: a.insert(1, dict(a[0]))),
        OPTIMISED,
        "weight_sanity",
        says="DUPLICATE_ASSET",
    ),
    Planted(
        "an atom dropped",
        SLEEVE,
        lambda b: b.profile(OPTIMISED, "equal_weight", lambda a: a.pop()),
        OPTIMISED,
        "weight_sanity",
        says="expected a weight, found none",
    ),
    Planted(
        "another cluster",
        SLEEVE,
        weight(OPTIMISED, 3, by("Cluster_ID", 1)),
        OPTIMISED,
        "weight_sanity",
        says="Cluster_ID: expected",
    ),
    Planted(
        "a cell taken out", SLEEVE, lambda b: b.drop("cell"), LEDGER, "weight_sanity", says="expected 1, found none"
    ),
    Planted(
        "a cell twice",
        SLEEVE,
        lambda b: b.write(sorted([*b.records, b.records[17]], key=lambda r: r["seq"])),
        LEDGER,
        "weight_sanity",
        says="expected 1, found 2",
    ),
    Planted(
        "a status that nobody knows",
        SLEEVE,
        lambda b: b.ledger("cell", to("status", "fine")),
        LEDGER,
        "weight_sanity",
        says="status: expected one of",
    ),
    Planted(
        "a wider cap in a cell",
        SLEEVE,
        lambda b: b.ledger("cell", to("cap", 0.5)),
        LEDGER,
        "weight_sanity",
        says="cap: expected 0.25, found 0.5",
    ),
    Planted(
        "a wider cap in the manifest",
        SLEEVE,
        rule("risk.cluster_cap", 0.5),
        LEDGER,
        "weight_sanity",
        says="cap: expected 0.5, found 0.25",
    ),
    Planted(
        "a profile emptied as if rejected",
        SLEEVE,
        lambda b: b.ledger("cell", lambda r: r.update(status="rejected", reason="")),
        LEDGER,
        "weight_sanity",
        says="reason: expected why it is rejected",
    ),
    Planted("a millionth moved in every document", SLEEVE, moved_consistently, OPTIMISED, "solves"),
    Planted("another history, signs and all", SLEEVE, other_returns, OPTIMISED, "solves", says="as solved again"),
    Planted("a covariance that was not used", SLEEVE, rule("risk.covariance", "sample"), OPTIMISED, "solves"),
    Planted(
        "a fallback said to be native", FALLEN, native_throughout, LEDGER, "solves", says="status: expected 'fallback'"
    ),
    Planted(
        "weights of a sleeve in cash", IN_CASH, lambda b: b.ledger("cell", to("status", "native")), LEDGER, "solves"
    ),
    Planted(
        "a physical weight by 1e-6",
        SLEEVE,
        weight(PHYSICAL, 1, lambda a: heavier(a, 1e-6)),
        PHYSICAL,
        "flattening",
        says="Net_Weight: expected",
    ),
    Planted(
        "a physical weight dropped",
        SLEEVE,
        lambda b: b.profile(PHYSICAL, "hrp", lambda a: a.pop()),
        PHYSICAL,
        "flattening",
        says="expected 1 asset of an atom, found 0",
    ),
    Planted(
        "another digest of a cell",
        SLEEVE,
        lambda b: b.ledger("cell", to("weights_digest", "0" * 64)),
        PHYSICAL,
        "flattening",
        says="that the ledger's cell digests",
    ),
    Planted(
        "DEGRADED said to be CERTIFIED",
        FALLEN,
        certified,
        LEDGER,
        "certificate",
        says="standing: expected DEGRADED, found CERTIFIED",
    ),
    Planted(
        "reasons left out",
        IN_CASH,
        lambda b: b.ledger("end", lambda r: r["reasons"].pop()),
        LEDGER,
        "certificate",
        says="reasons: expected",
    ),
    Planted(
        "a failed gate of a CERTIFIED sleeve",
        SLEEVE,
        lambda b: b.ledger("check", to("state", "FAILED")),
        LEDGER,
        "certificate",
    ),
    Planted(
        "a check taken out",
        SLEEVE,
        lambda b: b.drop("check", lambda r: r["check"] == "solver_failure_rate"),
        LEDGER,
        "gates",
        says="expected one verdict, found none",
    ),
    Planted(
        "an error in a check that passed",
        SLEEVE,
        lambda b: b.ledger("check", to("findings", ["ERROR X: planted"])),
        LEDGER,
        "gates",
        says="expected no error in a verdict that PASSED",
    ),
    Planted(
        "a verdict on another file",
        SLEEVE,
        lambda b: b.ledger("check", to("digest", "0" * 64)),
        LEDGER,
        "gates",
        says="of the partition that was used",
    ),
    Planted(
        "a gate that only warns",
        SLEEVE,
        lambda b: b.ledger("check", to("blocking", value=False)),
        LEDGER,
        "gates",
        says="blocking: expected True",
    ),
    Planted(
        "a partition that was used, taken out",
        SLEEVE,
        lambda b: b.drop("stage", lambda r: "winners" in r["asset"]),
        LEDGER,
        "gates",
        says="expected the partition that was used, found none",
    ),
    # the meta
    Planted(
        "a sleeve taken out of the tree",
        META_RUN,
        tree(lambda root: root["Children"].pop()),
        TREE,
        "children",
        says="expected the children",
    ),
    Planted(
        "a sleeve taken out below",
        NESTED_RUN,
        tree(lambda root: leaf(root, META)["Children"].pop(0)),
        TREE,
        "children",
        says="expected the children",
    ),
    Planted(
        "a sleeve's direction",
        META_RUN,
        tree(lambda root: leaf(root, SHORT).update(Direction="LONG")),
        TREE,
        "children",
        says="expected rating_all SHORT",
    ),
    Planted(
        "cash taken out of a sleeve",
        META_RUN,
        tree(lambda root: leaf(root, SHORT)["Assets"].pop()),
        TREE,
        "children",
        says="then CASH",
    ),
    Planted(
        "a child out of bounds",
        META_RUN,
        tree(lambda root: [c.update(Weight=w) for c, w in zip(root["Children"], (0.99, 0.01), strict=True)]),
        TREE,
        "children",
        says="expected a weight in [",
    ),
    Planted(
        "weights below that sum to more",
        NESTED_RUN,
        tree(lambda root: leaf(root, META)["Children"][0].update(Weight=0.9)),
        TREE,
        "children",
        says="expected child weights that sum to 1",
    ),
    Planted(
        "a child's record taken out",
        META_RUN,
        lambda b: b.drop("child"),
        LEDGER,
        "children",
        says="expected 1 record of a sleeve",
    ),
    Planted(
        "a child's weight by 1e-6",
        META_RUN,
        weight(META_OPTIMISED, 0, lambda a: heavier(a, 1e-6)),
        META_OPTIMISED,
        "meta_weights",
        says="expected the weights of the tree's root",
    ),
    Planted(
        "a cell of a meta taken out",
        META_RUN,
        lambda b: b.drop("cell"),
        LEDGER,
        "meta_weights",
        says="expected one, found 0",
    ),
    Planted("a millionth moved between children", SOLVED_RUN, children_moved, META_OPTIMISED, "solves"),
    Planted(
        "another stream of a child",
        SOLVED_RUN,
        lambda b: b.frame(META_RETURNS, column(2, lambda v: v * 3.0)),
        META_OPTIMISED,
        "solves",
    ),
    Planted(
        "a child's stream dropped",
        META_RUN,
        lambda b: b.frame(META_RETURNS, lambda f: f.drop(f.columns[2])),
        META_RETURNS,
        "solves",
        says="columns: expected",
    ),
    Planted(
        "a leaf with the wrong sign",
        META_RUN,
        tree(lambda root: long_instead_of_short(leaf(root, SHORT)["Assets"][0])),
        TREE,
        "sign_test",
    ),
    Planted(
        "findings of a sleeve that passed",
        META_RUN,
        lambda b: b.edit(SIGN_TEST, false_finding("LONG_MISMATCH")),
        SIGN_TEST,
        "sign_test",
    ),
    Planted(
        "a net weight by 1e-9",
        META_RUN,
        weight(FLATTENED, 2, by("Net_Weight", 1e-9)),
        FLATTENED,
        "flattening",
        says="Net_Weight: expected",
    ),
    Planted(
        "a contribution by 1e-6",
        META_RUN,
        weight(FLATTENED, 2, lambda a: by("Contribution", 1e-6)(a["Contributions"][0])),
        FLATTENED,
        "flattening",
        says="Contributions:",
    ),
    Planted(
        "a path renamed",
        NESTED_RUN,
        weight(FLATTENED, 2, lambda a: a["Contributions"][0].update(Path=NESTED)),
        FLATTENED,
        "flattening",
        says="paths of the tree",
    ),
    Planted(
        "a weight hidden as dust",
        META_RUN,
        weight(FLATTENED, 2, to("Dust", value=True)),
        FLATTENED,
        "flattening",
        says="with Dust False",
    ),
    Planted(
        "a symbol dropped from the book",
        META_RUN,
        lambda b: b.profile(FLATTENED, "hrp", lambda a: a.pop(2)),
        FLATTENED,
        "conservation",
        says="NET_NOT_CONSERVED",
    ),
    Planted(
        "a symbol nobody holds",
        META_RUN,
        weight(FLATTENED, -1, to("Symbol", "BINANCE:ZUSDT")),
        FLATTENED,
        "conservation",
        says="SYMBOL_UNEXPLAINED",
    ),
    Planted(
        "gross before netting",
        META_RUN,
        weight(FLATTENED, 2, by("Gross", 1e-6)),
        FLATTENED,
        "conservation",
        says="GROSS_NOT_CONSERVED",
    ),
    Planted(
        "a concentration that nobody reported",
        META_RUN,
        rule("concentration_warn", 0.01, kind="metas"),
        FLATTENED,
        "concentration",
    ),
    Planted(
        "a concentration that is none",
        META_RUN,
        lambda b: b.ledger(
            "check", to("findings", ["WARN CONCENTRATION_WARN X: planted"]), lambda r: r["check"] == "concentration"
        ),
        LEDGER,
        "concentration",
    ),
    Planted("a meta above what is DEGRADED", f"{META}-20220209", certified, LEDGER, "certificate"),
    Planted(
        "a meta's check taken out",
        META_RUN,
        lambda b: b.drop("check", lambda r: r["check"] == "conservation"),
        LEDGER,
        "gates",
    ),
    Planted(
        "a page that is no text",
        SLEEVE,
        lambda b: b.files.update({REPORT: b"\xff<html>"}),
        REPORT,
        "schema",
        says="expected UTF-8",
    ),
    Planted(
        "a page without a word",
        SLEEVE,
        lambda b: b.files.update({REPORT: b" \n"}),
        REPORT,
        "schema",
        says="found nothing",
    ),
    Planted(
        "an output taken out",
        SLEEVE,
        lambda b: b.drop("output"),
        LEDGER,
        "hashes",
        says=f"expected a record of {MANIFEST}, found none",
    ),
    Planted(
        "an output twice",
        SLEEVE,
        lambda b: b.again("output"),
        LEDGER,
        "hashes",
        says="expected one record of each file",
    ),
    Planted(
        "records that are miscounted", SLEEVE, miscounted, LEDGER, "chain", sealed=False, says="records: expected 44"
    ),
    Planted(
        "a check after the end",
        SLEEVE,
        lambda b: b.write([*b.records, b.records[30]]),
        LEDGER,
        "chain",
        says="expected only acceptances after end, found check",
    ),
    Planted(
        "a generation of another portfolio",
        SLEEVE,
        lambda b: b.write([*b.records, *second_generation(b.records, portfolio=LONG)]),
        LEDGER,
        "chain",
        says=f"expected a generation of {SLEEVE}",
    ),
    Planted(
        "two ends",
        SLEEVE,
        lambda b: b.again("end"),
        LEDGER,
        "chain",
        says="expected one end, found 2",
    ),
    Planted(
        "an anchor in what is no earlier ledger",
        SLEEVE,
        lambda b: b.ledger("begin", lambda r: r["previous"].update(run_id=f"{LONG}-20220219")),
        LEDGER,
        "anchor",
        says=f"previous: expected the ledger {SHORT}-20220219 or none",
    ),
    Planted(
        "another run id in the manifest",
        SLEEVE,
        lambda b: b.edit(MANIFEST, to("run_id", f"{SHORT}-20220311")),
        MANIFEST,
        "manifest",
        says=f"run_id: expected {SLEEVE}",
    ),
    Planted(
        "another kind, there and in the ledger",
        SLEEVE,
        lambda b: (b.edit(MANIFEST, to("kind", "meta")), b.ledger("begin", to("kind", "meta"))),
        MANIFEST,
        "manifest",
        says="kind: expected sleeve as the files are",
    ),
    Planted(
        "another sleeve's rules",
        SLEEVE,
        rule("name", LONG),
        MANIFEST,
        "manifest",
        says=f"sleeves: expected {SHORT}, found {LONG}",
    ),
    Planted(
        "a meta without its rules",
        META_RUN,
        rule("name", "meta_other", kind="metas"),
        MANIFEST,
        "manifest",
        says=f"metas: expected {META} among them",
    ),
    Planted(
        "the status of a cell that is not traded",
        SLEEVE,
        other_engine,
        LEDGER,
        "weight_sanity",
        says="cell skfolio/hrp: expected none, found 1",
    ),
    Planted(
        "a cell that is not of record",
        SLEEVE,
        lambda b: b.ledger("cell", to("of_record", value=False)),
        LEDGER,
        "weight_sanity",
        says="of_record: expected True by the manifest",
    ),
    Planted(
        "a turnover without a limit",
        SLEEVE,
        lambda b: b.ledger("cell", to("turnover", 0.5)),
        LEDGER,
        "weight_sanity",
        says="turnover: expected none without a limit",
    ),
    Planted(
        "assets that a cell does not count",
        SLEEVE,
        lambda b: b.ledger("cell", to("assets", 11)),
        OPTIMISED,
        "weight_sanity",
        says="expected the 11 assets that the ledger counts, found 12",
    ),
    Planted(
        "a cluster's limit that no rule sets",
        SLEEVE,
        lambda b: b.ledger("cell", to("cluster_limit", 0.5)),
        LEDGER,
        "weight_sanity",
        says="cluster_limit: expected None, found 0.5",
    ),
    Planted(
        "the objective of a cell",
        SLEEVE,
        lambda b: b.ledger("cell", by("objective", 1e-9)),
        LEDGER,
        "solves",
        says="objective: expected",
    ),
    Planted(
        "the solver of a cell",
        SLEEVE,
        lambda b: b.ledger("cell", to("solved_by", "x")),
        LEDGER,
        "solves",
        says="solved_by",
    ),
    Planted(
        "days that a meta did not lose",
        SOLVED_RUN,
        lambda b: b.ledger("cell", to("rows_lost", 3)),
        LEDGER,
        "solves",
        says="rows_lost: expected 0, found 3",
    ),
    Planted(
        "a certificate that the cells do not bear out",
        SLEEVE,
        lambda b: b.ledger(
            "check",
            to("figures", {"certification": "DEGRADED", "reasons": []}),
            lambda r: r["check"] == "weight_sanity",
        ),
        LEDGER,
        "certificate",
        says="figures: expected CERTIFIED with 0 reasons",
    ),
    Planted(
        "a check of another day",
        SLEEVE,
        lambda b: b.ledger("check", to("partition", "2022-02-19")),
        LEDGER,
        "gates",
        says="partition: expected 2022-03-01",
    ),
    Planted(
        "a state that nobody knows",
        SLEEVE,
        lambda b: b.ledger("check", to("state", "FINE")),
        LEDGER,
        "gates",
        says="state: expected one of",
    ),
    Planted(
        "a verdict on other bars",
        SLEEVE,
        lambda b: b.ledger(
            "check", lambda r: r["inputs"].update(daily_bars="0" * 64), lambda r: "daily_bars" in r["inputs"]
        ),
        LEDGER,
        "gates",
        says="inputs: daily_bars: expected",
    ),
    Planted(
        "a verdict by other rules",
        SLEEVE,
        lambda b: b.ledger(
            "check", lambda r: r["rules"].update(cluster_cap=0.9), lambda r: r["check"] == "weight_sanity"
        ),
        LEDGER,
        "gates",
        says="rules: cluster_cap: expected the manifest's value",
    ),
    Planted(
        "a failure without an error",
        SLEEVE,
        lambda b: b.ledger("check", to("state", "FAILED")),
        LEDGER,
        "gates",
        says="expected an error in a verdict that FAILED",
    ),
    Planted(
        "the bars' days",
        SLEEVE,
        lambda b: b.ledger("bars", lambda r: r.update(days=r["days"] + "0" * 16)),
        LEDGER,
        "matrices",
        says="bars: expected days before 2022-03-01",
    ),
    Planted(
        "a day of the synthetic matrix alone",
        SLEEVE,
        lambda b: b.frame(SYNTHETIC, lambda f: f.slice(1)),
        SYNTHETIC,
        "matrices",
        says="found 251",
    ),
    Planted(
        "a root of another name",
        META_RUN,
        tree(to("Node", "meta_other")),
        TREE,
        "children",
        says=f"expected the root {META}",
    ),
    Planted(
        "a leaf's weight that is not its net",
        META_RUN,
        tree(lambda root: leaf(root, SHORT)["Assets"][0].update(Weight=0.5)),
        TREE,
        "children",
        says="expected Weight = |Net_Weight|",
    ),
    Planted(
        "cash that is not what is left",
        META_RUN,
        tree(lambda root: leaf(root, SHORT)["Assets"][-1].update(Weight=0.5, Net_Weight=0.5)),
        TREE,
        "children",
        says="what the sleeve does not hold",
    ),
    Planted(
        "a sleeve unlike itself elsewhere",
        NESTED_RUN,
        unlike_itself,
        TREE,
        "children",
        says="expected the same assets in every place",
    ),
    Planted(
        "a child with a cluster",
        META_RUN,
        weight(META_OPTIMISED, 0, to("Cluster_ID", 3)),
        META_OPTIMISED,
        "meta_weights",
        says="and no cluster",
    ),
    Planted(
        "a meta's status that nobody knows",
        META_RUN,
        lambda b: b.ledger("cell", to("status", "fine")),
        LEDGER,
        "meta_weights",
        says="expected one of native, fallback, held",
    ),
    Planted(
        "findings of a stranger",
        META_RUN,
        lambda b: b.edit(SIGN_TEST, false_finding("X", f"{LONG}-20220219")),
        SIGN_TEST,
        "sign_test",
        says="expected findings of the sleeves below",
    ),
    Planted(
        "a symbol missing from the book",
        META_RUN,
        lambda b: b.profile(FLATTENED, "hrp", lambda a: a.pop(2)),
        FLATTENED,
        "flattening",
        says="expected the symbols of the tree",
    ),
    Planted(
        "a direction in the book",
        META_RUN,
        weight(FLATTENED, -1, to("Direction", "SHORT")),
        FLATTENED,
        "flattening",
        says="found SHORT",
    ),
    Planted(
        "a physical weight that is not its net",
        SLEEVE,
        weight(PHYSICAL, 0, by("Weight", 1e-3)),
        PHYSICAL,
        "flattening",
        says="with Weight = |Net_Weight|",
    ),
    Planted(
        "another cluster of a symbol",
        SLEEVE,
        weight(PHYSICAL, 3, by("Cluster_ID", 1)),
        PHYSICAL,
        "flattening",
        says="Cluster_ID: expected",
    ),
    Planted(
        "assets of a cell in cash",
        IN_CASH,
        lambda b: b.ledger("cell", to("assets", 1)),
        LEDGER,
        "weight_sanity",
        says="assets: expected none of a cell that is rejected",
    ),
    Planted(
        "weights of a cell that was rejected",
        SLEEVE,
        lambda b: b.ledger("cell", lambda r: r.update(status="rejected", reason="planted", assets=0, cap=None)),
        OPTIMISED,
        "weight_sanity",
        says="expected no assets of a cell that is rejected",
    ),
)
