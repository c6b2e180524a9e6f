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


def again_as_second_generation(bundle: Bundle, **end: Any) -> None:
    """Add the newest generation once more, with another end."""
    records = bundle.records
    again = [dict(record) for record in records]
    again[0]["generation"] = 2
    again[-1] |= end
    bundle.write(records + again)


def false_finding(code: str) -> Callable[[Any], None]:
    finding = {"level": "ERROR", "code": code, "run_id": SLEEVE, "symbol": "BINANCE:BTCUSDT", "message": "planted"}
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
        "one file too many", SLEEVE, lambda b: b.files.update({"data/x.csv": b""}), "data/x.csv", "schema", sealed=False
    ),
    Planted("a ledger line dropped", SLEEVE, lambda b: b.lines(lambda ls: ls.pop(12)), LEDGER, "chain", sealed=False),
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
    Planted("a standing rewritten", FALLEN, certified, LEDGER, "chain", sealed=False),
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
    Planted("a report taken out with its record", SLEEVE, lambda b: without_document_of(b, REPORT), REPORT, "schema"),
    Planted("an output of no file", SLEEVE, lambda b: b.ledger("output", to("file", "data/y")), LEDGER, "hashes"),
    Planted("a key that stands twice", SLEEVE, doubled_key, OPTIMISED, "schema"),
    Planted(
        "a weight that is no number", SLEEVE, weight(OPTIMISED, 0, to("Weight", float("nan"))), OPTIMISED, "schema"
    ),
    Planted("a weight as text", SLEEVE, weight(OPTIMISED, 0, to("Weight", "0.25")), OPTIMISED, "schema"),
    Planted(
        "assets out of order", SLEEVE, lambda b: b.profile(PHYSICAL, "hrp", lambda a: a.reverse()), PHYSICAL, "schema"
    ),
    Planted("vetoes taken out", SLEEVE, lambda b: b.drop("vetoes"), LEDGER, "chain"),
    Planted("two events exchanged", SLEEVE, lambda b: b.write(in_order(b.records, "vetoes", "atoms")), LEDGER, "chain"),
    Planted(
        "a generation that is not counted", SLEEVE, lambda b: b.ledger("begin", to("generation", 2)), LEDGER, "chain"
    ),
    Planted("a rule added to the manifest", SLEEVE, rule("risk.lenient", value=True), MANIFEST, "manifest"),
    Planted(
        "a rule left to its default",
        SLEEVE,
        lambda b: b.edit(MANIFEST, lambda d: d["manifest"]["sleeves"][0].pop("owner")),
        MANIFEST,
        "manifest",
    ),
    Planted(
        "another portfolio's manifest", SLEEVE, lambda b: b.edit(MANIFEST, to("portfolio", LONG)), MANIFEST, "manifest"
    ),
    Planted(
        "a date off the grid", SLEEVE, lambda b: b.edit(MANIFEST, to("partition", "2022-03-02")), MANIFEST, "manifest"
    ),
    Planted("bounds that cannot be met", META_RUN, rule("weight_min", 0.9, kind="metas"), MANIFEST, "manifest"),
    # anchors: what a ledger alone cannot show
    Planted(
        "a drop's value, which only anchors hold",
        SLEEVE,
        lambda b: b.ledger("universe_drops", lambda r: r["drops"][0].update(value=1.0)),
        LEDGER,
        "anchor",
    ),
    Planted(
        "the revision of the program",
        META_RUN,
        lambda b: b.ledger("environment", to("revision", "0" * 40)),
        LEDGER,
        "anchor",
    ),
    Planted(
        "an anchor to another ledger",
        SLEEVE,
        lambda b: b.ledger("begin", lambda r: r["previous"].update(hash="0" * 64)),
        LEDGER,
        "anchor",
    ),
    Planted("an anchor taken out", SLEEVE, lambda b: b.ledger("begin", to("previous", None)), LEDGER, "anchor"),
    Planted(
        "a child's anchor taken out",
        META_RUN,
        lambda b: b.ledger("begin", lambda r: r["children"].popitem()),
        LEDGER,
        "anchor",
    ),
    Planted(
        "a child's standing, everywhere here",
        NESTED_RUN,
        lambda b: b.ledger("child", to("standing", "BLOCKED")),
        LEDGER,
        "anchor",
    ),
    # the sleeve
    Planted(
        "a column dropped from both matrices", SLEEVE, both_matrices(lambda f: f.drop(f.columns[3])), RAW, "matrices"
    ),
    Planted(
        "two columns exchanged",
        SLEEVE,
        lambda b: b.frame(RAW, lambda f: f.select("date", *reversed(f.columns[1:]))),
        RAW,
        "matrices",
    ),
    Planted("a day dropped from both matrices", SLEEVE, both_matrices(lambda f: f.slice(1)), RAW, "matrices"),
    Planted("a day twice", SLEEVE, both_matrices(lambda f: pl.concat([f.head(1), f.head(251)])), RAW, "matrices"),
    Planted(
        "a look ahead by one day",
        SLEEVE,
        both_matrices(lambda f: f.with_columns(pl.col("date") + timedelta(days=1))),
        RAW,
        "matrices",
    ),
    Planted(
        "a return that is infinite", SLEEVE, lambda b: b.frame(RAW, column(1, one_value(float("inf")))), RAW, "matrices"
    ),
    Planted(
        "an atom the ledger does not have",
        SLEEVE,
        lambda b: b.ledger("atoms", lambda r: r["atoms"].pop()),
        LEDGER,
        "matrices",
    ),
    Planted(
        "an atom in the other direction",
        SLEEVE,
        lambda b: b.ledger("atoms", lambda r: r["atoms"][0].update(direction="LONG")),
        LEDGER,
        "matrices",
    ),
    Planted(
        "a winner nobody may hold",
        SLEEVE,
        lambda b: b.ledger("atoms", lambda r: r["eligible"].pop(2)),
        LEDGER,
        "matrices",
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
        "errors that are not counted", SLEEVE, lambda b: b.edit(SIGN_TEST, to("errors", 2)), SIGN_TEST, "sign_test"
    ),
    Planted("a short made a long, sealed", SLEEVE, weight(PHYSICAL, 0, long_instead_of_short), PHYSICAL, "sign_test"),
    Planted(
        "a short's sign alone",
        SLEEVE,
        weight(PHYSICAL, 0, lambda a: a.update(Net_Weight=-a["Net_Weight"])),
        PHYSICAL,
        "sign_test",
    ),
    Planted(
        "a direction in synthetic space", SLEEVE, weight(OPTIMISED, 0, to("Direction", "SHORT")), OPTIMISED, "sign_test"
    ),
    Planted(
        "a weight of an untested atom",
        SLEEVE,
        weight(OPTIMISED, -1, to("Symbol", "BINANCE:XUSDT_rating_all_SHORT")),
        OPTIMISED,
        "sign_test",
    ),
    Planted(
        "a weight by 1e-6, sealed", SLEEVE, weight(OPTIMISED, 0, lambda a: heavier(a, 1e-6)), OPTIMISED, "weight_sanity"
    ),
    Planted("a negative weight", SLEEVE, weight(OPTIMISED, 0, lambda a: heavier(a, -1.0)), OPTIMISED, "weight_sanity"),
    Planted(
        "a weight above the cap", SLEEVE, weight(OPTIMISED, 0, lambda a: heavier(a, 0.3)), OPTIMISED, "weight_sanity"
    ),
    Planted(
        "an atom twice",
        SLEEVE,
        lambda b: b.profile(OPTIMISED, "hrp", lambda a: a.insert(1, dict(a[0]))),
        OPTIMISED,
        "weight_sanity",
    ),
    Planted(
        "an atom dropped",
        SLEEVE,
        lambda b: b.profile(OPTIMISED, "equal_weight", lambda a: a.pop()),
        OPTIMISED,
        "weight_sanity",
    ),
    Planted("another cluster", SLEEVE, weight(OPTIMISED, 3, by("Cluster_ID", 1)), OPTIMISED, "weight_sanity"),
    Planted("a cell taken out", SLEEVE, lambda b: b.drop("cell"), LEDGER, "weight_sanity"),
    Planted(
        "a cell twice",
        SLEEVE,
        lambda b: b.write(sorted([*b.records, b.records[17]], key=lambda r: r["seq"])),
        LEDGER,
        "weight_sanity",
    ),
    Planted(
        "a status that nobody knows", SLEEVE, lambda b: b.ledger("cell", to("status", "fine")), LEDGER, "weight_sanity"
    ),
    Planted("a wider cap in a cell", SLEEVE, lambda b: b.ledger("cell", to("cap", 0.5)), LEDGER, "weight_sanity"),
    Planted("a wider cap in the manifest", SLEEVE, rule("risk.cluster_cap", 0.5), LEDGER, "weight_sanity"),
    Planted(
        "a profile emptied as if rejected",
        SLEEVE,
        lambda b: b.ledger("cell", lambda r: r.update(status="rejected", reason="")),
        LEDGER,
        "weight_sanity",
    ),
    Planted("a millionth moved in every document", SLEEVE, moved_consistently, OPTIMISED, "solves"),
    Planted("another history, signs and all", SLEEVE, other_returns, OPTIMISED, "solves"),
    Planted("a covariance that was not used", SLEEVE, rule("risk.covariance", "sample"), OPTIMISED, "solves"),
    Planted("a fallback said to be native", FALLEN, native_throughout, LEDGER, "solves"),
    Planted(
        "weights of a sleeve in cash", IN_CASH, lambda b: b.ledger("cell", to("status", "native")), LEDGER, "solves"
    ),
    Planted(
        "a physical weight by 1e-6", SLEEVE, weight(PHYSICAL, 1, lambda a: heavier(a, 1e-6)), PHYSICAL, "flattening"
    ),
    Planted(
        "a physical weight dropped",
        SLEEVE,
        lambda b: b.profile(PHYSICAL, "hrp", lambda a: a.pop()),
        PHYSICAL,
        "flattening",
    ),
    Planted(
        "another digest of a cell",
        SLEEVE,
        lambda b: b.ledger("cell", to("weights_digest", "0" * 64)),
        PHYSICAL,
        "flattening",
    ),
    Planted("DEGRADED said to be CERTIFIED", FALLEN, certified, LEDGER, "certificate"),
    Planted(
        "reasons left out", IN_CASH, lambda b: b.ledger("end", lambda r: r["reasons"].pop()), LEDGER, "certificate"
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
    ),
    Planted(
        "an error in a check that passed",
        SLEEVE,
        lambda b: b.ledger("check", to("findings", ["ERROR X: planted"])),
        LEDGER,
        "gates",
    ),
    Planted("a verdict on another file", SLEEVE, lambda b: b.ledger("check", to("digest", "0" * 64)), LEDGER, "gates"),
    Planted(
        "a gate that only warns", SLEEVE, lambda b: b.ledger("check", to("blocking", value=False)), LEDGER, "gates"
    ),
    Planted(
        "a partition that was used, taken out",
        SLEEVE,
        lambda b: b.drop("stage", lambda r: "winners" in r["asset"]),
        LEDGER,
        "gates",
    ),
    # the meta
    Planted("a sleeve taken out of the tree", META_RUN, tree(lambda root: root["Children"].pop()), TREE, "children"),
    Planted(
        "a sleeve taken out below", NESTED_RUN, tree(lambda root: leaf(root, META)["Children"].pop(0)), TREE, "children"
    ),
    Planted(
        "a sleeve's direction",
        META_RUN,
        tree(lambda root: leaf(root, SHORT).update(Direction="LONG")),
        TREE,
        "children",
    ),
    Planted(
        "cash taken out of a sleeve", META_RUN, tree(lambda root: leaf(root, SHORT)["Assets"].pop()), TREE, "children"
    ),
    Planted(
        "a child out of bounds",
        META_RUN,
        tree(lambda root: [c.update(Weight=w) for c, w in zip(root["Children"], (0.99, 0.01), strict=True)]),
        TREE,
        "children",
    ),
    Planted(
        "weights below that sum to more",
        NESTED_RUN,
        tree(lambda root: leaf(root, META)["Children"][0].update(Weight=0.9)),
        TREE,
        "children",
    ),
    Planted("a child's record taken out", META_RUN, lambda b: b.drop("child"), LEDGER, "children"),
    Planted(
        "a child's weight by 1e-6",
        META_RUN,
        weight(META_OPTIMISED, 0, lambda a: heavier(a, 1e-6)),
        META_OPTIMISED,
        "meta_weights",
    ),
    Planted("a cell of a meta taken out", META_RUN, lambda b: b.drop("cell"), LEDGER, "meta_weights"),
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
    Planted("a net weight by 1e-9", META_RUN, weight(FLATTENED, 2, by("Net_Weight", 1e-9)), FLATTENED, "flattening"),
    Planted(
        "a contribution by 1e-6",
        META_RUN,
        weight(FLATTENED, 2, lambda a: by("Contribution", 1e-6)(a["Contributions"][0])),
        FLATTENED,
        "flattening",
    ),
    Planted(
        "a path renamed",
        NESTED_RUN,
        weight(FLATTENED, 2, lambda a: a["Contributions"][0].update(Path=NESTED)),
        FLATTENED,
        "flattening",
    ),
    Planted("a weight hidden as dust", META_RUN, weight(FLATTENED, 2, to("Dust", value=True)), FLATTENED, "flattening"),
    Planted(
        "a symbol dropped from the book",
        META_RUN,
        lambda b: b.profile(FLATTENED, "hrp", lambda a: a.pop(2)),
        FLATTENED,
        "conservation",
    ),
    Planted(
        "a symbol nobody holds",
        META_RUN,
        weight(FLATTENED, -1, to("Symbol", "BINANCE:ZUSDT")),
        FLATTENED,
        "conservation",
    ),
    Planted("gross before netting", META_RUN, weight(FLATTENED, 2, by("Gross", 1e-6)), FLATTENED, "conservation"),
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
)
