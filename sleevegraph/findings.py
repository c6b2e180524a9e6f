"""What a guarantee found: the one record that every check returns."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ERROR", "WARN"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect. ERROR blocks the partition; WARN is shown and counted."""

    level: Level
    code: str
    """What kind of defect, in capitals; stable, for programs."""
    symbol: str
    """The physical symbol concerned; empty for a finding about the whole."""
    message: str
    """One line: expected, found, where."""
