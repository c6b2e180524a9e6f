"""The account on disk: several processes, deaths, new starts of the machine, and files that cannot be used."""

import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.binance.weight_ledger import FILE, UNTIL_IT_SAYS, WeightLedger, weight_ledger
from sleevegraph.errors import LakeError
from sleevegraph.market_data.request_weight import RateLimit
from tests.traffic import Request, Traffic, counted, largest, traffics
from tests.weight_driver import CONTEXT, HOST, take

OTHER = "api.binance.us"
MINUTE_OF_10 = RateLimit(10, 60.0)
Taker = tuple[BaseProcess, Connection]


class Processes:
    """One ledger per process, all on one file or, as it must not be, each on its own; the clock is simulated."""

    def __init__(self, folder: Path, traffic: Traffic, *, shared: bool = True) -> None:
        self.files = [folder / ("shared" if shared else str(number)) for number in range(traffic.processes)]
        self.now = traffic.clock
        self.booted = 0.0
        self.ledgers = [self.opened(number) for number in range(traffic.processes)]
        for ledger in self.ledgers:
            ledger.set_limit(HOST, traffic.limit)

    def opened(self, process: int) -> WeightLedger:
        return WeightLedger(self.files[process], lambda: self.now - self.booted)

    def begin(self, process: int, weight: int, longest: float, now: float) -> tuple[int, float]:
        self.now = now
        return self.ledgers[process].begin(HOST, weight, longest)

    def end(self, process: int, ticket: int, now: float) -> None:
        self.now = now
        self.ledgers[process].end(HOST, ticket, {})

    def kill(self, process: int) -> None:
        self.ledgers[process].close()
        self.ledgers[process] = self.opened(process)

    def boot(self, now: float) -> None:
        self.now = self.booted = now
        for process in range(len(self.files)):
            self.kill(process)

    def close(self) -> None:
        for ledger in self.ledgers:
            ledger.close()


def most(traffic: Traffic, offset: float = 0.0, *, shared: bool = True) -> int:
    """The most that any window of the server counts."""
    with TemporaryDirectory() as folder:
        processes = Processes(Path(folder), traffic, shared=shared)
        counts = counted(processes, traffic)
        processes.close()
    return largest(counts, traffic.limit.seconds * (1 - 1e-9), [offset])


@settings(max_examples=60, deadline=None)
@given(traffics(processes=3, boots=2), st.floats(0, 120))
def test_whatever_dies_and_starts_again_no_window_of_a_server_holds_more_than_the_limit(
    traffic: Traffic, offset: float
) -> None:
    assert most(traffic, offset) <= traffic.limit.weight


def test_two_processes_with_an_account_each_would_exceed_it() -> None:
    traffic = Traffic(MINUTE_OF_10, 0, tasks=2, requests=[Request(10, 0.1, 0.2)] * 2, processes=2)
    assert (most(traffic, shared=False), most(traffic)) == (20, 10)


@pytest.mark.parametrize("uptime", [5.0, 400.0, 1e7])
def test_after_a_new_start_of_the_machine_nothing_is_free_too_soon_or_held_for_long(
    tmp_path: Path, uptime: float
) -> None:
    before = WeightLedger(tmp_path / FILE, lambda: uptime)
    before.set_limit(HOST, MINUTE_OF_10)
    assert before.begin(HOST, 10, 200.0) == (1, 0.0)
    before.close()
    clock = 2.0
    after = WeightLedger(tmp_path / FILE, lambda: clock)
    waited = 0.0
    while delay := after.begin(HOST, 10, 200.0)[1]:
        waited += delay
        clock += delay
    after.close()
    assert waited + 5.0 >= 200.0 + 60.0  # 5 s may have passed before the start
    assert waited <= 200.0 + 60.0 + 5.0


def test_hosts_have_accounts_of_their_own(tmp_path: Path) -> None:
    ledger = WeightLedger(tmp_path / FILE, lambda: 100.0)
    ledger.set_limit(HOST, MINUTE_OF_10)
    assert ledger.begin(HOST, 10, 1.0)[1] == 0
    assert ledger.begin(HOST, 1, 1.0)[1] == pytest.approx(60)
    assert ledger.begin(OTHER, 1200, 1.0)[1] == 0
    assert (ledger.limit(HOST), ledger.limit(OTHER)) == (MINUTE_OF_10, UNTIL_IT_SAYS)


def test_a_limit_holds_at_once_for_every_process_and_from_the_start_for_later_ones(tmp_path: Path) -> None:
    one, two = (WeightLedger(tmp_path / FILE, lambda: 100.0) for _ in range(2))
    assert two.begin(HOST, 30, 1.0)[1] == 0
    one.set_limit(HOST, RateLimit(40, 60.0))
    assert two.begin(HOST, 11, 1.0)[1] > 0
    three = WeightLedger(tmp_path / FILE, lambda: 100.0)
    assert three.limit(HOST) == (40, 60.0)
    assert (three.begin(HOST, 10, 1.0)[1], three.begin(HOST, 1, 1.0)[1]) == (0, pytest.approx(60))


def test_weight_that_somebody_else_uses_is_left_to_them_and_counted_once(tmp_path: Path) -> None:
    clock = 0.0
    ledger = WeightLedger(tmp_path / FILE, lambda: clock)
    ledger.set_limit(HOST, RateLimit(100, 60.0))
    first, second = ledger.begin(HOST, 10, 1.0)[0], ledger.begin(HOST, 5, 1.0)[0]
    clock = 1.0
    ledger.end(HOST, first, {60.0: 90, 10.0: 1000})  # a window of 10 s is none of those that count
    ledger.end(HOST, second, {60.0: 90})
    clock = 2.0
    assert ledger.begin(HOST, 11, 1.0)[1] == pytest.approx(59)
    assert ledger.begin(HOST, 10, 1.0)[1] == 0


def sent(reports: Connection, most: int | None = None) -> int:
    """How many are reported, until there are so many or the other end is closed."""
    count = 0
    try:
        while count != most:
            reports.recv_bytes()
            count += 1
    except EOFError:
        pass
    return count


def taken(ledger: WeightLedger) -> int:
    """All that there is, by requests of weight 1."""
    count = 0
    while not ledger.begin(HOST, 1, 3600.0)[1]:
        count += 1
    return count


@pytest.fixture
def taking(tmp_path: Path) -> Iterator[list[Taker]]:
    """Three processes that are about to take more of a new account than there is."""
    running = []
    for _ in range(3):
        here, there = CONTEXT.Pipe()
        process = CONTEXT.Process(target=take, args=(tmp_path / FILE, 700, there))
        process.start()
        there.close()
        running.append((process, here))
    yield running
    for process, _ in running:
        process.kill()
        process.join()


def test_processes_that_ask_at_the_same_time_get_what_there_is_and_no_more(
    taking: list[Taker],
) -> None:
    for _, reports in taking:
        reports.send("go")
    shares = [sent(reports) for _, reports in taking]
    assert sum(shares) == UNTIL_IT_SAYS.weight < 3 * 700
    assert all(process.join(30) is None and process.exitcode == 0 for process, _ in taking)


def test_what_a_process_was_granted_before_a_sigkill_stays_granted(tmp_path: Path, taking: list[Taker]) -> None:
    (process, reports), _, _ = taking
    reports.send("go")
    known = sent(reports, 100)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    known += sent(reports)
    process.join()
    ledger = WeightLedger(tmp_path / FILE)
    left = taken(ledger)
    assert process.exitcode == -signal.SIGKILL
    assert 100 <= known < 700
    assert UNTIL_IT_SAYS.weight - known - left in {0, 1}  # the last one may have died between entry and report


def test_a_trial_run_makes_no_file_and_uses_the_one_that_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "market"
    with weight_ledger(folder, keep=False) as alone:
        assert alone.begin(HOST, 1200, 3600.0)[1] == 0
    assert not folder.exists()
    with weight_ledger(folder, keep=True) as kept:
        assert kept.begin(HOST, 1200, 3600.0)[1] == 0
    with weight_ledger(folder, keep=False) as trial:
        assert trial.begin(HOST, 1, 3600.0)[1] > 0


def damaged(file: Path) -> None:
    ledger = WeightLedger(file)
    ledger.set_limit(HOST, MINUTE_OF_10)
    ledger.close()
    file.write_bytes(b"?" * 200 + file.read_bytes()[200:])


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (damaged, r"file is not a database; wait until no request is five minutes old, delete it and run this again"),
        (Path.mkdir, r"unable to open database file; see to that and run this again"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_line(tmp_path: Path, spoil: object, found: str) -> None:
    assert callable(spoil)
    spoil(tmp_path / FILE)
    with pytest.raises(LakeError, match=found) as error, weight_ledger(tmp_path, keep=True):
        pass
    assert str(error.value).startswith(f"{tmp_path / FILE}: expected the account of requests")
    assert "\n" not in str(error.value)


def test_on_a_full_disk_no_request_may_be_sent(tmp_path: Path) -> None:
    ledger = WeightLedger(tmp_path / FILE)
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LakeError, match=r"found: database or disk is full; see to that") as error:
        taken(ledger)
    assert "\n" not in str(error.value)
    ledger._connection.execute(f"PRAGMA max_page_count = {pages + 10}")
    assert ledger.begin(HOST, 1, 1.0)[1] == 0
