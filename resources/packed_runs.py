"""Bundles in object storage: one archive each, since one object is replaced in one step and a folder is not."""

from collections.abc import Mapping
from datetime import date

from resources import places
from resources.packing import SUFFIX, BundleFiles, packed, unpacked
from resources.places import Place
from resources.runs import Runs
from sleevegraph.audit.facts import run_id
from sleevegraph.audit.layout import LEDGER
from sleevegraph.errors import AuditError


class PackedRuns(Runs):
    """Bundles under `root` as archives; of two writers of one bundle at a time, the last one's stays."""

    def path(self, name: str, at: date) -> Place:
        """Where a bundle is or would be."""
        return self.root / f"{run_id(name, at)}{SUFFIX}"

    def read(self, name: str, at: date) -> dict[str, bytes]:
        """Content of every file that can be read by its path in the bundle; empty without a bundle."""
        return self._found(name, at).files

    def file(self, name: str, at: date, file: str) -> bytes:
        """Content of one file; empty without it, AuditError where it cannot be read."""
        found = self._found(name, at)
        damage = found.unreadable.get(file) or (found.unreadable.get(LEDGER) if not found.files else None)
        if damage:
            raise AuditError(f"{self.path(name, at)}: expected to read {file} in it, found {damage}; restore it")
        return found.files.get(file, b"")

    def write(self, name: str, at: date, files: Mapping[str, bytes]) -> None:
        """Replace a bundle by one of exactly these files; one that has them already is not touched."""
        place, content = self.path(name, at), packed(files)
        try:
            if places.content(place)[1] == content:
                return
        except FileNotFoundError:
            pass
        places.put(place, content)

    def _found(self, name: str, at: date) -> BundleFiles:
        try:
            return unpacked(places.content(self.path(name, at))[1])
        except FileNotFoundError:
            return BundleFiles()
