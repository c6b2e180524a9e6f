"""What an object store's refusal means, in one line: what was tried where, what was found, and what to do."""

import os
from typing import Any

from resources.home import LAKE_VARIABLE
from resources.places import UnreachableLakeError
from resources.trouble import without_secrets

_WORDS = {
    "head_object": "to look at",
    "get_object": "to read",
    "put_object": "to write",
    "delete_object": "to delete",
    "list_objects_v2": "to list",
}
_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or role that AWS's clients find"
_RENEW = "renew the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) and run this again"
_WRONG = "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_UNTOLD = "correct or renew the credentials (AWS_...), or allow them to list, read, write and delete there"
_LATER = "nothing that was there is changed; run this again"
_ADVICE = {
    "NoSuchBucket": f"make the bucket, or correct {LAKE_VARIABLE}",
    "InvalidBucketName": f"correct {LAKE_VARIABLE}",
    "PermanentRedirect": "set AWS_DEFAULT_REGION to the region of the bucket",
    "ExpiredToken": _RENEW,
    "ExpiredTokenException": _RENEW,
    "RequestExpired": _RENEW,
    "TokenRefreshRequired": _RENEW,
    "InvalidToken": _RENEW,
    "InvalidAccessKeyId": _WRONG,
    "SignatureDoesNotMatch": _WRONG,
    "AccessDenied": "allow these credentials to list, read, write and delete there",
    "400": _UNTOLD,
    "403": _UNTOLD,
    "404": f"make the bucket, or correct {LAKE_VARIABLE}",
    "RequestTimeTooSkewed": "set this machine's clock",
    "NoCredentialsError": _CREDENTIALS,
    "PartialCredentialsError": _CREDENTIALS,
    "NoRegionError": "set AWS_DEFAULT_REGION",
    "EndpointConnectionError": "start the store, or correct AWS_ENDPOINT_URL",
    "ConnectTimeoutError": "start the store, or correct AWS_ENDPOINT_URL",
}


def endpoint() -> str:
    """Where requests go, without secrets."""
    url = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    return without_secrets(url) if url else "AWS"


def refusal(operation: str, url: str, error: Exception) -> UnreachableLakeError:
    """The error to raise for one that a request ended in."""
    return UnreachableLakeError(f"{LAKE_VARIABLE}: tried {tried(operation, url)}, found {found(error)}")


def tried(operation: str, url: str) -> str:
    """What was done, against which address."""
    return f"{_WORDS[operation]} {url} at {endpoint()}"


def found(error: Exception) -> str:
    """What came of it, and what to do."""
    answer: dict[str, Any] = getattr(error.__cause__, "response", {}).get("Error", {})
    code = str(answer.get("Code", "")) or type(error).__name__
    told = " ".join(str(answer.get("Message", "")).split())
    advice = _ADVICE.get(code, _LATER)
    return f"{code}{f' ({told})' if told else ''}; {advice}"
