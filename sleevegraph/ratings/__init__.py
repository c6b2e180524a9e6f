"""Technical ratings of market bars; the rules of one indicator are in the function of its name."""

from sleevegraph.ratings.technical import VOTES, technical_ratings
from sleevegraph.ratings.trend import close_only_adx

__all__ = ["VOTES", "close_only_adx", "technical_ratings"]
