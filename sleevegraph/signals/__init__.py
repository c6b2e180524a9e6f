"""Signals of one's own: what they must answer, the look-ahead test that they must pass, and three examples."""

from sleevegraph.signals.contract import ENTRY_POINTS, SCHEMA, Function, Score
from sleevegraph.signals.table import Scores

Signal = Function | Scores
"""Where scores come from."""

__all__ = ["ENTRY_POINTS", "SCHEMA", "Function", "Score", "Scores", "Signal"]
