"""The small manifest's definitions, as a module that Dagster's own commands load."""

from tests.homes import small_definitions

defs = small_definitions()
