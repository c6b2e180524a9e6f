"""Metadata of one partition of a range run, without the cost of asking the grid each time; frames as tables."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl


def add_metadata(context: dg.AssetExecutionContext, partition: str, metadata: Mapping[str, Any]) -> None:
    """Do what `context.add_asset_metadata(metadata, partition_key=partition)` does.

    That method lists the keys of the whole range to check each one, 5 ms a call and 2,590 calls in two years of
    rebalances; here the key comes from the context itself. Private, like the import in checks/partitioned.py, and
    covered by the pin on Dagster and by the tests that read the metadata back.
    """
    step = context.op_execution_context.get_step_execution_context()
    step._metadata_accumulator = step._metadata_accumulator.with_additional_asset_metadata(  # noqa: SLF001
        asset_key=context.asset_key, metadata=metadata, partition_key=partition
    )


def markdown_table(frame: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A frame as a table of a page; numbers to four significant digits, since the lake has them all."""
    head = f"| {' | '.join(frame.columns)} |\n|{'---|' * frame.width}\n"
    return dg.MetadataValue.md(head + "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in frame.iter_rows()))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
