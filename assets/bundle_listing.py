"""Whether a bundle's files are still those that the lake lists."""

from datetime import date
from hashlib import sha256

from resources.lake import AssetPath
from resources.store import Store
from sleevegraph.audit.layout import LEDGER


def changed_files(store: Store, audit: AssetPath, at: date) -> list[str]:
    """Files of a portfolio's bundle that are gone, or other than when the bundle was made.

    The ledger is left out: it grows when a warning is accepted, and that it is still the same one its chain says.
    """
    listed = dict(store.lake.read(audit, str(at)).select("file", "sha256").iter_rows())
    files = store.runs.read(audit[0], at)
    return [
        file for file, digest in listed.items() if file != LEDGER and sha256(files.get(file, b"")).hexdigest() != digest
    ]
