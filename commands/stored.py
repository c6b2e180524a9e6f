"""Which stored rebalance of a home a command is about, and what a reader must know of the home."""

from datetime import date, timedelta

from resources.home import Home
from resources.lake import AssetPath, Lake
from resources.store import SIMULATED, is_simulated
from sleevegraph.calendar import STEP_DAYS
from sleevegraph.errors import LakeError


def warning_of(home: Home) -> str:
    """Return what must stand beside every figure of this home; empty for recorded bars."""
    return SIMULATED if is_simulated(home) else ""


def chosen_rebalance(home: Home, lake: Lake, path: AssetPath, on: date | None) -> date:
    """Return `on` if `path` is stored there, the newest stored date if it is None, or raise LakeError with the way out."""
    stored = lake.partitions(path)
    command = f"sleevegraph backfill --home {home.root} --from"
    if not stored:
        first, last = (on, on) if on else ("FIRST", "LAST")
        raise LakeError(f"{'/'.join(path)}: expected stored rebalances, found none; run {command} {first} --to {last}")
    newest = date.fromisoformat(stored[-1])
    if on is None or str(on) in stored:
        return on or newest
    # A track record has no holes, so the way to a date leads over all before it.
    first, last = min(on, newest + timedelta(days=STEP_DAYS)), max(on, newest)
    raise LakeError(
        f"{'/'.join(path)} {on}: expected one of the {len(stored)} stored rebalances from {stored[0]} to {stored[-1]}, "
        f"found none on that date; run {command} {first} --to {last}"
    )
