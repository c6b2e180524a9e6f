"""Acceptances: warnings that an operator has seen and lets stand, each bound to exactly the verdict that was accepted."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from resources.atomic import write_atomically
from resources.lake import AssetPath


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One accepted warning."""

    asset: str
    check: str
    partition: str
    receipt: str
    """SHA-256 of the receipt; another verdict is not accepted."""
    findings: list[str]
    because: str
    by: str
    on: str
    """UTC time, ISO 8601."""


class Acceptances:
    """Acceptances under `root`, by asset, check and partition."""

    def __init__(self, root: Path) -> None:
        """Use the folder `root`, which need not exist yet."""
        self.root = root

    def of(self, asset: AssetPath, check: str, partition: str) -> Acceptance | None:
        """Return what was accepted; one that cannot be read counts as none."""
        try:
            return Acceptance(**json.loads(self._path(asset, check, partition).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, acceptance: Acceptance) -> None:
        """Store an acceptance, replacing that of an older verdict."""
        path = self._path(tuple(acceptance.asset.split("/")), acceptance.check, acceptance.partition)
        text = json.dumps(asdict(acceptance), sort_keys=True, indent=1)
        write_atomically(path, lambda temporary: temporary.write_text(text + "\n", encoding="utf-8"))

    def _path(self, asset: AssetPath, check: str, partition: str) -> Path:
        return self.root.joinpath(*asset, check, f"{partition}.json")
