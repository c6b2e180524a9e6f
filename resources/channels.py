"""Where alerts go: the URLs of SLEEVEGRAPH_ALERTS, of which nothing secret is ever said.

apprise sends to Slack, e-mail and whatever else it knows; a plain http(s) URL gets the same JSON as a json(s) one; to a
file the facts are appended here.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from functools import cache
from hashlib import scrypt
from pathlib import Path
from threading import local
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from resources.deliveries import Message
from resources.trouble import without_secrets
from sleevegraph.alert_messages import record_of, worded
from sleevegraph.alerts import Kind

ALERTS_VARIABLE, PAGE_VARIABLE = "SLEEVEGRAPH_ALERTS", "SLEEVEGRAPH_UI"
PAGE = "http://127.0.0.1:3000"
CONNECT_SECONDS, READ_SECONDS = 3.0, 5.0
_WITH_HOST = {"http", "https", "json", "jsons", "mailto", "mailtos"}
"""What stands where a host does is none elsewhere: slack://token/token/token."""
_SIGNS = (
    ("refused", "the connection was refused"),
    ("timed out", "no answer in time"),
    ("Name or service not known", "the host's name is not known"),
    ("name resolution", "the host's name cannot be looked up"),
    ("certificate", "its certificate is not trusted"),
    ("Network is unreachable", "the network cannot be reached"),
    ("authenticat", "the user or password was not taken"),
)
"""What libraries say, and what it means; their own words may hold the URL."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One URL."""

    name: str
    """Scheme and host with a short digest of the rest: two channels of one host stay apart, and nothing is told."""
    service: Any = None
    """apprise's object, unless it is a file."""
    file: Path | None = None
    problem: str = ""
    """Why it cannot be used; empty when it can."""


def channels() -> list[Channel]:
    """Every URL that is set, in its order; one that is written twice is one."""
    urls = dict.fromkeys(os.environ.get(ALERTS_VARIABLE, "").split())
    return [_channel(url, position) for position, url in enumerate(urls, start=1)]


def page() -> str:
    """Address of Dagster's page, for links."""
    return os.environ.get(PAGE_VARIABLE, "") or PAGE


def deliver(channel: Channel, message: Message, note: str) -> str:
    """Send a message, and return why it did not arrive, or an empty string."""
    if channel.file is not None:
        return _append(channel.file, message)
    return _notify(channel.service, message, note)


@cache
def _digest(url: str) -> str:
    """24 bits, slowly found: too few and too slow to guess a password by."""
    return scrypt(url.encode(), salt=b"sleevegraph alerts", n=2**12, r=8, p=1, dklen=3).hex()


def _channel(url: str, position: int) -> Channel:
    try:
        parts = urlsplit(url)
        host = without_secrets(url) if parts.scheme in _WITH_HOST else f"{parts.scheme}:"
        _ = parts.port
    except ValueError:
        return Channel(f"URL {position}", problem="it cannot be read as a URL")
    if "://" not in url:
        return Channel(f"URL {position}", problem="it is no URL: no scheme and ://")
    if parts.scheme == "file":
        return _file_channel(parts, position)
    service = _service(url, parts)
    if service is None:
        known = "https:// or json:// of a webhook, slack://, mailto:// or file:///, or another that apprise knows"
        return Channel(f"URL {position}", problem=f"not a {parts.scheme} URL that can be sent to; expected {known}")
    return Channel(f"{host} ({_digest(url)})", service=service)


def _file_channel(parts: SplitResult, position: int) -> Channel:
    path = Path(unquote(parts.path))
    if parts.netloc or parts.query or parts.fragment or not path.name:
        return Channel(f"URL {position}", problem="expected file:///absolute/path/of/a/file and nothing more")
    return Channel(f"file://{path}", file=path)


def _service(url: str, parts: SplitResult) -> Any:
    """What sends to a URL, or None: as apprise reads it, else a webhook that takes JSON."""
    from apprise import Apprise, AppriseAsset, OverflowMode  # noqa: PLC0415 - takes a fifth of a second that only alerts need

    asset = AppriseAsset(
        app_id="Sleevegraph",
        storage_mode="memory",  # nothing is written outside the home
        pgp_autogen=False,
        pem_autogen=False,
        http_redirects=False,  # a POST that is redirected arrives as a GET
        service_timeout=0,  # the notifier has its own limit, in a thread that may be left behind
    )
    with _heard():
        service = Apprise.instantiate(url, asset=asset)
        if service is None and parts.scheme in {"http", "https"} and parts.hostname:
            service = Apprise.instantiate(_webhook(parts), asset=asset)
    if service is not None:
        service.overflow_mode = OverflowMode.TRUNCATE  # title and first facts arrive where a channel takes short texts
        service.socket_connect_timeout, service.socket_read_timeout = CONNECT_SECONDS, READ_SECONDS
    return service


def _webhook(parts: SplitResult) -> dict[str, Any]:
    return {
        "schema": "jsons" if parts.scheme == "https" else "json",
        "secure": parts.scheme == "https",
        "host": parts.hostname if ":" not in (parts.hostname or "") else f"[{parts.hostname}]",
        "port": parts.port,
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "fullpath": parts.path,
        "params": dict(parse_qsl(parts.query, keep_blank_values=True)),
    }


def _notify(service: Any, message: Message, note: str) -> str:
    from apprise import Apprise, NotifyFormat, NotifyType  # noqa: PLC0415 - see above

    text = worded(message.facts, number=message.number, base=page(), note=note)
    if hasattr(service, "payload_extras"):  # a webhook's program reads these
        service.payload_extras.update(id=message.number, count=len(message.facts), gates=message.groups)
    kind = NotifyType.INFO if all(kept.fact.kind is Kind.TEST for kept in message.facts) else NotifyType.FAILURE
    sender = Apprise()
    sender.add(service)
    with _heard() as lines:
        if sender.notify(body=text.body, title=text.title, notify_type=kind, body_format=NotifyFormat.TEXT):
            return ""
    heard = " ".join(lines)
    status = next((word.removeprefix("error=").rstrip(".") for word in heard.split() if word.startswith("error=")), "")
    meant = next((meaning for sign, meaning in _SIGNS if sign in heard), "")
    return meant or (f"it answered {status}" if status else "it did not take the message")


def _append(file: Path, message: Message) -> str:
    """Append a line for each fact, all of them or none."""
    lines = [record_of(kept, number=message.number, base=page()) for kept in message.facts]
    data = "".join(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n" for line in lines).encode()
    try:
        with file.open("a+b", buffering=0) as target:
            flock(target, LOCK_EX)
            end = target.seek(0, os.SEEK_END)
            if end:
                target.seek(end - 1)
                data = (
                    data if target.read(1) == b"\n" else b"\n" + data
                )  # a line that another program left half-written
            try:
                written = target.write(data)
                os.fsync(target.fileno())
            except OSError:
                target.truncate(end)
                raise
            if written != len(data):
                target.truncate(end)
                return "its disk took only a part, which was taken back"
    except OSError as error:
        return f"it cannot be written: {error.strerror}"
    return ""


class _Hears(logging.Filter):
    """Keeps what libraries log while they send, and lets none of it through: it holds URLs, and so secrets."""

    lines = local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop a record of a thread that sends."""
        kept = getattr(self.lines, "kept", None)
        if kept is None:
            return True
        kept.append(record.getMessage())
        return False


_HEARS = _Hears()
_TALKATIVE = (
    "apprise",
    "urllib3.connectionpool",
    "urllib3.util.retry",
    "requests",
    "requests_oauthlib",
    "charset_normalizer",
)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What this thread's libraries log while the block runs."""
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_HEARS)  # a filter is added once
    logging.getLogger("apprise").setLevel(logging.DEBUG)  # the reason of a failure is said there alone
    _HEARS.lines.kept = found = []
    try:
        yield found
    finally:
        _HEARS.lines.kept = None
