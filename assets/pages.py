"""Forensic reports, drawn in processes of their own while the run goes on."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import date

from pebble import ProcessExpired

from assets.report_facts import report_reader
from resources import workers
from resources.store import Store
from sleevegraph.errors import LakeError, SleevegraphError
from sleevegraph.manifest import Manifest
from sleevegraph.report.facts import MetaReport, Report
from sleevegraph.report.page import meta_page, sleeve_page
from sleevegraph.report.summary import summary

SECONDS = 120.0
"""What drawing one page may take, in a new process, too; it takes a tenth of a second."""
AHEAD = 8
"""Pages that are asked for before the first is collected: enough for every process, and few since each is 3 MB of facts."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page under way."""

    where: str
    html: "Future[str]"
    summary: "Future[str] | None"

    def collect(self) -> tuple[str, str]:
        """Wait for the page and for its summary in Markdown, which only the newest of a range has.

        Raises
        ------
        LakeError
            When the process that drew it was ended or died.
        """
        try:
            return self.html.result(), self.summary.result() if self.summary else ""
        except ProcessExpired as error:
            raise LakeError(
                f"{self.where}: expected a report within {SECONDS:g} s, found that its process was ended or died "
                f"(exit code {error.exitcode}); run it again"
            ) from error


def submit_pages(store: Store, manifest: Manifest, portfolio: str, days: Sequence[date]) -> Callable[[date], Page]:
    """Ask for the first pages, and return the function that gives that of a day; `days` are asked for in their order."""
    read = report_reader(store, manifest, portfolio, days)
    waiting, drawing = deque(days), {}

    def ask() -> None:
        while waiting and len(drawing) < AHEAD:
            at = waiting.popleft()
            drawing[at] = _submitted(read, portfolio, at, newest=at == max(days))

    def page(at: date) -> Page:
        answer = drawing.pop(at)
        ask()
        if isinstance(answer, SleevegraphError):
            raise answer
        return answer

    ask()
    return page


def _submitted(read: Callable[[date], Report], portfolio: str, at: date, *, newest: bool) -> Page | SleevegraphError:
    try:
        facts = read(at)
    except SleevegraphError as error:
        return error  # raised when its own date is computed: the dates before it are stored first
    draw = (
        workers.submit(meta_page, SECONDS, facts)
        if isinstance(facts, MetaReport)
        else workers.submit(sleeve_page, SECONDS, facts)
    )
    return Page(f"{portfolio} {at}", draw, workers.submit(summary, SECONDS, facts) if newest else None)
