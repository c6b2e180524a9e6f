"""Every profile file of a folder, read one by one; what one of them lacks is said beside what the others lack."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from profiles.family_files import expanded
from profiles.files import Location, ProfileFile, ProfilesError, named, read, validated
from profiles.signals import RESERVED
from sleevegraph.families import Choice, origin
from sleevegraph.manifest import MarketProfile, MetaProfile, Name, SleeveProfile

_NAMES = TypeAdapter(list[Name])


@dataclass(frozen=True, slots=True)
class Located:
    """A sleeve, and where its keys stand."""

    sleeve: SleeveProfile
    file: ProfileFile
    choices: tuple[Choice, ...] | None = None
    """Of a family's sleeve."""

    def refused(self, at: Location, text: str) -> str:
        """One line on a key of the sleeve."""
        if self.choices is not None:
            at = origin(self.file.data["template"], self.choices, at)
        return self.file.refused(at, text)


class Reading:
    """What has been read of a folder, and what is wrong with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.defects: list[str] = []
        self.files: dict[str, ProfileFile] = {}
        """By stem, but for the market's."""
        self.members: dict[str, list[str]] = {}
        """Names of the sleeves of a family, in its order."""
        self.broken: dict[Path, tuple[str, ...]] = {}
        """Defects of files that cannot be used."""
        self.clashes: dict[Path, str] = {}
        """The defect of a file that has a name which one of `broken` has for that reason."""
        self._owners: dict[str, ProfileFile] = {}

    def market(self) -> MarketProfile | None:
        """What all sleeves share."""
        try:
            return validated(read(self.folder / "market.toml"), MarketProfile)
        except ProfilesError as error:
            self.defects += error.defects
            return None

    def sleeves(self) -> list[Located]:
        """Sleeves that have files of their own."""
        found = []
        for path in self._paths("sleeves"):
            with self._noted(path):
                file = read(path)
                sleeve = named(file, SleeveProfile)
                self._add(file, ())
                found.append(Located(sleeve, file))
        if not self._paths("sleeves") and not self._paths("families"):
            self.defects.append(f"{self.folder / 'sleeves'}: expected at least one sleeve or family file, found none")
        return found

    def families(self) -> list[Located]:
        """Sleeves of families."""
        found = []
        for path in self._paths("families"):
            self.members[path.stem] = [path.stem] * 2  # where it cannot be read: some, for a meta above it
            with self._noted(path):
                file = read(path)
                members = expanded(file)
                names = [member.name for member, _ in members]
                self._add(file, names)
                self.members[path.stem] = names
                found += [Located(sleeve, file, member.choices) for member, sleeve in members]
        return found

    def metas(self) -> list[MetaProfile]:
        """Metas with the sleeves of a family in the place of its name; to be read after the families."""
        found = []
        for path in self._paths("metas"):
            with self._noted(path):
                file = read(path)
                meta = named(file, MetaProfile, self._with_members(file.data))
                self._add(file, ())
                found.append(meta)
        return found

    def knowable(self, metas: Sequence[MetaProfile]) -> list[MetaProfile]:
        """The metas without those above a file that could not be read: what it holds would seem to be missing."""
        lost = {path.stem for path in self.broken}
        while True:
            above = {meta.name for meta in metas if any(_is_of(child, lost) for child in meta.children)} - lost
            if not above:
                return [meta for meta in metas if meta.name not in lost]
            lost |= above

    def _paths(self, kind: str) -> list[Path]:
        return sorted((self.folder / kind).glob("*.toml"))

    @contextmanager
    def _noted(self, path: Path) -> Iterator[None]:
        try:
            yield
        except ProfilesError as error:
            self.defects += error.defects
            self.broken[path] = error.defects

    def _add(self, file: ProfileFile, members: Sequence[str]) -> None:
        """Keep a file and its names, which nothing else may have."""
        if file.path.stem == RESERVED:
            raise ProfilesError(
                [file.refused(("name",), f"expected another name than {RESERVED}, the folder of all signals")]
            )
        owners = [(name, self._owners.setdefault(name, file)) for name in (file.path.stem, *members)]
        taken = [(name, owner) for name, owner in owners if owner is not file]
        for name, owner in taken:
            self.clashes.setdefault(owner.path, self._taken(owner, name, file))
        if taken:
            name, owner = taken[0]
            raise ProfilesError([self._taken(file, name, owner)])
        self.files[file.path.stem] = file

    def _taken(self, file: ProfileFile, name: str, other: ProfileFile) -> str:
        """One line on a name of a file that another one has."""
        text = f"expected a name that nothing else has, found {name!r} of {other.path.relative_to(self.folder)}, too"
        return file.refused(("name" if name == file.path.stem else "parameters",), text)

    def _with_members(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            children = _NAMES.validate_python(data.get("children"), strict=True)
        except ValidationError:
            return data  # which the profile's own validation refuses by the places that the file has
        return {**data, "children": [name for child in children for name in self.members.get(child, [child])]}


def _is_of(name: str, stems: set[str]) -> bool:
    """Whether one of the files defines `name`, as its own or as that of a family's sleeve."""
    return name in stems or any(name.startswith(f"{stem}_") for stem in stems)
