"""Defects planted in bundles, each with the file and the guarantee by which `verify` has to name it.

A defect that is `sealed` was planted by somebody who then wrote every hash anew: files and chain say nothing, and the
guarantee that recomputes what was changed has to.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from tests.bundles import (
    MANIFEST,
    META_OPTIMISED,
    OPTIMISED,
    PHYSICAL,
    RAW,
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
