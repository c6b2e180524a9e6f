"""The command line, beside Dagster's own."""

import os

# Before polars is imported. Frames here are small: its threads cost a sixth of a backfill, and take cores from the solvers.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
