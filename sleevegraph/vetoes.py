"""Section 5: who is refused whatever the score, and whether each rule does its work."""

from dataclasses import dataclass

import polars as pl

from sleevegraph.manifest import SelectionRules
from sleevegraph.predictability import max_permutation_entropy

RELAXED_ENTROPY = 1.2
RELAXED_EFFICIENCY = 0.8

_SCHEMA = {
    "rule": pl.String(),
    "column": pl.String(),
    "threshold": pl.Float64(),
    "fired": pl.Int64(),
    "candidates": pl.Int64(),
    "lowest": pl.Float64(),
    "highest": pl.Float64(),
    "can_fire": pl.Boolean(),
    "defect": pl.String(),
}


@dataclass(frozen=True, slots=True)
class Veto:
    """One rule on one column: fires above its threshold, or below it when `sign` is -1."""

    rule: str
    column: str
    threshold: float
    sign: int
    extreme: float
    """What the column can at most (for `sign` -1: at least) be over the train window."""

    def fires(self, value: float) -> bool:
        """Whether the rule refuses a candidate with this value."""
        return self.sign * value > self.sign * self.threshold

    def text(self, value: float) -> str:
        """Say what was found and what is allowed, for example `entropy 0.9991 > 0.999`."""
        return f"{self.rule} {value:.7g} {'>' if self.sign > 0 else '<'} {self.threshold:g}"


def vetoes_of(rules: SelectionRules, *, relaxed: bool = False) -> list[Veto]:
    """Every rule at the manifest's thresholds, or at those of the second stage."""
    entropy = min(rules.entropy_max_threshold * RELAXED_ENTROPY, 1.0) if relaxed else rules.entropy_max_threshold
    efficiency = rules.efficiency_min_threshold * (RELAXED_EFFICIENCY if relaxed else 1.0)
    days = rules.train_days
    most_kurtosis = days - 5.0 + 1.0 / (days - 1)  # all returns equal but one
    return [
        Veto("entropy", "entropy", entropy, 1, max_permutation_entropy(days)),
        Veto("efficiency", "efficiency", efficiency, -1, 0.0),
        Veto("kurtosis", "kurtosis", rules.kurtosis_max_threshold, 1, most_kurtosis),
        Veto("volatility", "annual_volatility", rules.volatility_max_threshold, 1, float("inf")),
    ]


def veto_report(vetoes: list[Veto], features: pl.DataFrame) -> pl.DataFrame:
    """How often each rule fired on the candidates that it may refuse, and whether it is defective.

    Returns
    -------
    pl.DataFrame
        [rule, column, threshold, fired, candidates, lowest, highest, can_fire, defect], one row per rule;
        `defect` is "vetoes everything", "can never fire" (at this window length) or null.
    """
    rows = []
    for veto in vetoes:
        values = features[veto.column]
        fired = sum(veto.fires(value) for value in values)
        defect = "vetoes everything" if 0 < fired == len(values) else None
        can_fire = veto.fires(veto.extreme)
        if not can_fire:
            defect = "can never fire"
        rows.append(
            (
                veto.rule,
                veto.column,
                veto.threshold,
                fired,
                len(values),
                values.min(),
                values.max(),
                can_fire,
                defect,
            )
        )
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")
