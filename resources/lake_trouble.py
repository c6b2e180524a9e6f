"""Whether the object store that SLEEVEGRAPH_LAKE names does what is asked of it, tried for real."""

import os
from typing import Any
from uuid import uuid4

from resources.home import LAKE_VARIABLE, lake_url, place_at
from resources.trouble import Trouble
from sleevegraph.errors import ConfigurationError

CONNECT_SECONDS, READ_SECONDS = 3, 4
_STILL = (
    "partitions, verdicts and bundles can be neither read nor written until then; "
    "what needs no lake works: profiles, engines, and verify of bundles on a disk"
)


def lake_trouble() -> list[Trouble]:
    """List the prefix, and write, read, list and delete a small object under the prefix; stop at what fails first."""
    given = os.environ.get(LAKE_VARIABLE, "")
    if not given:
        return []
    try:
        url = lake_url(given)
        place_at(url)
    except ConfigurationError as error:
        return [Trouble(LAKE_VARIABLE, "to make sense of it", str(error).removeprefix(f"{LAKE_VARIABLE}: "), _STILL)]
    return _tried(url)


def _tried(url: str) -> list[Trouble]:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - needs the extra s3

    from resources import object_storage  # noqa: PLC0415 - needs the extra s3
    from resources.object_errors import found, tried  # noqa: PLC0415 - imports the module that imports this one

    store = object_storage.connected(CONNECT_SECONDS, READ_SECONDS, 1)
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    key, content = f"{prefix}/.probe-{uuid4().hex}".lstrip("/"), b"sleevegraph"
    steps: list[tuple[str, dict[str, Any]]] = [
        ("list_objects_v2", {"Prefix": prefix, "MaxKeys": 1}),
        ("put_object", {"Key": key, "Body": content}),
        ("get_object", {"Key": key}),
        ("list_objects_v2", {"Prefix": key}),
        ("delete_object", {"Key": key}),
    ]
    for operation, named in steps:
        where = url if "MaxKeys" in named else f"s3://{bucket}/{key}"
        try:
            answer = object_storage.request(store, operation, attempts=1, Bucket=bucket, **named)
        except (OSError, BotoCoreError, *object_storage.S3_RETRYABLE_ERRORS) as error:
            return [Trouble(LAKE_VARIABLE, tried(operation, where), found(error), _STILL)]
        if operation == "get_object" and answer[1] != content:
            return [Trouble(LAKE_VARIABLE, tried(operation, where), "other bytes than were written", _STILL)]
        if named == {"Prefix": key} and [one["Key"] for one in answer.get("Contents", ())] != [key]:
            return [Trouble(LAKE_VARIABLE, tried(operation, where), "no trace of what was just written", _STILL)]
    return []
