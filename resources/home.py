"""Where all state lives: one home folder with `dagster_home/` (runs, events) and `data/` (lake, receipts)."""

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
HOME_VARIABLE = "SLEEVEGRAPH_HOME"


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one home."""

    root: Path

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME."""
        return self.root / "dagster_home"

    @property
    def lake(self) -> Path:
        """Parquet by asset and partition."""
        return self.root / "data" / "lake"

    @property
    def receipts(self) -> Path:
        """Verdicts of checks by asset, check and partition."""
        return self.root / "data" / "receipts"

    @property
    def runs(self) -> Path:
        """Audit bundles by portfolio and rebalance."""
        return self.root / "runs"

    @property
    def acceptances(self) -> Path:
        """Warnings that an operator accepted."""
        return self.root / "data" / "acceptances"

    @property
    def market(self) -> Path:
        """What was fetched of an exchange, as it gave it: rows, provenance, revisions, quarantine."""
        return self.root / "data" / "market"

    @property
    def source(self) -> Path:
        """Which market source this home's bars come from."""
        return self.root / "data" / "source.json"

    @property
    def warehouse(self) -> Path:
        """DuckDB views over the lake."""
        return self.root / "data" / "warehouse.duckdb"


def find_home(given: str = "") -> Home:
    """Return the home `given`, else SLEEVEGRAPH_HOME, else the folder above DAGSTER_HOME, else the project.

    A DAGSTER_HOME counts when its folder is named `dagster_home`, so that Dagster's own command line finds
    the same lake as `sleevegraph --home`.
    """
    chosen = given or os.environ.get(HOME_VARIABLE, "")
    if chosen:
        return Home(Path(chosen).expanduser().resolve())
    dagster_home = os.environ.get("DAGSTER_HOME", "")
    if dagster_home and Path(dagster_home).name == "dagster_home":
        return Home(Path(dagster_home).resolve().parent)
    return Home(PROJECT)
