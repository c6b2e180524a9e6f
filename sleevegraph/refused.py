"""Profiles that cannot run as they are written, of which everybody who reads the others has to be told."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from textwrap import shorten

SHOWN_REFUSALS, SHOWN_DEFECTS = 5, 20
"""Profiles that a command names, and defects of one profile that are shown."""
WIDTH = 500
"""Characters of one defect that are shown: a file may hold anything."""
ADVICE = "sleevegraph profiles validate lists all"


@dataclass(frozen=True, slots=True)
class Refused:
    """A sleeve, family or meta that is left out, and why."""

    name: str
    kind: str
    """Sleeve, family or meta."""
    defects: tuple[str, ...]
    """Each with file, line, key, what was expected and what was found."""

    @property
    def reason(self) -> str:
        """The first defect in one line, and how many there are besides."""
        more = f" (and {len(self.defects) - 1:,} more)" if self.defects[1:] else ""
        return shown(self.defects[0]) + more

    @property
    def text(self) -> str:
        """A paragraph for each defect."""
        more = [f"and {len(self.defects) - SHOWN_DEFECTS:,} more; {ADVICE}"]
        found = [shown(defect) for defect in islice(self.defects, SHOWN_DEFECTS)]
        return "\n\n".join(found + (more if len(self.defects) > SHOWN_DEFECTS else []))


def told(refused: Sequence[Refused]) -> list[str]:
    """One line for each of the first few, and how many more there are."""
    lines = [f"refused: {one.reason}" for one in refused[:SHOWN_REFUSALS]]
    more = len(refused) - SHOWN_REFUSALS
    return lines + ([f"and {more:,} more; {ADVICE}"] if more > 0 else [])


def shown(defect: str) -> str:
    """One line of at most WIDTH characters."""
    return shorten(defect, WIDTH, placeholder=" …")
