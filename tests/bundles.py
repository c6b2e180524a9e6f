"""A bundle in memory that a test may damage, and then seal again as somebody would who knows the format."""

import json
from collections.abc import Callable
from copy import copy
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from resources.bundle_files import Neighbourhood, read_bundle
from sleevegraph.audit.verification import Guarantee, verify

LEDGER, MANIFEST, REPORT = "audit.jsonl", "config/resolved_manifest.json", "reports/forensic_report.html"
RAW, SYNTHETIC = "data/returns_matrix.parquet", "data/synthetic_returns.parquet"
OPTIMISED, PHYSICAL = "data/portfolio_optimized_v2.json", "data/portfolio_flattened.json"
STREAMS_SIGN_TEST, SIGN_TEST = "data/directional_sign_test_pre_opt.json", "data/directional_sign_test.json"
META_RETURNS, META_OPTIMISED = "data/meta_returns.parquet", "data/meta_optimized.json"
TREE, FLATTENED = "data/cluster_tree.json", "data/flattened.json"

Record = dict[str, Any]


class Bundle:
    """Files of one bundle, and the ledgers beside it."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.files = read_bundle(folder).files
        self.untouched = dict(self.files)
        self.neighbours = Neighbourhood(folder.parent).of(folder.name)

    def copy(self) -> "Bundle":
        """Another one like it."""
        other = copy(self)
        other.files = dict(self.files)
        return other

    def verify(self) -> list[Guarantee]:
        return verify(self.files, self.neighbours, folder=self.name)

    def failed(self) -> list[tuple[str, str]]:
        return [(guarantee.file, guarantee.name) for guarantee in self.verify() if not guarantee.ok]

    def changed(self) -> list[str]:
        names = {*self.files, *self.untouched}
        return sorted(name for name in names if self.files.get(name) != self.untouched.get(name))

    def edit(self, file: str, change: Callable[[Any], object]) -> None:
        """Change a JSON document in place."""
        document = json.loads(self.files[file])
        change(document)
        self.files[file] = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()

    def profile(self, file: str, profile: str, change: Callable[[list[Any]], object]) -> None:
        """Change the assets of one risk profile in place."""
        self.edit(file, lambda document: change(document["profiles"][profile]["assets"]))

    def frame(self, file: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        """Replace a matrix."""
        buffer = BytesIO()
        change(pl.read_parquet(BytesIO(self.files[file]))).write_parquet(buffer)
        self.files[file] = buffer.getvalue()

    @property
    def records(self) -> list[Record]:
        return [json.loads(line) for line in self.files[LEDGER].splitlines()]

    def write(self, records: list[Record]) -> None:
        """Write the ledger as it is, broken or not."""
        self.files[LEDGER] = b"".join(compact(record) + b"\n" for record in records)

    def lines(self, change: Callable[[list[bytes]], object]) -> None:
        """Change the ledger's lines in place."""
        lines = self.files[LEDGER].splitlines(keepends=True)
        change(lines)
        self.files[LEDGER] = b"".join(lines)

    def ledger(self, event: str, change: Callable[[Record], object], where: Callable[[Record], bool] = bool) -> None:
        """Change the first record of an event that `where` selects, in place."""
        records = self.records
        change(next(record for record in records if record["event"] == event and where(record)))
        self.write(records)

    def drop(self, event: str, where: Callable[[Record], bool] = bool) -> None:
        """Take the first record of an event that `where` selects out of the ledger."""
        records = self.records
        records.remove(next(record for record in records if record["event"] == event and where(record)))
        self.write(records)

    def again(self, event: str) -> None:
        """Write the first record of an event twice."""
        records = self.records
        place = next(place for place, record in enumerate(records) if record["event"] == event)
        self.write([*records[: place + 1], *records[place:]])

    def seal(self) -> None:
        """Write every hash of files and of the chain anew, and the count of records."""
        records, begin = self.records, 0
        for seq, record in enumerate(records):
            if record["event"] == "begin":
                begin = seq
            if record["event"] == "output" and record["file"] in self.files:
                content = self.files[record["file"]]
                record |= {"bytes": len(content), "sha256": sha256(content).hexdigest()}
            if record["event"] == "end":
                record["records"] = seq - begin + 1
        self.chain(records)

    def chain(self, records: list[Record]) -> None:
        """Write a ledger of these records with a sound chain."""
        newest = "0" * 64
        for seq, record in enumerate(records):
            record |= {"seq": seq, "prev_hash": newest}
            record.pop("hash", None)
            newest = sha256(compact(record)).hexdigest()
            record["hash"] = newest
        self.write(records)


def compact(record: Record) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


def digest_of(assets: list[Any]) -> str:
    """What a cell's `weights_digest` has to be."""
    pairs = sorted([asset["Symbol"], asset["Net_Weight"]] for asset in assets)
    return sha256(json.dumps(pairs, separators=(",", ":")).encode()).hexdigest()
