"""The answer of one solve: a failure is data, with its reason, never an exception."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sleevegraph.panel import Floats

Status = Literal["native", "fallback", "unsupported", "rejected", "unavailable", "failed"]

AT_CAP_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Weights (N,) of one risk profile and how they came about.

    `weights` are all zero unless `status` is native or fallback.
    """

    weights: Floats
    status: Status
    reason: str
    """Empty when native."""
    rung: str
    """The recipe that gave the weights; empty when none did."""
    objective: float
    """Sharpe ratio per observation for max_sharpe, else the variance of the portfolio; NaN without weights."""
    residual: float
    """KKT violation of a convex recipe, risk-contribution error of risk_parity, 0 of a closed form; NaN without."""
    cap_binding_share: float
    """Share of the assets whose weight is the cap."""
    effective_n: float
    """1 / sum(w^2); 0 without weights."""


def solved(weights: Floats, *, cap: float, reason: str, rung: str, objective: float, residual: float) -> Solution:
    """The record of a solve that gave weights: native when there is no reason, else fallback."""
    return Solution(
        weights=weights,
        status="fallback" if reason else "native",
        reason=reason,
        rung=rung,
        objective=objective,
        residual=residual,
        cap_binding_share=float(np.count_nonzero(weights >= cap - AT_CAP_TOLERANCE) / len(weights)),
        effective_n=float(1.0 / (weights**2).sum()),
    )


def unsolved(assets: int, status: Status, reason: str) -> Solution:
    """The record of a solve without an answer."""
    return Solution(np.zeros(assets), status, reason, "", float("nan"), float("nan"), 0.0, 0.0)
