"""Guarantee: a bundle proves what it says, from its own files, and is the one that the lake lists."""

from datetime import date
from hashlib import sha256

import dagster as dg

from assets.gates import audit_gates
from checks.partitioned import Judge, Judgement, partition_check
from resources.bundle_files import Neighbourhood, read_bundle
from resources.store import Store
from sleevegraph.audit.layout import LEDGER
from sleevegraph.audit.verification import verify
from sleevegraph.findings import Finding


def audit_verified_check(portfolio: str) -> dg.AssetChecksDefinition:
    """Verify every bundle of a sleeve or meta as `sleevegraph verify` does."""
    (gate,) = audit_gates(portfolio)

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys
        beside = Neighbourhood(store.folders.runs)

        def judge(key: str) -> Judgement:
            folder = store.runs.path(portfolio, date.fromisoformat(key))
            found = read_bundle(folder)
            judged = verify(found.files, beside.of(folder.name), folder=folder.name, unreadable=found.unreadable)
            findings = [
                Finding("ERROR", one.name.upper(), "", f"{one.file}: {one.text}") for one in judged if not one.ok
            ]
            listed = dict(store.lake.read(gate.path, key).select("file", "sha256").iter_rows())
            # The ledger grows when a warning is accepted; that it is still the same one is for chain and anchor to say.
            changed = [f for f, digest in listed.items() if f != LEDGER and _digest(found.files, f) != digest]
            findings += [
                Finding("ERROR", "LISTING", "", f"{file}: is not the file that the lake lists") for file in changed
            ]
            return Judgement(findings, {one.name: "ok" if one.ok else "FAIL" for one in judged})

        return judge

    return partition_check(
        gate,
        prepare,
        description="Chain, hashes, sign test, weights, flattening, conservation and certificate, from the bundle alone.",
    )


def _digest(files: dict[str, bytes], name: str) -> str:
    return sha256(files.get(name, b"")).hexdigest()
