"""Homes that are fed by the replica, and files of the replica made anew."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import polars as pl

from resources.store import FROM_VARIABLE, SOURCE_VARIABLE, SYMBOLS_VARIABLE
from tests.homes import TemporaryHome, environment
from tests.replica.files import zipped
from tests.replica.handle import Replica
from tests.replica.rows import layout, lines


def ingest(home: TemporaryHome, replica: Replica, *assets: str, **variables: str) -> dg.ExecuteInProcessResult:
    """Run the job `ingest`, or some assets of it, in a home of the source binance."""
    job = home.defs.resolve_job_def("ingest")
    return _run(home, replica, job, assets, {}, variables)


def history(
    home: TemporaryHome, replica: Replica, asset: str, first: str, last: str, **variables: str
) -> dg.ExecuteInProcessResult:
    """Materialise the months from `first` to `last` (2025-01) of a dataset's asset in one run."""
    months = {
        "dagster/asset_partition_range_start": f"{first}-01",
        "dagster/asset_partition_range_end": f"{last}-01",
    }
    return _run(home, replica, home.defs.resolve_job_def("history"), [asset], months, variables)


def host(replica: Replica, role: str) -> str:
    """Name and port, as an ingest records it."""
    return urlsplit(replica.url(role)).netloc


def scope(symbols: str = "", first: str = "") -> dict[str, str]:
    """Variables for these symbols from this day on."""
    return {variable: value for variable, value in ((SYMBOLS_VARIABLE, symbols), (FROM_VARIABLE, first)) if value}


def restate(replica: Replica, dataset: str, key: str, rows: pl.DataFrame) -> None:
    """Let the archive have a file of these rows under `key`."""
    head = layout(dataset).header
    text = [*([head] if head else []), *lines(dataset, rows)["line"]]
    member = Path(key).with_suffix(".csv").name
    replica.replace(key, zipped(member, "\n".join(text) + "\n"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _run(
    home: TemporaryHome,
    replica: Replica,
    job: dg.JobDefinition,
    assets: "tuple[str, ...] | list[str]",
    tags: Mapping[str, str],
    variables: Mapping[str, str],
) -> dg.ExecuteInProcessResult:
    if assets:
        job = job.get_subset(asset_selection={dg.AssetKey(asset) for asset in assets})
    with environment(**{SOURCE_VARIABLE: "binance", **replica.environment(), **variables}):
        return job.execute_in_process(
            instance=home.instance,
            resources={"store": home.store},
            tags=dict(tags),
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
