"""Which answers go wrong: a seeded share of them, the same whatever order the requests come in."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

ROLES = ("archive", "listing", "api0", "api1", "api2")
FITS = {
    "checksum": ("checksum",),
    "corrupt": ("zip",),
    "stale": ("zip", "checksum"),
    "stale_listing": ("listing",),
    "stale_bar": ("klines",),
}
"""Kinds of request that a fault can befall; those that are not here befall any."""
PASSING = ("timeout", "reset", "truncated", "500", "503", "429", "checksum", "corrupt", "stale")
"""Faults that one who reads the listing, the checksum and the status can see."""
KINDS = (*PASSING, "stale_listing", "stale_bar")


def fits(how: str, kind: str) -> bool:
    return kind in FITS.get(how, (kind,))


@dataclass(slots=True)
class Faults:
    """`broken` holds the lasting ones: an archive's key, a listing's prefix or `klines/SYMBOL` -> what goes wrong."""

    share: float = 0.0
    kinds: tuple[str, ...] = ()
    seed: int = 0
    roles: tuple[str, ...] = ROLES
    broken: dict[str, str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def draw(self, role: str, kind: str, name: str) -> str:
        """What goes wrong with this answer, or nothing: decided by the seed, the name and how often it was asked.

        A zip and its CHECKSUM are stale together, so that what a lagging mirror gives agrees with itself.
        """
        base = name.removesuffix(".CHECKSUM")
        lasting = self.broken.get(name) or self.broken.get(base)
        if lasting and fits(lasting, kind):
            return lasting
        if not self.kinds or role not in self.roles:
            return ""
        time = self.asked[name]
        self.asked[name] = time + 1
        stale = self.share / len(self.kinds) if "stale" in self.kinds and fits("stale", kind) else 0.0
        if self._toss(f"stale {base}", time) < stale:
            return "stale"
        fitting = [how for how in self.kinds if how != "stale" and fits(how, kind)]
        rest = self.share - stale
        toss = self._toss(name, time)
        return fitting[int(toss / rest * len(fitting))] if fitting and toss < rest else ""

    def _toss(self, name: str, time: int) -> float:
        """In [0, 1)."""
        digest = blake2b(f"{self.seed} {time} {name}".encode(), digest_size=8).digest()
        return (int.from_bytes(digest) >> 11) / 2**53
