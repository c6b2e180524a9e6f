"""Guarantee: a bundle proves what it says, from its own files, and is the one that the lake lists."""

from datetime import date

from assets.bundle_listing import changed_files
from assets.gates import audit_gates
from checks.partitioned import Judge, Judgement, PartitionCheck
from resources.bundle_files import Neighbourhood, read_bundle, run_of
from resources.store import Store
from sleevegraph.audit.verification import verify
from sleevegraph.findings import Finding


def audit_verified_check(portfolio: str) -> PartitionCheck:
    """Verify every bundle of a sleeve or meta as `sleevegraph verify` does."""
    (gate,) = audit_gates(portfolio)

    def prepare(store: Store, keys: list[str]) -> Judge:
        del keys
        beside = Neighbourhood(store.folders.runs)

        def judge(key: str) -> Judgement:
            folder = store.runs.path(portfolio, date.fromisoformat(key))
            found = read_bundle(folder)
            run = run_of(folder)
            judged = verify(found.files, beside.of(run), folder=run, unreadable=found.unreadable)
            findings = [
                Finding("ERROR", one.name.upper(), "", f"{one.file}: {one.text}") for one in judged if not one.ok
            ]
            changed = changed_files(store, gate.path, date.fromisoformat(key))
            findings += [
                Finding("ERROR", "LISTING", "", f"{file}: is not the file that the lake lists") for file in changed
            ]
            return Judgement(findings, {one.name: "ok" if one.ok else "FAIL" for one in judged})

        return judge

    return PartitionCheck(
        gate,
        prepare,
        description="Chain, hashes, sign test, weights, flattening, conservation and certificate, from the bundle alone.",
    )
