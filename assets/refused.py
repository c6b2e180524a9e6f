"""Profiles that are left out, where whoever looks at the graph sees them."""

from collections.abc import Sequence

import dagster as dg

from assets.keys import key, stage
from sleevegraph.refused import Refused

GROUP = "refused"


def refused_specs(refused: Sequence[Refused]) -> list[dg.AssetSpec]:
    """One asset that nobody can materialise for each, with its defects."""
    return [
        dg.AssetSpec(
            key(stage(one.name, GROUP)),
            group_name=GROUP,
            description=one.text,
            kinds={"toml"},
            metadata={
                "kind": one.kind,
                "defect": one.reason,
                "defects": len(one.defects),
                "advice": "mend the file, reload the definitions, then backfill from where its record ends",
            },
        )
        for one in refused
    ]
