"""Definitions of the profiles in BENCH_PROFILES, as a module that Dagster's own commands load; see bench.families."""

import os
from pathlib import Path

from assets import building
from definitions import build_definitions
from profiles.load import load_manifest

FOLDER = Path(os.environ["BENCH_PROFILES"])
building.FAMILY_ASSETS_LIMIT = int(os.environ["BENCH_LIMIT"])
defs = build_definitions(load_manifest(FOLDER), FOLDER)
