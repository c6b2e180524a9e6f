"""One verdict per partition, also inside single-run ranges, and a receipt that holds in later runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any

import dagster as dg

# Dagster does not export the record that ties a verdict to the materialisation it judged. What is private and used here
# stands in docs/architecture.md, and is why Dagster is pinned.
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)

from assets.building import Places, placed
from assets.partitioned import same_bars
from resources.grid import GRID
from resources.lake import BARS, AssetPath, Status
from resources.lanes import GRID as GRID_LANE
from resources.places import UnreachableLakeError
from resources.receipts import Gate, Receipt
from resources.store import Store
from sleevegraph.errors import GateError, SleevegraphError
from sleevegraph.findings import Finding

MAX_SHOWN = 20
"""Findings shown in metadata; the receipt keeps all."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Findings of one partition and the figures behind them."""

    findings: Sequence[Finding]
    figures: dict[str, Any] = field(default_factory=dict)


Judge = Callable[[str], Judgement]


@dataclass(frozen=True, slots=True)
class PartitionCheck:
    """The check of a gate.

    `prepare` reads what a whole range shares and returns the judge of one partition. `inputs` are what the verdict rests
    on beside the partition itself, and `windows` names other partitions as `asset@partition`: once they change, the
    receipt is stale. A gate that does not block shows every finding as a warning.
    """

    gate: Gate
    prepare: Callable[[Store, list[str]], Judge]
    description: str
    inputs: Sequence[AssetPath] = ()
    windows: Callable[[Store, str], list[str]] | None = None

    def receipts(self, store: Store, keys: list[str]) -> Iterator[Receipt]:
        """Judge partitions one by one, and keep each verdict."""
        judge = self.prepare(store, keys)
        for key in keys:
            self._require_its_bars(store, key)
            others = self.windows(store, key) if self.windows else []
            receipt = _judge(store, self.gate, key, judge, ["/".join(path) for path in self.inputs] + others)
            store.receipts.write(receipt)
            yield receipt

    def _require_its_bars(self, store: Store, key: str) -> None:
        """A verdict on bars and on what was made of them is one of the same bars."""
        if BARS not in self.inputs:
            return
        stored = store.lake.bars_digest(date.fromisoformat(key))
        for path in (self.gate.path, *self.inputs):
            if path != BARS and store.lake.made_of(path, key) not in {"", stored}:
                raise GateError(
                    f"{'/'.join(path)} {key}: expected it made of the bars that are stored, found that some were restated "
                    f"after it; materialise {'/'.join(path)} again, with its checks"
                )


def partition_checks(checks: Sequence[PartitionCheck], places: Places) -> list[dg.AssetChecksDefinition]:
    """One asset check each, and one for all members of a family where those are one asset."""
    groups: dict[tuple[AssetPath, str], list[PartitionCheck]] = {}
    for check in checks:
        groups.setdefault((placed(check.gate.path, places), check.gate.check), []).append(check)
    return [_asset_check(path, members) for (path, _), members in groups.items()]


def _asset_check(path: AssetPath, members: Sequence[PartitionCheck]) -> dg.AssetChecksDefinition:
    """Build an asset check.

    The specification is blocking, so that within a run everything downstream waits for it. The verdicts themselves do
    not stop a run: one bad partition would take a whole range down. Downstream assets read the receipt of their own
    partition instead, and a failed one blocks exactly that partition, in this run and in every later one.
    """
    first, asset = members[0], dg.AssetKey(list(path))
    name, blocking, batch = first.gate.check, first.gate.blocking, path != first.gate.path

    @dg.asset_check(
        asset=asset, name=name, blocking=True, partitions_def=GRID, pool=GRID_LANE, description=first.description
    )
    def check(
        context: dg.AssetCheckExecutionContext, store: Store
    ) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
        keys = sorted(context.partition_keys)
        targets = _targets(context.instance, asset, keys)
        found: dict[str, list[Receipt]] = {key: [] for key in keys}
        try:
            with same_bars(store, keys), store.lake.one_look():
                for member in members:
                    for receipt in member.receipts(store, keys):
                        found[receipt.partition].append(receipt)
        except SleevegraphError as error:
            raise dg.Failure(f"{'/'.join(path)} {name}: {error}", allow_retries=False) from error
        for key, receipts in found.items():
            findings = [text for receipt in receipts for text in receipt.findings]
            yield dg.AssetCheckEvaluation(
                asset_key=asset,
                check_name=name,
                passed=all(receipt.passed for receipt in receipts) and (blocking or not findings),
                metadata=_summary(receipts) if batch else _metadata(receipts[0]),
                description=findings[0] if findings else None,
                severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
                blocking=False,
                partition=key,
                target_materialization_data=targets.get(key),
            )
        yield dg.Output(None)

    return check


def _judge(store: Store, gate: Gate, key: str, judge: Judge, inputs: Sequence[str]) -> Receipt:
    """Judge what is stored; a partition that was not decided is not certified either."""
    digest = store.lake.digest(gate.path, key)
    rests_on = {name: store.receipts.input_digest(name, key) for name in inputs}
    status, reason = store.lake.standing(gate.path, key)
    if status is Status.BLOCKED:
        verdict = Judgement([Finding("ERROR", "BLOCKED", "", reason)])
    else:
        try:
            verdict = judge(key)
        except UnreachableLakeError:
            raise  # it says nothing about what is judged
        except SleevegraphError as error:
            verdict = Judgement([Finding("ERROR", type(error).__name__, "", str(error))])
    return Receipt(
        asset="/".join(gate.path),
        check=gate.check,
        partition=key,
        passed=not any(finding.level == "ERROR" for finding in verdict.findings),
        digest=digest,
        findings=[_text(finding) for finding in verdict.findings],
        figures=verdict.figures,
        inputs=rests_on,
        rules=dict(gate.rules),
    )


def _text(finding: Finding) -> str:
    return f"{finding.level} {finding.code} {finding.symbol}: {finding.message}".replace(" :", ":")


def _metadata(receipt: Receipt) -> dict[str, Any]:
    shown = {"findings": receipt.findings[:MAX_SHOWN]} if receipt.findings else {}
    return {**receipt.figures, **shown, "finding_count": len(receipt.findings), "judged_digest": receipt.digest}


def _summary(receipts: Sequence[Receipt]) -> dict[str, Any]:
    """Of many members: how many passed, and the first finding of the first few that have one."""
    first = {receipt.asset: receipt.findings[0] for receipt in receipts if receipt.findings}
    return {
        "members": len(receipts),
        "passed": sum(receipt.passed for receipt in receipts),
        **({"findings": dict(islice(first.items(), MAX_SHOWN))} if first else {}),
        "finding_count": sum(len(receipt.findings) for receipt in receipts),
    }


def _targets(instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Sequence[str]) -> dict[str, Target]:
    """Newest materialisation of each partition, read in one query and without the metadata."""
    found: dict[str, Target] = {}
    wanted = set(keys)
    for record in instance.get_asset_event_summary_records(dg.DagsterEventType.ASSET_MATERIALIZATION, asset):
        if record.partition in wanted and record.partition not in found and record.run_id is not None:
            found[record.partition] = Target(
                storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
            )
    return found
