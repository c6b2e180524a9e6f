"""What recomputing one guarantee says."""

from collections.abc import Iterable
from dataclasses import dataclass

from sleevegraph.audit.contract import End, Standing
from sleevegraph.audit.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that does not hold, and in which file it shows."""

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Empty `failures` mean that the guarantee holds."""

    text: str
    """What was compared, where all of it holds."""
    failures: tuple[Failure, ...] = ()


def verdict(text: str, failures: Iterable[Failure]) -> Verdict:
    """Collect failures."""
    return Verdict(text, tuple(failures))


def standing_of(evidence: Evidence) -> Standing:
    """How the newest generation says that the portfolio stands."""
    return evidence.only(End).standing
