"""A family's file, expanded into validated sleeves."""

from collections.abc import Sequence
from itertools import groupby

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_json

from profiles.files import Finding, ProfileFile, ProfilesError, findings, named
from sleevegraph.families import FamilyError, FamilyProfile, Member, expand, origin
from sleevegraph.manifest import SleeveProfile

_SLEEVES = TypeAdapter(list[SleeveProfile])


def expanded(file: ProfileFile) -> list[tuple[Member, SleeveProfile]]:
    """The sleeves of a family's file in the order of its product, or ProfilesError with every defect.

    What is wrong with the template or with one value is said once, not once per sleeve.
    """
    family = named(file, FamilyProfile)
    try:
        members = expand(family)
    except FamilyError as error:
        raise ProfilesError([file.refused(defect.at, defect.text) for defect in error.defects]) from error
    try:
        sleeves = _SLEEVES.validate_json(to_json([member.profile for member in members]), strict=True)
    except ValidationError as error:
        raise ProfilesError(_refused(file, members, error.errors(include_url=False))) from error
    return list(zip(members, sleeves, strict=True))


def _refused(file: ProfileFile, members: Sequence[Member], errors: Sequence[ErrorDetails]) -> list[str]:
    found: dict[Finding, list[str]] = {}
    for place, details in groupby(errors, key=lambda error: error["loc"][0]):
        member = members[int(place)]
        for finding in findings([_below(error) for error in details], SleeveProfile, member.profile):
            found.setdefault(_placed(file, member, finding), []).append(member.name)
    return [file.refused(finding.at, finding.text + _sleeves(finding, names)) for finding, names in found.items()]


def _below(error: ErrorDetails) -> ErrorDetails:
    """The error by its place in the sleeve's profile."""
    below = error.copy()
    below["loc"] = error["loc"][1:]
    return below


def _placed(file: ProfileFile, member: Member, finding: Finding) -> Finding:
    at = origin(file.data["template"], member.choices, finding.at)
    if finding.kind == "extra_forbidden" and isinstance(at[-1], int):
        at = at[:-1]  # it is the parameter that is wrong, and none of its values
    return finding._replace(at=at)


def _sleeves(finding: Finding, names: Sequence[str]) -> str:
    """What several keys say together depends on the sleeve."""
    if finding.kind != "value_error":
        return ""
    return f", in {names[0]}" + (f" and {len(names) - 1:,} more" if names[1:] else "")
