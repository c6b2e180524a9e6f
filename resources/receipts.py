"""Receipts: what a check said of a partition, kept so that it holds in every later run.

A blocking check gates only its own run. Whoever uses a partition asks here, and an absent or stale
receipt is as bad as a failed one.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from resources import places
from resources.lake import BARS, AbsentError, AssetPath, Lake
from resources.places import Place
from sleevegraph.errors import GateError

SUFFIX = ".json"
_ABSENT = "absent"
"""In place of the digest of what is not stored."""


class State(StrEnum):
    """What a gate says."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    ABSENT = "ABSENT"
    STALE = "STALE"
    PRUNED = "PRUNED"
    """It passed, and what was judged was pruned since: it stays certified, and nobody can build on it."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A check of an asset, whose verdict is asked for by whoever builds on the asset."""

    path: AssetPath
    check: str
    rules: Mapping[str, Any] = field(default_factory=dict)
    """Values of the manifest by which it judges."""
    blocking: bool = True
    """Whether a failed verdict stops anybody; the others warn."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One verdict, the rules by which it was found, and the digest of exactly what was judged."""

    asset: str
    check: str
    partition: str
    passed: bool
    digest: str
    findings: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    """Digests of what else the verdict rests on: by asset of the same partition, by asset@partition of another one,
    or the bars before it."""
    rules: dict[str, Any] = field(default_factory=dict)

    def holds_rules(self, rules: Mapping[str, Any]) -> bool:
        """Whether the verdict was found by these rules."""
        return self.rules == _plain(rules)


class Receipts:
    """Receipts under `root`, judged against the partitions of `lake`."""

    def __init__(self, root: Place, lake: Lake) -> None:
        """Use the folder `root`, on a disk or in object storage, which need not exist yet."""
        self.root = root
        self.lake = lake

    def path(self, asset: AssetPath, check: str, partition: str) -> Place:
        """Where a receipt is or would be."""
        return self.root.joinpath(*asset, check, f"{partition}{SUFFIX}")

    def stored(self) -> list[tuple[AssetPath, str, str]]:
        """Asset, check and partition of every receipt, ascending."""
        files = (parts for parts in places.below(self.root) if parts[-1].endswith(SUFFIX))
        return [(tuple(asset), check, name.removesuffix(SUFFIX)) for *asset, check, name in files]

    def write(self, receipt: Receipt) -> None:
        """Store a receipt, replacing an older one."""
        path = self.path(tuple(receipt.asset.split("/")), receipt.check, receipt.partition)
        text = json.dumps(asdict(receipt), sort_keys=True, indent=1, default=str)
        places.put(path, f"{text}\n".encode())

    def read(self, asset: AssetPath, check: str, partition: str) -> Receipt | None:
        """Return a stored receipt, or None; one that cannot be read, or is of something else, counts as none."""
        path = self.path(asset, check, partition)
        try:
            receipt = Receipt(**json.loads(places.content(path)[1].decode()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        named = (receipt.asset, receipt.check, receipt.partition) == ("/".join(asset), check, partition)
        typed = (
            isinstance(receipt.findings, list)
            and all(isinstance(finding, str) for finding in receipt.findings)
            and all(isinstance(part, dict) for part in (receipt.inputs, receipt.rules, receipt.figures))
        )
        return receipt if named and typed else None

    def fingerprint(self, asset: AssetPath, check: str, partition: str) -> str:
        """SHA-256 of a stored receipt."""
        return hashlib.sha256(places.content(self.path(asset, check, partition))[1]).hexdigest()

    def state(
        self,
        asset: AssetPath,
        check: str,
        partition: str,
        rules: Mapping[str, Any] | None = None,
        *,
        decided_before: bool = False,
    ) -> tuple[State, str]:
        """Return the gate's state for the partition as it is stored now, with the reason unless it passed.

        A verdict holds beside inputs that were pruned since. With `rules`, a verdict that was found by others is stale.
        What was `decided_before` was decided on the bars of its day: bars that are revised afterwards do not take it back.
        """
        receipt = self.read(asset, check, partition)
        where = f"{check} of {'/'.join(asset)} at {partition}"
        if receipt is None:
            return State.ABSENT, f"{where}: no receipt"
        stored = self.input_digest("/".join(asset), partition)
        pruned = stored == _ABSENT and self._is_pruned(asset, partition)
        if receipt.digest != stored and not pruned:
            gone = stored == _ABSENT
            found = "is not stored any more" if gone else "changed after it was judged"
            return (State.ABSENT if gone else State.STALE), f"{where}: the partition {found}"
        if rules is not None and not receipt.holds_rules(rules):
            other = [
                key for key in sorted({*receipt.rules, *rules}) if receipt.rules.get(key) != _plain(rules).get(key)
            ]
            return State.STALE, f"{where}: it was judged by other rules ({', '.join(other)} changed since)"
        asked = (name for name in receipt.inputs if not (decided_before and name == BARS[0]))
        changed = next((name for name in asked if self._changed(receipt, name)), "")
        if changed:
            return State.STALE, f"{where}: {changed} changed after it was judged"
        if not receipt.passed:
            errors = [finding for finding in receipt.findings if finding.startswith("ERROR")]
            return State.FAILED, f"{where} failed: {'; '.join(errors[:3]) or 'no finding recorded'}"
        return (State.PRUNED, f"{where}: passed; the partition was pruned since") if pruned else (State.PASSED, "")

    def _changed(self, receipt: Receipt, name: str) -> bool:
        """Whether an input is another one than it was; what was pruned since is not."""
        found = self.input_digest(name, receipt.partition)
        pruned = found == _ABSENT and self._is_pruned(*_input(name, receipt.partition))
        return found != receipt.inputs[name] and not pruned

    def input_digest(self, name: str, partition: str) -> str:
        """Digest of an input as it is stored now: `daily_bars` before the partition, or an asset's partition."""
        if name == BARS[0]:
            return self.lake.bars_digest(date.fromisoformat(partition))
        with suppress(AbsentError):
            return self.lake.digest(*_input(name, partition))
        return _ABSENT

    def _is_pruned(self, asset: AssetPath, partition: str) -> bool:
        """Whether a partition that is not stored is older than all that are: the oldest are pruned first."""
        return any(partition < first for first in self.lake.partitions(asset)[:1])

    def refusal(
        self, gates: Sequence[Gate], partition: str, *, by_todays_rules: bool = False, decided_before: bool = False
    ) -> str:
        """Why the partition is not certified, or an empty string: what failed of the first asset that failed.

        A decision is made by today's rules and asks for verdicts by the same; what was decided before stays certified by
        the rules, and on the bars, of its day.

        Raises
        ------
        GateError
            When a receipt is absent or stale: nobody judged what is stored, so nobody may build on it. And when what was
            judged was pruned.
        """
        failed: dict[AssetPath, list[str]] = {}
        with self.lake.one_look():
            for gate in gates:
                rules = gate.rules if by_todays_rules else None
                state, reason = self.state(gate.path, gate.check, partition, rules, decided_before=decided_before)
                if state is State.PRUNED:
                    first = places.names(self.path(gate.path, gate.check, partition).parent)[0].removesuffix(SUFFIX)
                    raise GateError(
                        f"{reason}; sleevegraph backfill --from {first}, its first rebalance, makes it again"
                    )
                if state in {State.ABSENT, State.STALE}:
                    name = "/".join(gate.path)
                    raise GateError(
                        f"{reason}; materialise {name} with its checks for {partition} "
                        f"(dagster asset materialize --select {name} --partition {partition})"
                    )
                if state is State.FAILED:
                    failed.setdefault(gate.path, []).append(reason)
        return " | ".join(next(iter(failed.values()), []))

    def require(self, gates: Sequence[Gate], partition: str) -> None:
        """Raise GateError unless every gate passed."""
        refusal = self.refusal(gates, partition)
        if refusal:
            raise GateError(f"{refusal}; correct the cause and materialise it again before building on it")


def _input(name: str, partition: str) -> tuple[AssetPath, str]:
    """Asset and partition that an input of a verdict on `partition` means."""
    asset, _, other = name.partition("@")
    return tuple(asset.split("/")), other or partition


def _plain(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Rules as they read back from JSON."""
    return dict(json.loads(json.dumps(rules)))
