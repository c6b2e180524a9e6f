"""Lanes: of each, the run queue lets one run go at a time.

Pools, and not tags of runs: a pool belongs to an asset, so it also holds for a run that the page launches of some assets, or a
retry, which carry no job's tags. The tag says on a run's page what it is.
"""

TAG = "sleevegraph/lane"
GRID, BARS, HISTORY = "grid", "bars", "history"
"""Rebalances, which continue one another; daily bars; finer bars and futures' data."""
