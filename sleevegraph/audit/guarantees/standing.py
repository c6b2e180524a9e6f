"""Guarantees of the certificate: it follows from the verdicts and cells of the ledger, and no verdict is missing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from sleevegraph.audit.contract import Bars, Cell, Check, Child, End, Stage
from sleevegraph.audit.evidence import Evidence
from sleevegraph.audit.facts import CheckRecord
from sleevegraph.audit.guarantees.acceptances import misaccepted
from sleevegraph.audit.guarantees.streams import sleeve_of
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, verdict
from sleevegraph.audit.guarantees.verdict_contents import LOOK_AHEAD, incomplete, scored_by
from sleevegraph.audit.layout import LEDGER
from sleevegraph.certification import Standing, meta_standing, sleeve_standing
from sleevegraph.parity import parameters
from sleevegraph.weight_sanity import certification

STATES = ("PASSED", "FAILED", "ABSENT", "STALE")
MARKET_CHECKS: Mapping[str, tuple[str, ...]] = {"universe": ("bars_complete",)}
SLEEVE_CHECKS: Mapping[str, tuple[str, ...]] = {
    "synthetic_returns": ("directional_sign_test",),
    "solver_cells": ("solver_failure_rate", "engine_agreement", "profile_convergence"),
    "risk_weights": ("directional_sign_test", "weight_sanity"),
    "track_record": ("ledger_identities",),
    "sleeve_metrics": ("extreme_metrics", "benchmark_beta"),
}
META_CHECKS: Mapping[str, tuple[str, ...]] = {
    "meta_weights": ("child_weights", "parameter_parity"),
    "meta_track_record": ("ledger_identities",),
    "flattened_weights": ("conservation", "concentration"),
    "meta_metrics": ("extreme_metrics",),
}
"""By asset the checks that a portfolio must have been asked."""
MARKET_STAGES = ("universe",)
SLEEVE_STAGES = ("candidates", "winners", "synthetic_returns", "solver_cells", "risk_weights", "track_record")
META_STAGES = ("meta_weights", "meta_track_record")
"""Partitions on which the bundle of a sleeve, and of a meta for every meta in its tree, rests."""
WARNING_CHECKS = ("engine_agreement", "profile_convergence", "extreme_metrics", "benchmark_beta")
"""Those that do not block."""


def certificate(evidence: Evidence) -> Verdict:
    """Standing and reasons follow from the verdicts, and from the cells of a sleeve or the children of a meta."""
    end, checks = evidence.only(End), [_record(check) for check in evidence.of(Check)]
    if evidence.kind == "sleeve":
        standing, reasons = sleeve_standing(checks, _certified(evidence))
    else:
        standing, reasons = meta_standing(
            checks, {child.name: (child.standing, child.reasons) for child in evidence.of(Child)}
        )
    failures = [Failure(LEDGER, text) for text in _uncertified(evidence)] if evidence.kind == "sleeve" else []
    if end.standing != standing:
        failures.append(Failure(LEDGER, f"end: standing: expected {standing}, found {end.standing}"))
    if end.reasons != reasons:
        first = next((text for text in reasons if text not in end.reasons), "no other reason")
        failures.append(
            Failure(LEDGER, f"end: reasons: expected {len(reasons)}, found {len(end.reasons)}; missing: {first}")
        )
    return verdict(f"{standing}, reasons: {len(reasons)}", failures)


def _certified(evidence: Evidence) -> Standing:
    """What `weight_sanity` must certify by the ledger's cells."""
    rows = [(cell.engine, cell.profile, cell.status, cell.reason) for cell in evidence.of(Cell)]
    columns = dict.fromkeys(("engine", "profile", "status", "reason"), pl.String)
    cells = pl.DataFrame(rows, schema=columns, orient="row")
    return certification(cells, [], sleeve_of(evidence).risk.engine_of_record)


def _uncertified(evidence: Evidence) -> Iterator[str]:
    """Whether the check that certifies says what the ledger's cells do; it says nothing of what it did not judge."""
    certified, reasons = _certified(evidence)
    for check in evidence.of(Check):
        found = check.figures.get("certification"), check.figures.get("reasons")
        if check.check == "weight_sanity" and check.state == "PASSED" and found != (certified, reasons):
            yield f"check weight_sanity: figures: expected {certified} with {len(reasons)} reasons, found {found[0]!r}"


def _record(check: Check) -> CheckRecord:
    return CheckRecord(**{name: getattr(check, name) for name in CheckRecord.__slots__})


def gates(evidence: Evidence) -> Verdict:
    """Every check that the manifest asks for left a verdict, on what was used, that its findings bear out."""
    found: dict[tuple[str, str], list[Check]] = {}
    for check in evidence.of(Check):
        found.setdefault((check.asset, check.check), []).append(check)
    expected = set(_expected(evidence))
    failures = []
    for asset, name in sorted(expected | found.keys()):
        times = len(found.get((asset, name), []))
        if (asset, name) not in expected or times != 1:
            wanted = "one verdict" if (asset, name) in expected else "no such check"
            failures.append(Failure(LEDGER, f"check {name} of {asset}: expected {wanted}, found {times or 'none'}"))
    partition, rules = evidence.resolved.partition, _rules(evidence)
    used = {(stage.asset, stage.partition): stage.digest for stage in evidence.of(Stage)}
    lost = sorted(set(_used(evidence)) - {asset for asset, at in used if at == partition})
    failures += [Failure(LEDGER, f"stage {asset}: expected the partition that was used, found none") for asset in lost]
    used["daily_bars", partition] = evidence.only(Bars).digest
    for check in evidence.of(Check):
        where = f"check {check.check} of {check.asset}"
        texts = (
            *_unborne(check),
            *_unused(check, used, partition),
            *_unruled(check, rules),
            *incomplete(evidence, check),
        )
        failures += [Failure(LEDGER, f"{where}: {text}") for text in texts]
    failures += [Failure(LEDGER, text) for text in misaccepted(evidence)]
    return verdict(f"{len(evidence.of(Check))} verdicts", failures)


def _expected(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """(asset, check) of everything that a certificate rests on; what is below a meta has ledgers of its own."""
    own = SLEEVE_CHECKS if evidence.kind == "sleeve" else META_CHECKS
    if evidence.kind == "sleeve" and sleeve_of(evidence).signal is not None:
        yield scored_by(sleeve_of(evidence)), LOOK_AHEAD
    for owner, checks in (("", MARKET_CHECKS), (f"{evidence.resolved.portfolio}/", own)):
        for asset, names in checks.items():
            yield from ((f"{owner}{asset}", name) for name in names)


def _used(evidence: Evidence) -> Iterator[str]:
    """Assets of which a partition was used."""
    name, rules = evidence.resolved.portfolio, evidence.manifest
    yield from MARKET_STAGES
    if evidence.kind == "sleeve":
        yield scored_by(sleeve_of(evidence))
        yield from (f"{name}/{asset}" for asset in (*SLEEVE_STAGES, "sleeve_metrics"))
        return
    yield from (f"{sleeve.name}/{asset}" for sleeve in rules.sleeves for asset in ("risk_weights", "track_record"))
    yield from (f"{meta.name}/{asset}" for meta in rules.metas for asset in META_STAGES)
    yield from (f"{name}/{asset}" for asset in ("flattened_weights", "meta_metrics"))


def _unborne(check: Check) -> Iterator[str]:
    """What a verdict says against itself."""
    errors = [finding for finding in check.findings if finding.startswith("ERROR")]
    if check.state not in STATES:
        yield f"state: expected one of {', '.join(STATES)}, found {check.state!r}"
    if check.blocking == (check.check in WARNING_CHECKS):
        yield f"blocking: expected {not check.blocking}, found {check.blocking}"
    if check.state == "PASSED" and errors:
        yield f"expected no error in a verdict that PASSED, found {errors[0]}"
    if check.state == "FAILED" and not errors:
        yield "expected an error in a verdict that FAILED, found none"


def _unused(check: Check, used: Mapping[tuple[str, str], str], partition: str) -> Iterator[str]:
    """Where a verdict is on something else than what was used."""
    if check.partition != partition:
        yield f"partition: expected {partition}, found {check.partition}"
    judged = {"digest": ((check.asset, check.partition), check.digest)}
    for name, digest in check.inputs.items():
        asset, _, other = name.partition("@")
        judged[f"inputs: {name}"] = ((asset, other or check.partition), digest)
    for what, (path, digest) in judged.items():
        if path in used and digest != used[path]:
            yield f"{what}: expected {used[path][:12]}… of the partition that was used, found {digest[:12]}…"


def _rules(evidence: Evidence) -> list[dict[str, Any]]:
    """The parts of the manifest whose keys a check's rules may be."""
    manifest, name = evidence.manifest.model_dump(mode="json"), evidence.resolved.portfolio
    own = [profile for kind in ("sleeves", "metas") for profile in manifest[kind] if profile["name"] == name]
    compared = [{"parameters": parameters(m, evidence.manifest)} for m in evidence.manifest.metas if m.name == name]
    return [manifest["market"], *own, *(profile["risk"] for profile in own if "risk" in profile), *compared]


def _unruled(check: Check, rules: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Rules by which a verdict was found and that are not the manifest's."""
    for key, value in check.rules.items():
        if not any(part.get(key) == value and key in part for part in rules):
            yield f"rules: {key}: expected the manifest's value, found another"
