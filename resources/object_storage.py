"""Objects of an S3-compatible store: read, listed and replaced whole, each by one request that s3fs sends.

Nothing that s3fs remembers is used. What is kept here are contents by ETag: an object that still has it is the same.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from threading import Lock
from typing import Any, TypeVar

import s3fs
from botocore.exceptions import BotoCoreError
from fsspec.asyn import sync
from s3fs.core import S3_RETRYABLE_ERRORS
from upath import UPath

from resources.object_errors import refusal
from resources.places import Version

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 20, 4
"""Of one request: how long it may take to connect, or stay silent, and how often it is tried with growing pauses."""
THREADS = 16
PAGE = 1000
"""Objects that one request lists, at most."""
KEPT_BYTES = 2**27
"""Of contents that are at hand."""

A = TypeVar("A")
B = TypeVar("B")


class Contents:
    """The contents that were asked for last, by URL, each with its version."""

    def __init__(self, limit: int) -> None:
        """Hold nothing yet."""
        self._limit, self._size, self._lock = limit, 0, Lock()
        self._kept: OrderedDict[str, tuple[Version, bytes]] = OrderedDict()

    def get(self, url: str, version: Version) -> bytes | None:
        """What is at hand of a version."""
        with self._lock:
            found, content = self._kept.get(url, (None, b""))
            if found != version:
                return None
            self._kept.move_to_end(url)
            return content

    def keep(self, url: str, version: Version, content: bytes) -> None:
        """Have a content at hand; the oldest go when there is no room."""
        with self._lock:
            self._size += len(content) - len(self._kept.pop(url, ((), b""))[1])
            self._kept[url] = version, content
            while self._size > self._limit:
                _, (_, oldest) = self._kept.popitem(last=False)
                self._size -= len(oldest)


_CONTENTS = Contents(KEPT_BYTES)

Look = dict[str, dict[str, Version]]
"""Versions by name in a folder, by the folder's URL."""

_LOOK: ContextVar[Look | None] = ContextVar("look", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """Look at each folder once; within another look, it is that one."""
    token = _LOOK.set({}) if _LOOK.get() is None else None
    try:
        yield
    finally:
        if token is not None:
            _LOOK.reset(token)


def version(place: UPath) -> Version | None:
    """ETag and size of an object; None where there is none."""
    if _LOOK.get() is not None:
        return versions(place.parent).get(place.name)
    try:
        found = _request("head_object", place)
    except FileNotFoundError:
        return None
    return found["ETag"], found["ContentLength"]


def content(place: UPath, known: Version | None) -> tuple[Version, bytes]:
    """Bytes of an object, and their version; FileNotFoundError where there is none."""
    look, url = _LOOK.get(), str(place)
    if known is None and look is not None:
        known = versions(place.parent).get(place.name)
        if known is None:
            raise FileNotFoundError(url)
    kept = None if known is None else _CONTENTS.get(url, known)
    if known is not None and kept is not None:
        return known, kept
    try:
        found, read = _request("get_object", place)
    except FileNotFoundError:
        _seen(place, None)
        raise
    version = found["ETag"], len(read)
    _CONTENTS.keep(url, version, read)
    _seen(place, version)
    return version, read


def versions(folder: UPath) -> dict[str, Version]:
    """Versions of the objects directly in a folder, by name."""
    look, url = _LOOK.get(), str(folder)
    if look is not None and url in look:
        return look[url]
    found = {name: version for (*above, name), version in _listed(folder, "/") if not above}
    if look is not None:
        look[url] = found
    return found


def below(folder: UPath) -> list[tuple[str, ...]]:
    """Every object below a folder, by its parts."""
    return [parts for parts, _ in _listed(folder, "")]


def put(place: UPath, content: bytes) -> None:
    """Make or replace an object: whoever reads sees the old one or the new one."""
    found = _request("put_object", place, Body=content)
    version = found["ETag"], len(content)
    _CONTENTS.keep(str(place), version, content)
    _seen(place, version)


def remove(place: UPath) -> None:
    """Delete an object that may be there."""
    _request("delete_object", place)
    _seen(place, None)


def for_each(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Results in order, of several threads that share the look."""
    with ThreadPoolExecutor(THREADS) as pool:
        pending = [pool.submit(copy_context().run, function, item) for item in items]
        for future in pending:
            yield future.result()


def _seen(place: UPath, version: Version | None) -> None:
    """Keep a look right about what was just read or written."""
    folder = (_LOOK.get() or {}).get(str(place.parent))
    if folder is None:
        return
    folder.pop(place.name, None)
    if version is not None:
        folder[place.name] = version


def _listed(folder: UPath, delimiter: str) -> Iterator[tuple[tuple[str, ...], Version]]:
    """Parts below a folder and version of its objects, page by page."""
    begin = f"{folder.path.partition('/')[2].rstrip('/')}/".lstrip("/")
    more: dict[str, str] = {}
    while True:
        page = _request("list_objects_v2", folder, Prefix=begin, Delimiter=delimiter, MaxKeys=PAGE, **more)
        for found in page.get("Contents", ()):
            yield tuple(found["Key"][len(begin) :].split("/")), (found["ETag"], found["Size"])
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _request(operation: str, place: UPath, **more: Any) -> Any:
    """Answer of the store; FileNotFoundError where there is no object, UnreachableLakeError for everything else."""
    bucket, _, key = place.path.partition("/")
    named = more if operation == "list_objects_v2" else {"Key": key, **more}
    try:
        return request(_filesystem(os.getpid(), _settings()), operation, Bucket=bucket, **named)
    except (OSError, BotoCoreError, *S3_RETRYABLE_ERRORS) as error:
        if (
            isinstance(error, FileNotFoundError)
            and operation in {"head_object", "get_object"}
            and not _no_bucket(error)
        ):
            raise
        raise refusal(operation, str(place), error) from error


def request(filesystem: s3fs.S3FileSystem, operation: str, attempts: int = ATTEMPTS, **named: Any) -> Any:
    """Send one request and wait for the answer; of an object also its bytes, whose way here may break off as well."""
    for left in reversed(range(attempts)):
        answer = filesystem.call_s3(operation, **named)
        if operation != "get_object":
            return answer
        try:
            return answer, sync(filesystem.loop, answer["Body"].read)
        except (OSError, BotoCoreError, *S3_RETRYABLE_ERRORS):
            if not left:
                raise
        finally:
            answer["Body"].close()
    return None


def _no_bucket(error: OSError) -> bool:
    """Of a missing object the store says another word than of a missing bucket, except to a question without a body."""
    answer = getattr(error.__cause__, "response", {})
    return answer.get("Error", {}).get("Code") == "NoSuchBucket"


def _settings() -> tuple[tuple[str, str], ...]:
    """Where the store is and who asks, as the environment has it now."""
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))


@cache
def _filesystem(process: int, settings: tuple[tuple[str, str], ...]) -> s3fs.S3FileSystem:
    """One for each process, since sockets and threads do not survive a fork, and for each store."""
    del process, settings
    return connected(CONNECT_SECONDS, READ_SECONDS, ATTEMPTS)


def connected(connect: float, read: float, attempts: int) -> s3fs.S3FileSystem:
    """Make a filesystem with the credentials and the endpoint of the environment; nothing is sent yet."""
    filesystem = s3fs.S3FileSystem(
        use_listings_cache=False,
        skip_instance_cache=True,
        config_kwargs={
            "connect_timeout": connect,
            "read_timeout": read,
            "retries": {"mode": "standard", "total_max_attempts": attempts},
            "max_pool_connections": THREADS,
        },
    )
    filesystem.retries = 1  # botocore's own are enough
    return filesystem
