"""Thin assets: read the context, call one pure function, store and report."""

import warnings

import dagster as dg

# Partitioned checks, backfill policies and partition mappings that reach before the start are previews in Dagster.
# Its version is pinned and they are tested here; the warnings would bury what matters on every command.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
