"""A backfill that is killed, over and over and anywhere, ends as one that never was: lake, verdicts, bundles and page."""

import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TypeVar

import dagster as dg
import pytest

from tests.crash.aftermath import defects, leftovers, outcome
from tests.crash.deaths import PHASES, Death
from tests.crash.lanes import Lane, lane, needs_linux
from tests.crash.planted import LOST
from tests.crash.server import Attempt, Ended, definitions
from tests.homes import TemporaryHome, check_key, checks_of

pytestmark = needs_linux
KEYS = ("2022-02-09", "2022-02-19")
SEED = 20220209
BARS, WHOLE = ("bars",), ("bars", "grid", "warehouse")
FRESH = (
    (BARS, "rename bars"),  # the ingest has stored some months
    (BARS, "cpu"),
    (WHOLE, "open other"),  # the note on the source, the views
    (WHOLE, "rename lake"),  # a partition is written, but not in its place
    (WHOLE, "remove lake"),  # in its place, but not judged
    (WHOLE, "open receipts"),  # judged, but the verdict is not written
    (WHOLE, "cpu"),  # anywhere
    (WHOLE, "events"),  # in the midst of a commit of Dagster's index
    (WHOLE, "mkdir runs"),
)
"""What is attempted in a home that begins empty, and the step that each attempt dies at."""
RESTATED = ((BARS, "rename bars"), (WHOLE, "remove receipts"), (WHOLE, "cpu"), (WHOLE, "rename runs"))
"""In a whole home of which one bar was restated: every partition, verdict and bundle is replaced."""
SEGMENT_KILLS = 19
"""Of each of two whole homes, in which one segment after the other is made again."""
AIMED = {
    "solved": ("rename lake", "cpu", "open receipts", "remove lake", "events"),
    "traded": ("remove receipts", "rename lake", "events", "cpu", "rename receipts"),
    "bundled": ("rename runs", "mkdir runs", "events", "open runs", "remove receipts"),
}
"""Steps that an attempt at a segment dies at, in turn."""
FEWEST = {"solved": 12, "traded": 6, "bundled": 6}
"""Partitions of a segment, and no more than it has verdicts."""
SHARE = {"bars": (0.001, 0.003), "solved": (0.08, 0.25), "traded": (0.06, 0.2), "bundled": (0.06, 0.2)}
"""When an attempt at a part dies at "cpu": of the processor time of a whole one, which is not always the same."""
_JUDGING = Lock()
K, V = TypeVar("K"), TypeVar("V")


@dataclass
class Chain:
    """Kills in one home, and what became of them; `last` are attempts that are let go."""

    root: Path
    restated: bool
    deaths: Sequence[Attempt]
    last: Sequence[Attempt]
    before: Path | None = None
    """Bundles that those of this home continue, if any."""
    ended: list[Ended] = field(default_factory=list)
    let_go: list[Ended] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    hidden: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Undisturbed:
    """Homes by whether their bars were restated, and what making them took."""

    roots: dict[bool, Path]
    first: Ended
    again: Ended


@pytest.fixture(scope="module")
def lanes() -> Iterator[list[Lane]]:
    """One for each of two cores."""
    with lane() as one, lane() as other:
        yield [one, other]


@pytest.fixture(scope="module")
def undisturbed(lanes: list[Lane], folder: Path) -> Undisturbed:
    """A home of one backfill, and a copy of it that was backfilled again after a bar was restated."""
    roots = {False: folder / "undisturbed", True: folder / "restated"}
    ended = lanes[0].attempt(Attempt(str(roots[False]), KEYS))
    assert (ended.code, ended.said) == (0, "")
    shutil.copytree(roots[False], roots[True])
    again = lanes[0].attempt(Attempt(str(roots[True]), KEYS, restated=True))
    assert (again.code, again.said) == (0, "")
    return Undisturbed(roots, ended, again)


def whole_chain(root: Path, aimed: Sequence[tuple[Sequence[str], str]], made: Ended, *, restated: bool) -> Chain:
    """Deaths of attempts at everything."""
    stream = random.Random(f"{SEED} {root.name}")  # noqa: S311 - only has to be arbitrary
    whole = Attempt(str(root), KEYS, restated)
    deaths = [
        replace(whole, parts=parts, death=planned(stream, step, made, "".join(parts), alone=turn % 4 == 3))
        for turn, (parts, step) in enumerate(aimed)
    ]
    return Chain(root, restated, deaths, [whole])


def segment_chain(root: Path, made: Undisturbed, *, restated: bool) -> Chain:
    """Deaths of attempts at one segment after the other."""
    stream = random.Random(f"{SEED} {root.name}")  # noqa: S311 - only has to be arbitrary
    whole, names, deaths = Attempt(str(root), KEYS, restated, parts=["grid"]), list(AIMED), []
    for turn in range(SEGMENT_KILLS):
        segment, again = names[turn % len(names)], turn // len(names)
        step = AIMED[segment][again % len(AIMED[segment])]
        steps = {name: count if "runs" in name else FEWEST[segment] for name, count in made.first.steps.items()}
        death = planned(stream, step, replace(made.first, steps=steps), segment, alone=turn % 4 == 3)
        deaths.append(replace(whole, segment=segment, death=death))
    before = made.roots[False] / "runs" if restated else None
    return Chain(root, restated, deaths, [replace(whole, segment=segment) for segment in names], before)


def planned(stream: random.Random, step: str, made: Ended, part: str, *, alone: bool) -> Death:
    """One death among the steps of its kind that there are."""
    if step == "cpu":
        return Death(step, made.seconds * stream.uniform(*SHARE.get(part, (0.02, 0.8))), alone=alone)
    if step == "events":
        return Death(step, stream.randrange(3, 12 if part in AIMED else 60), alone=alone)
    return Death(step, stream.randrange(1, made.steps[step] + 1), alone=alone)


def run(server: Lane, chain: Chain) -> None:
    """Attempt after attempt, each killed and looked at, and the ones that are let go."""
    for attempt in chain.deaths:
        if attempt.segment == "bundled":
            require_bundles_to_make(chain)
        ended = server.attempt(attempt)
        if ended.code == 0:  # it was over before: as late as possible, then
            ended = server.attempt(replace(attempt, death=Death("rename receipts", FEWEST.get(attempt.segment, 30))))
        chain.ended.append(ended)
        with _JUDGING:
            chain.defects += [f"{attempt.death}: {found}" for found in defects(chain.root)]
            chain.hidden.append(len(leftovers(chain.root)))
    for attempt in chain.last:
        chain.let_go.append(server.attempt(attempt))


def require_bundles_to_make(chain: Chain) -> None:
    """Put bundles back to what they were before: what has its files already is not written again."""
    for bundle in chain.root.glob("runs/[!.]*"):
        shutil.rmtree(bundle)
    if chain.before:
        shutil.copytree(chain.before, chain.root / "runs", dirs_exist_ok=True)


def run_all(server: Lane, chains: Sequence[Chain]) -> None:
    for chain in chains:
        run(server, chain)


@pytest.mark.slow
def test_killed_anywhere_again_and_again_a_backfill_ends_as_one_that_never_was(
    lanes: list[Lane], folder: Path, undisturbed: Undisturbed
) -> None:
    whole = undisturbed
    chains = [
        whole_chain(folder / "fresh", FRESH, whole.first, restated=False),
        segment_chain(folder / "segments", whole, restated=False),
        whole_chain(folder / "again", RESTATED, whole.again, restated=True),
        segment_chain(folder / "restated_segments", whole, restated=True),
    ]
    for chain, copied in zip(chains[1:], (False, False, True), strict=True):
        shutil.copytree(whole.roots[copied], chain.root)
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(run_all, lanes[i], chains[2 * i : 2 * i + 2]) for i in (0, 1)]:
            future.result()
    print(report(chains))  # noqa: T201 - for whoever wants to know where, or looks for the cause
    ended = [ended for chain in chains for ended in chain.ended]
    assert [ended for ended in ended if ended.code != -signal.SIGKILL or ended.said or ended.left] == []
    assert len(ended) == len(FRESH) + len(RESTATED) + 2 * SEGMENT_KILLS
    assert {ended.phase for ended in ended} == set(PHASES)
    want = {restated: (outcome(root), shown(root)) for restated, root in whole.roots.items()}
    for chain in chains:
        assert [(ended.code, ended.said) for ended in chain.let_go] == [(0, "")] * len(chain.last)
        assert chain.defects == []
        assert max(chain.hidden) < len(chain.deaths), "who comes next clears away"
        assert leftovers(chain.root) == []
        found = outcome(chain.root), shown(chain.root)
        assert [unequal(*pair) for pair in zip(found, want[chain.restated], strict=True)] == [{}, {}], chain.root.name


def unequal(found: Mapping[K, V], expected: Mapping[K, V]) -> dict[K, tuple[V | None, V | None]]:
    """What differs, on both sides."""
    names = [name for name in {**found, **expected} if found.get(name) != expected.get(name)]
    return {name: (found.get(name), expected.get(name)) for name in names}


def shown(root: Path) -> dict[tuple[str, str, str], tuple[bool, str]]:
    """By asset, check and partition the newest verdict on Dagster's page, and what the receipt says; all is materialised."""
    home = TemporaryHome(root, definitions())
    last = home.instance.get_runs(dg.RunsFilter(job_name="rebalance"), limit=1)[0]
    assert last.status is dg.DagsterRunStatus.SUCCESS
    found = {}
    for path, check in checks_of(home.defs):
        assert set(KEYS) <= set(home.instance.get_materialized_partitions(dg.AssetKey(list(path))))
        history = home.instance.event_log_storage.get_asset_check_execution_history(check_key(path, check), limit=100)
        newest: dict[str | None, bool] = {}
        for record in history:
            event = record.event.dagster_event if record.event else None
            if (
                event and event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
            ):  # not only planned by one that died
                judged = event.asset_check_evaluation_data
                newest.setdefault(judged.partition, judged.passed)
        for key in KEYS:
            found["/".join(path), check, key] = newest[key], home.store.receipts.state(path, check, key)[0].value
    home.close()
    return found


def report(chains: Sequence[Chain]) -> str:
    """What was killed, where, and what it left; pytest shows it with -rA, or where the test fails."""
    killed = [ended for chain in chains for ended in chain.ended if ended.code == -signal.SIGKILL]
    phases = Counter(ended.phase for ended in killed)
    return f"seed {SEED}: {len(killed)} attempts killed at {dict(phases)}; hidden then {[c.hidden for c in chains]}"


def test_a_writer_that_writes_in_place_is_seen(lanes: list[Lane], folder: Path) -> None:
    attempt = Attempt(str(folder / "in_place"), KEYS, death=Death("remove lake", 5), planted="written in place")
    assert lanes[0].attempt(attempt).code == -signal.SIGKILL
    (found,) = defects(Path(attempt.root))
    assert found.startswith("data/lake/")


def test_a_verdict_that_is_lost_is_seen(lanes: list[Lane], folder: Path, undisturbed: Undisturbed) -> None:
    root = folder / "lost"
    shutil.copytree(undisturbed.roots[False], root)
    for receipt in root.joinpath("data", "receipts").rglob(f"{LOST}/*"):
        receipt.unlink()
    attempt = Attempt(str(root), KEYS, parts=["grid"], segment="traded", planted="lost verdict")
    ended = lanes[1].attempt(attempt)
    assert (ended.code, ended.said) == (0, "")
    want, found = outcome(undisturbed.roots[False]), outcome(root)
    assert {LOST in name for name in want.keys() - found.keys()} == {True}
    assert {check for (_, check, _), (_, state) in shown(root).items() if state == "ABSENT"} == {LOST}
