"""The atom: one physical symbol under one logic in one direction."""

from dataclasses import dataclass
from typing import Literal, get_args

from sleevegraph.errors import ConfigurationError

Direction = Literal["LONG", "SHORT"]


def sign_of(direction: Direction) -> int:
    """Return +1 for LONG and -1 for SHORT: physical net weight = weight x sign."""
    return 1 if direction == "LONG" else -1


@dataclass(frozen=True, slots=True)
class Atom:
    """One (symbol, logic, direction). Pass the record; nothing parses the printed id."""

    symbol: str
    logic: str
    direction: Direction

    def __post_init__(self) -> None:
        """Refuse a direction that is neither LONG nor SHORT: a silent default would flip a book."""
        if self.direction not in get_args(Direction):
            raise ConfigurationError(f"atom {self.symbol}: direction: expected LONG or SHORT, found {self.direction!r}")

    @property
    def id(self) -> str:
        """The printed id, for example `BINANCE:BTCUSDT_rating_all_LONG`."""
        return f"{self.symbol}_{self.logic}_{self.direction}"

    @property
    def sign(self) -> int:
        """+1 or -1."""
        return sign_of(self.direction)
