"""Settings of Binance from environment variables."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from resources.binance.rest import API_VARIABLE
from resources.binance.settings import BinanceSettings
from sleevegraph.errors import ConfigurationError

ARCHIVE_VARIABLE: Final = "SLEEVEGRAPH_BINANCE_ARCHIVE"
LISTING_VARIABLE: Final = "SLEEVEGRAPH_BINANCE_LISTING"
CONCURRENCY_VARIABLE: Final = "SLEEVEGRAPH_BINANCE_CONCURRENCY"
TIMEOUT_VARIABLE: Final = "SLEEVEGRAPH_BINANCE_TIMEOUT"

_MAX_CONCURRENCY: Final = 256
_MAX_TIMEOUT: Final = 3600.0


def settings_from(environ: Mapping[str, str]) -> BinanceSettings:
    """The defaults with what `environ` sets; ConfigurationError names the variable that cannot be used."""
    changed: dict[str, Any] = {}
    if ARCHIVE_VARIABLE in environ:
        changed["archive_url"] = _url(ARCHIVE_VARIABLE, environ[ARCHIVE_VARIABLE])
    if LISTING_VARIABLE in environ:
        changed["listing_url"] = _url(LISTING_VARIABLE, environ[LISTING_VARIABLE])
    if API_VARIABLE in environ:
        changed["api_urls"] = tuple(_url(API_VARIABLE, text) for text in environ[API_VARIABLE].split(","))
    if CONCURRENCY_VARIABLE in environ:
        changed["concurrency"] = _concurrency(environ[CONCURRENCY_VARIABLE])
    if TIMEOUT_VARIABLE in environ:
        changed["timeout_seconds"] = _timeout(environ[TIMEOUT_VARIABLE])
    return replace(BinanceSettings(), **changed)


def _url(variable: str, text: str) -> str:
    try:
        parts = urlsplit(text.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or any(character.isspace() for character in text.strip()):
        raise ConfigurationError(
            f"{variable}: expected an address such as https://api.binance.com, found {text.strip()[:80]!r}"
        )
    return text.strip().rstrip("/")


def _concurrency(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= _MAX_CONCURRENCY):
        raise ConfigurationError(
            f"{CONCURRENCY_VARIABLE}: expected a whole number from 1 to {_MAX_CONCURRENCY}, found {text[:40]!r}"
        )
    return int(text)


def _timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MAX_TIMEOUT:
        raise ConfigurationError(
            f"{TIMEOUT_VARIABLE}: expected seconds above 0 and up to {_MAX_TIMEOUT:g}, found {text[:40]!r}"
        )
    return seconds
