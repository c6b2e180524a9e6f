"""Temporary homes: bars in, rebalances run in this process, partitions and verdicts out."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from commands.home import create
from definitions import build_definitions
from profiles.load import load_manifest
from resources.lake import AssetPath, digest
from resources.receipts import Receipt
from resources.store import PATH_VARIABLE, SOURCE_VARIABLE, Store
from sleevegraph.calendar import grid_dates
from sleevegraph.manifest import Manifest, MetaProfile, RiskRules, SleeveProfile
from sleevegraph.simulated_market import simulated_bars

LONG, SHORT = "binance_spot_rating_all_long", "binance_spot_rating_all_short"
META, NESTED = "meta_benchmark", "meta_nested"

KEYS = ("2022-02-09", "2022-02-19", "2022-03-01", "2022-03-11")
"""Four rebalances of the small market; the last one finds the long sleeve in cash."""

_MEMORY = Path("/dev/shm")  # noqa: S108 - only a faster place for a folder with a name of its own
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@cache
def small_manifest() -> Manifest:
    """One sleeve of each direction, the meta of both, and a meta above that meta; solved by the native engine alone."""
    whole = load_manifest()
    sleeves = tuple(solved_by(sleeve, "native") for sleeve in whole.sleeves if sleeve.name in {LONG, SHORT})
    meta = next(meta for meta in whole.metas if meta.name == META)
    nested = MetaProfile(name=NESTED, children=(META, SHORT), weight_min=0.05, weight_max=0.95)
    return Manifest(market=whole.market, sleeves=sleeves, metas=(meta, nested))


def solved_by(sleeve: SleeveProfile, *engines: str, **risk: object) -> SleeveProfile:
    """A sleeve with other engines, the first of record, and other risk rules."""
    rules = RiskRules(**{**sleeve.risk.model_dump(), "engines": engines, "engine_of_record": engines[0], **risk})
    return sleeve.model_copy(update={"risk": rules})


@cache
def small_definitions() -> dg.Definitions:
    """Definitions of the small manifest: 23 assets where the whole one has 41."""
    return build_definitions(small_manifest())


@cache
def small_market() -> pl.DataFrame:
    """A simulated market of 24 symbols and 440 days."""
    return simulated_bars(date(2022, 3, 16), symbols=24)


@dataclass(frozen=True)
class TemporaryHome:
    """One home and the definitions that run in it."""

    root: Path
    defs: dg.Definitions

    @cached_property
    def store(self) -> Store:
        """The resource that the assets get."""
        return Store(home=str(self.root))

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """Dagster's records of this home."""
        create(self.store.folders)
        with environment(DAGSTER_HOME=str(self.store.folders.dagster)):
            return dg.DagsterInstance.get()

    def close(self) -> None:
        """Close Dagster's files."""
        if "instance" in self.__dict__:
            self.instance.dispose()

    def ingest(self, bars: pl.DataFrame) -> dg.ExecuteInProcessResult:
        """Let the files source read `bars` from the file that this home keeps to."""
        file = self.root / "source" / "bars.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        bars.write_parquet(file)
        job = self.defs.resolve_job_def("ingest").get_subset(asset_selection={dg.AssetKey("daily_bars")})
        with environment(**{SOURCE_VARIABLE: "files", PATH_VARIABLE: str(file)}):
            return self._execute(job, {})

    def refresh_warehouse(self) -> dg.ExecuteInProcessResult:
        """Write the views over the lake anew, through the ingest job."""
        job = self.defs.resolve_job_def("ingest").get_subset(asset_selection={dg.AssetKey("warehouse")})
        return self._execute(job, {})

    def run(
        self,
        *keys: str,
        assets: Sequence[AssetPath] | None = None,
        checks: Sequence[tuple[AssetPath, str]] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run the rebalance job over neighbouring keys in one range; or only some assets, some checks or both.

        Assets that are named bring no checks with them.
        """
        job = self.defs.resolve_job_def("rebalance")
        if assets is not None or checks is not None:
            job = job.get_subset(
                asset_selection={dg.AssetKey(list(path)) for path in assets or ()},
                asset_check_selection={check_key(path, name) for path, name in checks or ()},
            )
        require_neighbours(keys)
        return self._execute(
            job, {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
        )

    def run_one(self, key: str) -> dg.ExecuteInProcessResult:
        """Run the whole rebalance job as the sensor and the daemon do: one partition, no range."""
        return self._execute(self.defs.resolve_job_def("rebalance"), {}, partition_key=key)

    def read(self, path: AssetPath, key: str) -> pl.DataFrame:
        """Rows of a stored partition."""
        return self.store.lake.read(path, key)

    def plant(self, path: AssetPath, key: str, *changes: pl.Expr, rows: pl.Expr | None = None) -> None:
        """Rewrite a stored partition with some columns changed, and only the rows kept that `rows` selects."""
        status, reason = self.store.lake.standing(path, key)
        frame = self.read(path, key).filter(True if rows is None else rows).with_columns(*changes)
        self.store.lake.write(path, key, frame, status, reason)

    def receipt(self, path: AssetPath, check: str, key: str) -> Receipt:
        """A verdict that must be there."""
        receipt = self.store.receipts.read(path, check, key)
        assert receipt is not None, f"no receipt of {check} on {path} at {key}"
        return receipt

    def evaluations(self, path: AssetPath, check: str, run_id: str) -> dict[str, bool]:
        """Verdicts by partition that Dagster keeps of one run."""
        history = self.instance.event_log_storage.get_asset_check_execution_history(check_key(path, check), limit=100)
        found = {
            record.partition: record.event.dagster_event.asset_check_evaluation_data.passed
            for record in history
            if record.run_id == run_id and record.event and record.event.dagster_event
        }
        return {str(key): found[key] for key in sorted(found, key=str)}

    def metadata(self, path: AssetPath, key: str | None = None) -> dict[str, Any]:
        """What the newest materialisation of a partition, or of an asset without partitions, said of it."""
        partitions = [key] if key else None
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(list(path)), asset_partitions=partitions)
        (record,) = self.instance.fetch_materializations(wanted, limit=1).records
        assert record.asset_materialization is not None
        return {name: value.value for name, value in record.asset_materialization.metadata.items()}

    def standing(self, path: AssetPath, key: str) -> str:
        """OK, CASH or BLOCKED."""
        return self.store.lake.standing(path, key)[0].value

    def hashes(self, *, upto: str = "9999", bars: bool = False) -> dict[str, str]:
        """SHA-256 of every Parquet file up to a partition key, by its path in the lake; of the bars on request."""
        lake = self.store.folders.lake
        return {
            str(file.relative_to(lake)): digest(file)
            for file in sorted(lake.rglob("[!.]*.parquet"))
            if (bars or file.parent.name != "daily_bars") and file.stem <= upto
        }

    def _execute(
        self, job: dg.JobDefinition, tags: dict[str, str], partition_key: str | None = None
    ) -> dg.ExecuteInProcessResult:
        return job.execute_in_process(
            instance=self.instance,
            resources={"store": self.store},
            tags=tags,
            partition_key=partition_key,
            raise_on_error=False,
            run_config=_QUIET,
        )


def made_home(defs: dg.Definitions, root: Path | None = None) -> TemporaryHome:
    """Make a new home, in memory where the system has a place for it."""
    return TemporaryHome(root or _folder(), defs)


def copied_home(root: Path, defs: dg.Definitions) -> TemporaryHome:
    """Copy a home that nobody has open."""
    target = _folder()
    shutil.copytree(root, target, dirs_exist_ok=True)
    return TemporaryHome(target, defs)


def remove_homes(homes: Sequence[TemporaryHome]) -> None:
    """Close and delete homes."""
    for home in homes:
        home.close()
        shutil.rmtree(home.root)


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="sleevegraph-", dir=_MEMORY if _MEMORY.is_dir() else None))


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set variables for as long as the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def check_key(path: AssetPath, name: str) -> dg.AssetCheckKey:
    """Dagster's key of a check."""
    return dg.AssetCheckKey(dg.AssetKey(list(path)), name)


def checks_of(defs: dg.Definitions) -> list[tuple[AssetPath, str]]:
    """Every check, as the path of what it judges and its name."""
    keys = defs.resolve_asset_graph().asset_check_keys
    return sorted((tuple(key.asset_key.path), key.name) for key in keys)


def require_neighbours(keys: Sequence[str]) -> None:
    """A range has no holes, so a list with one would run more than it says."""
    assert [str(day) for day in grid_dates(date.fromisoformat(keys[0]), date.fromisoformat(keys[-1]))] == list(keys)


def cause(result: dg.ExecuteInProcessResult) -> str:
    """Why a run failed, as the person who started it reads it."""
    failed = next(event for event in result.all_events if event.is_step_failure)
    data: Any = failed.step_failure_data
    return str(data.user_failure_data.description if data.user_failure_data else data.error.message)
