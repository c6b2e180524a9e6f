"""What must not be said: values of the environment that are secrets, and the secret parts of URLs there."""

import os
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

_URLS = ("SLEEVEGRAPH_POSTGRES_URL", "SLEEVEGRAPH_BROKER", "SLEEVEGRAPH_RESULTS", "SLEEVEGRAPH_ALERTS")
"""Variables of URLs, separated by white space, whose userinfo is secret; of alerts, the path and the query as well."""
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD")
SHORTEST, LONGEST_WORD = 6, 20
"""Characters: a shorter part of a URL, or one of so many letters alone, is a word that stands elsewhere, too."""


def secrets_of_environment() -> list[str]:
    """Every secret that is known here, the longest first, as it may stand in a text."""
    found = {value for name in _SECRETS if (value := os.environ.get(name, ""))}
    for name in _URLS:
        for url in os.environ.get(name, "").split():
            found.update(_parts(url, whole=name == "SLEEVEGRAPH_ALERTS"))
    return sorted(found, key=lambda secret: (-len(secret), secret))


def _parts(url: str, *, whole: bool) -> Iterator[str]:
    """Of one URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        yield url
        return
    yield from (text for text in {parts.password or "", unquote(parts.password or "")} if text)
    if not whole or parts.scheme == "file":
        return
    pieces = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query)), parts.fragment]
    if parts.scheme not in {"http", "https", "json", "jsons", "mailto", "mailtos"}:
        pieces += parts.netloc.split("@")  # slack://token/token/token: the host is none
    yield from (piece for text in pieces for piece in {text, unquote(text)} if not _is_word(piece))


def _is_word(piece: str) -> bool:
    return len(piece) < SHORTEST or (piece.isalpha() and len(piece) <= LONGEST_WORD)
