"""Lanes: of each, the run queue lets one run go at a time.

Pools, and not tags of runs: a pool belongs to an asset, so it also holds for a run that the page launches of some assets, or a
retry, which carry no job's tags. The tag says on a run's page what it is.
"""

from typing import Any

TAG = "sleevegraph/lane"
GRID, BARS, HISTORY = "grid", "bars", "history"
"""Rebalances, which continue one another; daily bars; finer bars and futures' data."""


class KnowsLanes:
    """To be put before a class of Dagster's event log, which keeps the limits of pools.

    Dagster stores the limit of a pool only after it has looked at the first runs of it, and lets all of those go at once: in a
    new home, two rebalances at a time.
    """

    has_instance: bool

    def get_concurrency_keys(self) -> set[str]:
        """Pools whose limit is stored; ours are before anybody asks."""
        log: Any = super()
        found: set[str] = log.get_concurrency_keys()
        missing = [lane for lane in (GRID, BARS, HISTORY) if lane not in found] if self.has_instance else []
        for lane in missing:
            log.initialize_concurrency_limit_to_default(lane)
        return set(log.get_concurrency_keys()) if missing else found
