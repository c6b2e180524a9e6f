"""What a bundle must not get away with although every hash in it is right."""

from pathlib import Path

import pytest

from commands import accept
from sleevegraph.audit.guarantees.acceptances import NEVER
from tests.bundles import Bundle
from tests.homes import META
from tests.planted_audits import META_RUN, NESTED_RUN, SLEEVE, Planted, second_generation
from tests.planted_forgeries import FORGERIES, WARNED, accepted, leaves_moved


@pytest.fixture(scope="session")
def runs(_four_rebalances: Path) -> Path:
    return _four_rebalances / "runs"


@pytest.mark.parametrize("planted", FORGERIES, ids=str)
def test_a_forgery_is_named_by_its_file_and_guarantee(runs: Path, planted: Planted) -> None:
    bundle = Bundle(runs / planted.run)
    planted.plant(bundle)
    bundle.seal()
    assert (planted.file, planted.guarantee) in bundle.failed()
    said = {guarantee.name: guarantee.text for guarantee in bundle.verify()}
    assert planted.says in said[planted.guarantee]
    assert not {"hashes", "chain", "schema"}.intersection(name for _, name in bundle.failed())


def test_an_accepted_warning_holds(runs: Path) -> None:
    bundle = Bundle(runs / SLEEVE)
    bundle.neighbours = {}
    accepted("profile_convergence", WARNED)(bundle)
    bundle.seal()
    assert bundle.failed() == []


def test_what_is_never_accepted_is_what_the_command_refuses() -> None:
    assert set(NEVER) == set(accept.NEVER)


def test_a_generation_that_no_later_ledger_names_is_said_to_be_younger(runs: Path) -> None:
    bundle = Bundle(runs / META_RUN)
    bundle.chain([*bundle.records, *second_generation(bundle.records)])
    assert bundle.failed() == []
    said = {guarantee.name: guarantee.text for guarantee in bundle.verify()}["anchor"]
    assert f"generation 2 is younger than what {META}-20220311, {NESTED_RUN} names" in said


def test_weights_of_a_leaf_cannot_be_compared_without_the_ledger_of_its_sleeve(runs: Path) -> None:
    bundle = Bundle(runs / META_RUN)
    bundle.neighbours = {}
    leaves_moved(bundle)
    bundle.seal()
    assert "anchor" not in {name for _, name in bundle.failed()}
