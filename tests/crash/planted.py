"""Defects that the harness has to see, put into one attempt."""

import sys
from collections.abc import Callable
from pathlib import Path

from resources.receipts import Receipt, Receipts

LOST = "trade_list_reconciles"
"""A check that no asset asks for: without its verdict a run goes on."""


def plant(name: str) -> None:
    """Put a defect in place; an empty name is none."""
    if name:
        {"written in place": _write_in_place, "lost verdict": _lose_verdicts}[name]()


def _write_in_place() -> None:
    """A writer that does not care for readers: what is killed in its midst leaves half a file."""

    def write(path: Path, fill: Callable[[Path], object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.whole")
        fill(temporary)
        whole = temporary.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        temporary.unlink()  # a step that one can die at
        path.write_bytes(whole)

    for module in list(sys.modules.values()):
        if module.__name__.startswith("resources.") and hasattr(module, "write_atomically"):
            module.write_atomically = write


def _lose_verdicts() -> None:
    kept = Receipts.write

    def write(receipts: Receipts, receipt: Receipt) -> None:
        if receipt.check != LOST:
            kept(receipts, receipt)

    Receipts.write = write
