"""The JSON documents of a bundle (docs/audit.md), and how they are written."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any

import polars as pl

from sleevegraph.atoms import Atom
from sleevegraph.audit.facts import Book
from sleevegraph.findings import Finding
from sleevegraph.manifest import RISK_PROFILES, Manifest
from sleevegraph.track_record import CASH

Document = dict[str, Any]

_PLACE = "\x01"
"""Marks where a list of rows goes; in no name, and JSON has it nowhere unescaped."""
_PLACED = re.compile(r'^( *)(.*)"\\u0001(\d+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rows:
    """Objects of a list, as text: polars writes them five times faster than `json`."""

    texts: list[str]

    def __str__(self) -> str:
        return "[\n " + ",\n".join(self.texts).replace("\n", "\n ") + "\n]" if self.texts else "[]"


def as_json(document: Document) -> bytes:
    """JSON with sorted keys and an indent of one, in ASCII, ended by a newline."""
    rows: list[Rows] = []

    def place(value: Rows) -> str:
        rows.append(value)
        return f"{_PLACE}{len(rows) - 1}"

    def put(match: re.Match[str]) -> str:
        indent, key, number = match.groups()
        return indent + key + str(rows[int(number)]).replace("\n", "\n" + indent)

    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False, default=place)
    return (_PLACED.sub(put, text) + "\n").encode("ascii")


def optimised(weights: pl.DataFrame) -> Document:
    """Weights of the engine of record in synthetic space, of `risk_weights` rows."""
    held = _of_record(weights)
    ids = {atom[0]: Atom(*atom).id for atom in set(rows_of(held, "symbol", "logic", "direction"))}
    names = pl.col("symbol").replace_strict(ids, return_dtype=pl.String)
    return _profiles(_assets(held, names, pl.col("weight"), pl.lit("LONG"), pl.col("cluster")))


def physical(weights: pl.DataFrame) -> Document:
    """The same as signed weights by physical symbol."""
    return _profiles(
        _assets(_of_record(weights), pl.col("symbol"), pl.col("net"), pl.col("direction"), pl.col("cluster"))
    )


def meta_optimised(weights: pl.DataFrame) -> Document:
    """Weights of a meta's children, of `WEIGHTS_SCHEMA` rows."""
    return _profiles(_assets(weights, pl.col("child"), pl.col("weight"), pl.lit("LONG"), pl.lit(None)))


def flattened(flat: pl.DataFrame) -> Document:
    """The physical book of a meta with the contribution of every path, of `FLAT_SCHEMA` rows."""
    flat = flat.sort("profile", "symbol")
    parts = flat.select(pl.col("contributions").list.explode().struct.unnest())
    contributions = iter(_written(parts.select(Path="path", Contribution="contribution")))
    assets = _assets(flat, pl.col("symbol"), pl.col("net"), _direction("net"), pl.lit(None)).with_columns(
        flat["gross"].alias("Gross"), flat["dust"].alias("Dust"), pl.lit(None).alias("Contributions")
    )
    nested = [str(Rows(list(islice(contributions, count)))) for count in flat["contributions"].list.len()]
    return _profiles(assets, {"Contributions": nested})


def cluster_tree(
    root: str,
    manifest: Manifest,
    weights: Mapping[str, pl.DataFrame],
    books: Mapping[str, Mapping[str, Book]],
) -> Document:
    """The uncollapsed tree of every risk profile.

    `weights` has the `WEIGHTS_SCHEMA` rows in force by meta, `books` by risk profile and sleeve the signed weights in force.
    """
    shares: dict[str, dict[str, dict[str, float]]] = {
        profile: {meta: {} for meta in weights} for profile in RISK_PROFILES
    }
    for meta, rows in weights.items():
        for profile, child, weight in rows_of(rows, "profile", "child", "weight"):
            shares[profile][meta][child] = weight
    held = _held(books)
    return {"profiles": {p: _node(root, 1.0, manifest, shares[p], held[p]) for p in RISK_PROFILES}}


def empty_tree(root: str) -> Document:
    """The tree where nothing was decided: the meta without children."""
    return {"profiles": {profile: _meta_node(root, 1.0, []) for profile in RISK_PROFILES}}


def sign_test(findings: Mapping[str, Sequence[Finding]]) -> Document:
    """Findings by run id."""
    rows = [
        {"level": found.level, "code": found.code, "run_id": run, "symbol": found.symbol, "message": found.message}
        for run, of_run in findings.items()
        for found in of_run
    ]
    counts = {level: sum(row["level"] == level for row in rows) for level in ("ERROR", "WARN")}
    return {"errors": counts["ERROR"], "warnings": counts["WARN"], "findings": rows}


def weights_digest(pairs: Iterable[tuple[str, float]]) -> str:
    """SHA-256 of the compact JSON list of [symbol, net weight], sorted by symbol."""
    return sha256(json.dumps(sorted(pairs), separators=(",", ":")).encode()).hexdigest()


def rows_of(frame: pl.DataFrame, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Rows of some columns; of a small frame in a tenth of the time that `select` takes."""
    return zip(*(frame[column].to_list() for column in columns), strict=True)


def _of_record(weights: pl.DataFrame) -> pl.DataFrame:
    """Rows of the cells that are traded and hold something."""
    return weights.filter(pl.col("of_record") & pl.col("symbol").is_not_null() & (pl.col("symbol") != CASH))


def _assets(frame: pl.DataFrame, symbol: pl.Expr, net: pl.Expr, direction: pl.Expr, cluster: pl.Expr) -> pl.DataFrame:
    """`profile`, and the five fields of an asset."""
    return frame.select(
        "profile", Symbol=symbol, Weight=net.abs(), Net_Weight=net, Direction=direction, Cluster_ID=cluster
    )


def _direction(net: str) -> pl.Expr:
    return pl.when(pl.col(net) < 0.0).then(pl.lit("SHORT")).otherwise(pl.lit("LONG"))


def _profiles(assets: pl.DataFrame, nested: Mapping[str, Sequence[str]] | None = None) -> Document:
    """Assets by risk profile, sorted by Symbol; with `nested`, they are."""
    assets = assets if nested else assets.sort("profile", "Symbol")
    found: dict[str, list[str]] = {profile: [] for profile in RISK_PROFILES}
    for profile, text in zip(assets["profile"].to_list(), _written(assets.drop("profile"), nested), strict=True):
        found[profile].append(text)
    return {"profiles": {profile: {"assets": Rows(texts)} for profile, texts in found.items()}}


def _held(books: Mapping[str, Mapping[str, Book]]) -> dict[str, dict[str, Rows]]:
    """By risk profile and sleeve what it holds, and last the CASH that is left."""
    rows = []
    for profile, sleeves in books.items():
        for sleeve, book in sleeves.items():
            idle = max(1.0 - sum(abs(net) for net in book.values()), 0.0)
            rows += [(profile, sleeve, symbol, net) for symbol, net in sorted(book.items())]
            rows.append((profile, sleeve, CASH, idle))
    frame = pl.DataFrame(rows, schema=["profile", "sleeve", "symbol", "net"], orient="row")
    assets = _assets(frame, pl.col("symbol"), pl.col("net"), _direction("net"), pl.lit(None))
    found: dict[str, dict[str, Rows]] = {profile: {sleeve: Rows([]) for sleeve in s} for profile, s in books.items()}
    for row, text in zip(rows, _written(assets.drop("profile", "Cluster_ID")), strict=True):
        found[row[0]][row[1]].texts.append(text)
    return found


def _node(
    name: str, weight: float, manifest: Manifest, shares: Mapping[str, Mapping[str, float]], held: Mapping[str, Rows]
) -> Document:
    if name in shares:
        below = [_node(child, share, manifest, shares, held) for child, share in sorted(shares[name].items())]
        return _meta_node(name, weight, below)
    sleeve = next(sleeve for sleeve in manifest.sleeves if sleeve.name == name)
    own = {"Logic": sleeve.logic, "Direction": sleeve.direction, "Assets": held[name]}
    return {"Node": name, "Kind": "sleeve", "Weight": weight, **own}


def _meta_node(name: str, weight: float, children: list[Document]) -> Document:
    return {"Node": name, "Kind": "meta", "Weight": weight, "Children": children}


def _written(frame: pl.DataFrame, nested: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """Every row as an object with sorted keys; `nested` has the text for a null column of every row.

    No string can look like a key: the quotes in it are escaped.
    """
    if frame.is_empty():
        return []
    first, *others = sorted(frame.columns)
    text = frame.select(first, *others).write_json()[2:-2]
    if not text.isascii():
        text = re.sub(r"[^\x00-\x7f]+", lambda found: json.dumps(found[0])[1:-1], text)
    for name in others:
        text = text.replace(f',"{name}":', f',\n "{name}": ')
    rows = text.removeprefix(f'"{first}":').split(f'}},{{"{first}":')
    for name, values in (nested or {}).items():
        key = f'"{name}": '
        rows = [r.replace(key + "null", key + v.replace("\n", "\n "), 1) for r, v in zip(rows, values, strict=True)]
    return [f'{{\n "{first}": {row}\n}}' for row in rows]
