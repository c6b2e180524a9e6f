"""Profile files into one typed manifest; what cannot be run as written is refused here, not at run time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from profiles.files import Location, ProfileFile, ProfilesError
from profiles.reading import Located, Reading
from profiles.signals import signal_defects
from sleevegraph.engines.protocol import SOLVED
from sleevegraph.engines.registry import engine_named
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import Family, Manifest, MarketProfile, MetaProfile, RiskRules
from sleevegraph.metas import tree_errors, validate_metas

PROFILES = Path(__file__).resolve().parent


class Flaw(NamedTuple):
    """What is wrong at a key of a sleeve."""

    at: Location
    text: str


@dataclass(frozen=True)
class Profiles:
    """A manifest and the files that it was read from."""

    manifest: Manifest
    files: Mapping[str, ProfileFile]
    """By the name of a family, of a meta, or of a sleeve that has a file of its own."""


def load_manifest(folder: Path = PROFILES) -> Manifest:
    """Read `market.toml`, `sleeves/*.toml`, `families/*.toml` and `metas/*.toml` under `folder`.

    A sleeve, a family of sleeves or a meta is one file whose stem is its name: adding the file is the whole
    change. Sleeves and families are ordered by name, metas children first.

    Raises
    ------
    ProfilesError
        One line with the file, the line, the dotted key, what was expected and what was found.
    """
    return load_profiles(folder).manifest


def load_profiles(folder: Path = PROFILES) -> Profiles:
    """Read a manifest and keep its files, or raise ProfilesError with every defect of every file."""
    reading = Reading(folder)
    market = reading.market()
    located = [*reading.sleeves(), *reading.families()]
    metas = reading.metas()
    flaws = (found.refused(flaw.at, flaw.text) for found, flaw in sleeve_flaws(located, market, folder))
    defects = [*reading.defects, *flaws, *_tree_defects(reading, located, metas)]
    if defects or market is None:
        raise ProfilesError(defects)
    return assembled(reading, market, located, metas)


def assembled(
    reading: Reading, market: MarketProfile, located: Sequence[Located], metas: Sequence[MetaProfile]
) -> Profiles:
    """The manifest of sleeves, of the families that they are of, and of metas above them."""
    sleeves = tuple(sorted((found.sleeve for found in located), key=lambda sleeve: sleeve.name))
    kept = {found.file.path.stem for found in located}
    families = tuple(Family(name=name, sleeves=tuple(names)) for name, names in reading.members.items() if name in kept)
    manifest = Manifest(market=market, sleeves=sleeves, metas=validate_metas(sleeves, metas), families=families)
    return Profiles(manifest, reading.files)


def sleeve_flaws(
    sleeves: Sequence[Located], market: MarketProfile | None, folder: Path
) -> Iterator[tuple[Located, Flaw]]:
    """What the files do not show by themselves."""
    engines: dict[RiskRules, list[Flaw]] = {}  # most sleeves of a family share their rules
    for found in sleeves:
        risk = found.sleeve.risk
        if risk not in engines:
            engines[risk] = list(_engine_flaws(risk))
        yield from ((found, flaw) for flaw in engines[risk])
    if market is not None:
        by_name = {found.sleeve.name: found for found in sleeves}
        for defect in signal_defects([found.sleeve for found in sleeves], market, folder):
            yield by_name[defect.sleeve], Flaw(defect.at, defect.text)


def _engine_flaws(risk: RiskRules) -> Iterator[Flaw]:
    for name in risk.engines:
        try:
            engine = engine_named(name)
        except ConfigurationError as error:
            yield Flaw(("risk", "engines"), str(error))
            continue
        missing = sorted(set(SOLVED) - engine.profiles)
        if missing and name == risk.engine_of_record:
            yield Flaw(
                ("risk", "engine_of_record"),
                f"expected an engine that has {', '.join(SOLVED)}, since it is traded under all of them, "
                f"found {name!r} without {', '.join(missing)}",
            )


def _tree_defects(reading: Reading, sleeves: Sequence[Located], metas: Sequence[MetaProfile]) -> Iterator[str]:
    names = {found.sleeve.name for found in sleeves}
    for error in tree_errors(names, reading.knowable(metas), set(reading.members)):
        yield reading.files[error.meta].refused((error.key,), error.text)
