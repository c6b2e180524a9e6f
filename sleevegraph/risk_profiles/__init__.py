"""Risk profiles: from a window of synthetic returns to long-only weights, with a status instead of an exception."""

from sleevegraph.risk_profiles.solution import Solution
from sleevegraph.risk_profiles.solver import solve

__all__ = ["Solution", "solve"]
