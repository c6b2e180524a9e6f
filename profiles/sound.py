"""What of a folder of profiles can run, and what is left out: a defect of one file is that of no other."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from profiles.files import Location, ProfileFile, ProfilesError
from profiles.load import PROFILES, Profiles, assembled, sleeve_flaws
from profiles.reading import Located, Reading
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import MetaProfile
from sleevegraph.metas import tree_errors
from sleevegraph.refused import Refused

KINDS = {"sleeves": "sleeve", "families": "family", "metas": "meta"}
"""By folder, in the order in which refusals are told: causes before what follows from them."""

OF_THE_LOGIC = ("rating", "signal")
"""Keys whose defects are those of every sleeve of the logic."""


@dataclass(frozen=True)
class Sound:
    """The profiles of a folder that can run, and those that cannot."""

    profiles: Profiles
    refused: tuple[Refused, ...]

    def require(self, what: str, name: str) -> None:
        """Raise ConfigurationError with the defect where `name` is refused, or would be a sleeve of a refused family."""
        manifest = self.profiles.manifest
        known = {*(sleeve.name for sleeve in manifest.sleeves), *(meta.name for meta in manifest.metas)}
        known |= {family.name for family in manifest.families}
        by_name = {one.name: one for one in self.refused}
        families = {one.name for one in self.refused if one.kind == "family"}
        cause = None if name in known else _cause(name, by_name, families)
        if cause is not None:
            of = "" if cause == name else f" of family {cause}"
            reason = by_name[cause].reason
            raise ConfigurationError(f"{what}: expected what can run, found {name!r}{of}, which is refused: {reason}")


def load_sound(folder: Path = PROFILES) -> Sound:
    """Read the manifest of a folder without the files for which `load_profiles` would refuse it.

    Left out are files with a defect, all files that share a name, all files of a logic whose signal cannot be had or
    is not the same in all of them, and metas with a child that is left out.

    Raises
    ------
    ProfilesError
        With every defect, where the market's file has one or no sleeve is left.
    """
    reading = Reading(folder.resolve())
    market = reading.market()
    located = [*reading.sleeves(), *reading.families()]
    metas = reading.metas()
    if market is None:
        raise ProfilesError(reading.defects)
    refusals = _Refusals(reading)
    refusals.add_shared_names()
    for found, flaw in sleeve_flaws(located, market, reading.folder):
        refusals.add(found.file.path, found.refused(flaw.at, flaw.text))
        if flaw.at[0] in OF_THE_LOGIC:
            refusals.add_logic(found, flaw.text, located)
    sleeves = [found for found in located if found.file.path not in refusals.lines]
    if not sleeves:
        raise ProfilesError([*reading.defects, *(line for lines in refusals.lines.values() for line in lines)])
    sound = refusals.sound_metas({found.sleeve.name for found in sleeves}, metas)
    return Sound(assembled(reading, market, sleeves, sound), refusals.told())


class _Refusals:
    """Files that are left out, and every line that says why."""

    def __init__(self, reading: Reading) -> None:
        self.lines = {path: list(lines) for path, lines in reading.broken.items()}
        self._reading = reading
        self._logics: set[str] = set()
        self._roots: dict[str, str] = {}
        """By meta what its children are refused for."""

    def add(self, path: Path, line: str) -> None:
        """Leave a file out."""
        self.lines.setdefault(path, []).append(line)

    def add_shared_names(self) -> None:
        """Leave out every file whose name, or that of a sleeve of it, another file has."""
        for path, line in self._reading.clashes.items():
            self.add(path, line)
        for other in list(self.lines):
            file = self._reading.files.get(other.stem)
            if file is not None and file.path not in self.lines:
                found = f"{other.stem!r} of {other.relative_to(self._reading.folder)}"
                self._refuse(file, ("name",), f"expected a name that nothing else has, found {found}, too")

    def add_logic(self, culprit: Located, text: str, located: Sequence[Located]) -> None:
        """Leave out every file that has a sleeve of the culprit's logic."""
        logic, name = culprit.sleeve.logic, culprit.sleeve.name
        if logic in self._logics:
            return
        self._logics.add(logic)
        files = {found.file.path: found for found in located if found.sleeve.logic == logic}
        for path, found in files.items():
            if path != culprit.file.path:
                said = f"expected one signal of all sleeves of {logic!r} that can be had, found that of sleeve {name}: {text}"
                self.add(path, found.refused(("logic",), said))

    def sound_metas(self, sleeves: set[str], metas: Sequence[MetaProfile]) -> list[MetaProfile]:
        """The metas of which every child can run and whose own keys are sound."""
        known = {*self._reading.members, *(path.stem for path in self.lines), *(meta.name for meta in metas)}
        while True:
            standing = [meta for meta in metas if self._file(meta.name).path not in self.lines]
            if self._lose_children(sleeves, standing):
                continue
            errors = tree_errors(sleeves, standing, known)
            if not errors:
                return standing
            for error in errors:
                self._refuse(self._file(error.meta), (error.key,), error.text)

    def told(self) -> tuple[Refused, ...]:
        """All that is left out; paths begin with the folder of the profiles."""
        found: dict[str, Refused] = {}
        above = f"{self._reading.folder.parent}/"
        for path in sorted(self.lines, key=lambda path: (list(KINDS).index(path.parent.name), path.stem)):
            defects = dict.fromkeys(line.replace(above, "") for line in self.lines[path])
            other = found.get(path.stem)
            kind, earlier = (other.kind, other.defects) if other else (KINDS[path.parent.name], ())
            found[path.stem] = Refused(path.stem, kind, (*earlier, *defects))
        return tuple(found.values())

    def _lose_children(self, sleeves: set[str], standing: Sequence[MetaProfile]) -> bool:
        """Leave out metas above what is left out; False where there are none."""
        names = sleeves | {meta.name for meta in standing}
        stems = {path.stem: lines[0] for path, lines in reversed(self.lines.items())} | self._roots
        lost = False
        for meta in standing:
            causes = (_cause(child, stems, self._reading.members) for child in meta.children if child not in names)
            cause = next((cause for cause in causes if cause is not None), None)
            if cause is not None:
                text = (
                    f"expected children that can run, all of which a meta needs, found {cause} refused ({stems[cause]})"
                )
                self._roots[meta.name] = stems[cause]
                self._refuse(self._file(meta.name), ("children",), text)
                lost = True
        return lost

    def _file(self, name: str) -> ProfileFile:
        return self._reading.files[name]

    def _refuse(self, file: ProfileFile, at: Location, text: str) -> None:
        self.add(file.path, file.refused(at, text))


def _cause(name: str, refused: Container[str], families: Container[str]) -> str | None:
    """The refused file that defines `name`, as its own or as that of a sleeve of a family."""
    parts = name.split("_")
    stems = ("_".join(parts[:n]) for n in range(len(parts) - 1, 0, -1))
    return name if name in refused else next((stem for stem in stems if stem in refused and stem in families), None)
