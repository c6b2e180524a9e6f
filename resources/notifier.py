"""Sends what is due to every channel at once, each for so long and no longer, and says what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Thread
from time import monotonic

from resources.channels import ALERTS_VARIABLE, Channel, channels, deliver
from resources.deliveries import Deliveries, Message
from resources.outbox import Outbox
from sleevegraph.alerts import Fact, Kept, Kind

SECONDS = 10.0
"""That one channel may take for all of its messages of one time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one channel."""

    channel: str
    sent: int
    """Messages that it took."""
    facts: int
    """Facts in them."""
    reason: str = ""
    """Why it did not take all; empty when it did."""

    def __str__(self) -> str:
        took = f"{self.sent} messages of {self.facts} facts" if self.sent else ""
        return f"{self.channel}: {'; '.join(part for part in (took, self.reason) if part) or 'nothing is due'}"


def send_waiting(outbox: Outbox, now: datetime, note: str = "") -> list[Outcome]:
    """Send what is due to every channel. A channel that fails keeps no other waiting, and none longer than SECONDS.

    `note` is the last line of every message. What cannot be sent now stays, and is tried again later.
    """
    found, deliveries = channels(), Deliveries(outbox)
    usable = [channel for channel in found if not channel.problem]
    if not outbox.file.exists():
        return []
    with deliveries.alone() as alone:
        if not alone:
            return [Outcome("alerts", 0, 0, "another process is sending")]
        deliveries.use([channel.name for channel in usable])
        attempts = [_Attempt(channel, deliveries, now, note) for channel in usable]
        deadline = monotonic() + SECONDS
        for attempt in attempts:
            attempt.start(deadline)
        unusable = [Outcome(channel.name, 0, 0, channel.problem) for channel in found if channel.problem]
        return [*(attempt.outcome(deadline) for attempt in attempts), *unusable]


class _Attempt:
    """The messages of one channel, sent by a thread that is left behind when it takes too long."""

    def __init__(self, channel: Channel, deliveries: Deliveries, now: datetime, note: str) -> None:
        self._channel, self._deliveries, self._now, self._note = channel, deliveries, now, note
        self._paused = deliveries.pause(channel.name, now)
        self._messages: Sequence[Message] = ()
        self._reason = ""
        self._sent: list[Message] = []
        self._thread: Thread | None = None

    def start(self, deadline: float) -> None:
        """Begin, unless the channel is left alone or there is nothing to say."""
        if self._paused:
            return
        limited = self._channel.file is None
        self._messages = self._deliveries.messages(self._channel.name, self._now, limited=limited)
        if self._messages:
            self._thread = Thread(target=self._send, args=(deadline,), daemon=True)
            self._thread.start()

    def _send(self, deadline: float) -> None:
        try:
            for message in self._messages:
                self._reason = "its sender broke; the log says how"
                self._reason = deliver(self._channel, message, self._note)
                if self._reason:
                    return
                # A message that is taken after the deadline was taken all the same.
                self._deliveries.sent(self._channel.name, message, self._now)
                self._sent.append(message)
                if monotonic() > deadline:
                    return
        except OSError as error:
            self._reason = str(error)

    def outcome(self, deadline: float) -> Outcome:
        """Wait for the end, or until the deadline."""
        reason = self._paused
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - monotonic()))
            reason = f"no answer within {SECONDS:g} s" if self._thread.is_alive() else self._reason
            if not reason and len(self._sent) < len(self._messages):
                reason = "it is slow, the rest follows"
            elif reason:
                self._deliveries.failed(self._channel.name, reason, self._now)
        sent = list(self._sent)
        return Outcome(self._channel.name, len(sent), sum(len(message.facts) for message in sent), reason)


def try_channels(now: datetime) -> list[Outcome]:
    """Send a marked test message to every channel, past outbox and limits; `reason` says why one did not arrive."""
    fact = Fact(Kind.TEST, "alerts test", "sent by sleevegraph alerts test", now)
    message = Message(f"test-{now:%Y%m%dT%H%M%S}", (Kept(1, fact),))
    found = channels()
    reasons = each(found, lambda channel: deliver(channel, message, ""), SECONDS)
    return [Outcome(c.name, int(not reason), int(not reason), reason) for c, reason in zip(found, reasons, strict=True)]


def each(found: Sequence[Channel], attempt: Callable[[Channel], str], seconds: float) -> list[str]:
    """Try something with every channel at once; return why each failed, in their order, or empty strings."""
    reasons = [channel.problem or f"no answer within {seconds:g} s" for channel in found]

    def run(place: int, channel: Channel) -> None:
        reasons[place] = attempt(channel)

    threads = [Thread(target=run, args=(n, c), daemon=True) for n, c in enumerate(found) if not c.problem]
    deadline = monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    return list(reasons)


def said(outcomes: Sequence[Outcome], waiting: int) -> str:
    """What came of it in one line, for a tick."""
    if not outcomes:
        return f"{waiting} facts wait; {ALERTS_VARIABLE} is not set, so nobody hears of them" if waiting else "no facts"
    return f"{'; '.join(map(str, outcomes))}; {waiting} facts wait"
