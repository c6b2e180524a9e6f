"""The command line, beside Dagster's own."""
