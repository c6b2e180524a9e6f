"""Whether the channels of alerts answer, found out without sending anything."""

import os
import smtplib
import socket
from pathlib import Path

import httpx

from resources.channels import ALERTS_VARIABLE, Channel, channels
from resources.notifier import each
from resources.trouble import Trouble

SECONDS = 3.0
STILL = "everything else works: facts are kept in the outbox, and sent once it does"


def alerts_trouble() -> list[Trouble]:
    """URLs of SLEEVEGRAPH_ALERTS that are none, hosts that refuse or hang, and files that cannot be written."""
    found = channels()
    reasons = each(found, _deaf, 3 * SECONDS)
    return [
        Trouble(ALERTS_VARIABLE, f"{'to read' if c.problem else 'to reach'} {c.name}", f"{reason}; correct it", STILL)
        for c, reason in zip(found, reasons, strict=True)
        if reason
    ]


def _deaf(channel: Channel) -> str:
    """Why a channel does not answer, or an empty string; of one whose host only apprise knows, nothing is said."""
    service = channel.service
    if channel.file is not None:
        return _unwritable(channel.file)
    if hasattr(service, "smtp_host"):
        return _greeting(service.smtp_host, service.port, secure=service.secure_mode == "ssl")
    if hasattr(service, "payload_extras"):
        scheme = "https" if service.secure else "http"
        return _answer(f"{scheme}://{service.host}{f':{service.port}' if service.port else ''}/")
    webhook = getattr(service, "webhook_url", "")
    return _answer("/".join([*webhook.split("/")[:3], ""])) if webhook else ""


def _unwritable(file: Path) -> str:
    target = file if file.exists() else file.parent
    if not target.exists():
        return f"no folder at {target}"
    return "" if os.access(target, os.W_OK) and not file.is_dir() else f"no file that can be written at {file}"


def _answer(root: str) -> str:
    """Any answer is one, whatever it says; the root of a host is asked, so that no webhook hears of it."""
    try:
        httpx.options(root, timeout=SECONDS)
    except httpx.TimeoutException:
        return f"no answer within {SECONDS:g} s"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # the last of a host that no name can be
        return str(error) or type(error).__name__
    return ""


def _greeting(host: str, port: int, *, secure: bool) -> str:
    """A mail server speaks first, unless it waits for TLS."""
    try:
        if secure:
            socket.create_connection((host, port), timeout=SECONDS).close()
        else:
            with smtplib.SMTP(host, port, timeout=SECONDS):
                pass
    except TimeoutError:
        return f"no answer within {SECONDS:g} s"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", "") or str(error)
    return ""
