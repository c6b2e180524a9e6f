"""Try recipes of one engine in turn until one gives weights that stand verification; each failed one leaves its reason."""

from sleevegraph.engines.problem import Attempt, Problem
from sleevegraph.engines.protocol import SOLVED, Engine
from sleevegraph.risk_profiles.recipes import barbell, equal_weight, inverse_volatility
from sleevegraph.risk_profiles.solution import Solution, solved, unsolved
from sleevegraph.risk_profiles.verification import CONSTRAINED, verified

STAND_INS = ("min_variance", "hrp", "inverse_volatility", "equal_weight")
BARBELL_STAND_INS = ("hrp", "inverse_volatility", "equal_weight")
"""A barbell is HRP with a tenth set aside, so HRP is nearest to it."""
ONE_POINT = 1e-11
"""Bounds that leave less room than this leave one portfolio."""


def climb(asked: str, problem: Problem, engine: Engine) -> Solution:
    """Solve as asked, else more tightly, else on a ridged covariance, else by what may stand in.

    The answer is native only when the profile asked for was solved as asked, on the problem as posed. A profile for
    which no rung gives weights has failed, with the reason of every rung.
    """
    reasons: list[str] = []
    infeasible = False
    for rung, name in _rungs(asked, engine):
        if infeasible and rung in {"tighter", "ridge"}:
            continue
        posed = problem.ridged() if rung == "ridge" else problem
        attempt = _attempt(name, posed, engine, tighter=rung == "tighter")
        infeasible = attempt.infeasible
        weights, residual, reason = verified(name, attempt, posed, engine)
        if weights is not None:
            reasons += [f"{rung} stands in"] if reasons else []
            return solved(
                weights,
                cap=problem.upper,
                reason="; ".join(reasons),
                rung=rung,
                objective=problem.sharpe(weights) if name == "max_sharpe" else problem.variance(weights),
                residual=residual,
            )
        reasons.append(f"{rung}: {reason}")
    return unsolved(len(problem.covariance), "failed", "; ".join(reasons))


def _rungs(asked: str, engine: Engine) -> list[tuple[str, str]]:
    """(rung, profile) in the order in which they are tried, without what the engine does not support."""
    stand_ins = BARBELL_STAND_INS if asked == "barbell" else STAND_INS
    possible = [name for name in stand_ins if name not in SOLVED or name in engine.profiles]
    return [(asked, asked), ("tighter", asked), ("ridge", asked), *((name, name) for name in possible if name != asked)]


def _attempt(name: str, problem: Problem, engine: Engine, *, tighter: bool) -> Attempt:
    if name == "max_sharpe" and problem.largest_mean <= problem.mean_rounding:
        reason = f"no portfolio within the bounds has a positive mean (best {problem.largest_mean:.2g})"
        return Attempt(reason=f"infeasible: {reason}", infeasible=True)
    if name == "equal_weight" or (name in CONSTRAINED and _one_point(problem)):
        return equal_weight(problem)
    if name == "inverse_volatility":
        return inverse_volatility(problem)
    try:
        if name == "barbell":
            found = barbell(problem, lambda core: engine.attempt("hrp", core, tighter=tighter))
        else:
            found = engine.attempt(name, problem, tighter=tighter)
    except Exception as error:  # noqa: BLE001 - whatever a solver raises is the reason why it failed
        return Attempt(reason=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    return found if isinstance(found, Attempt) else Attempt(reason=f"expected an Attempt, found {type(found).__name__}")


def _one_point(problem: Problem) -> bool:
    N = len(problem.covariance)
    return N * problem.upper <= 1.0 + ONE_POINT or N * problem.lower >= 1.0 - ONE_POINT
