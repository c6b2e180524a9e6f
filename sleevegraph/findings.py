"""What a check found: one record per defect, the same for every gate."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ERROR", "WARN"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect. An ERROR blocks, a WARN is shown; `symbol` is empty when it concerns no single one."""

    level: Level
    code: str
    symbol: str
    message: str
