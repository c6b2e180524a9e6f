"""How partitions reach back on the grid."""

import dagster as dg


def reaching_back(steps: int, *, until: int = 0) -> dg.TimeWindowPartitionMapping:
    """Map a rebalance to the `steps` rebalances before it, up to `until` steps before it; near the start there are fewer."""
    return dg.TimeWindowPartitionMapping(
        start_offset=-steps, end_offset=-until, allow_nonexistent_upstream_partitions=True
    )


PREVIOUS = reaching_back(1, until=1)
