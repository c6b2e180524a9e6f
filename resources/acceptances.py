"""Acceptances: warnings that an operator has seen and lets stand, each bound to exactly the verdict that was accepted."""

import json
from dataclasses import asdict, dataclass

from resources import places
from resources.lake import AssetPath
from resources.places import Place


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

    def __init__(self, root: Place) -> None:
        """Use the folder `root`, on a disk or in object storage, which need not exist yet."""
        self.root = root

    def of(self, asset: AssetPath, check: str, partition: str) -> Acceptance | None:
        """Return what was accepted; one that cannot be read counts as none."""
        try:
            return Acceptance(**json.loads(places.content(self._path(asset, check, partition))[1].decode()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, acceptance: Acceptance) -> None:
        """Store an acceptance, replacing that of an older verdict."""
        path = self._path(tuple(acceptance.asset.split("/")), acceptance.check, acceptance.partition)
        text = json.dumps(asdict(acceptance), sort_keys=True, indent=1)
        places.put(path, f"{text}\n".encode())

    def _path(self, asset: AssetPath, check: str, partition: str) -> Place:
        return self.root.joinpath(*asset, check, f"{partition}.json")
