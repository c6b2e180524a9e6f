"""Families."""

FAMILY_ASSETS_LIMIT = 40
"""Sleeves of a family that become assets of their own; those of a larger one share theirs."""
