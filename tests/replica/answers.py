"""What a request is about, and the answers that do not depend on it."""

from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.replica.web import Answer

RESTRICTED = (
    "Service unavailable from a restricted location according to 'b. Eligibility' in "
    "https://www.binance.com/en/terms. Please contact customer service if you believe you received this message in error."
)
NOT_FOUND = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>{}</Key>"
    "<RequestId>5QJ5D1Z6N0R2Q7CV</RequestId><HostId>cmVwbGljYQ==</HostId></Error>"
)


def not_found(key: str) -> Answer:
    """As S3 says it."""
    return Answer(NOT_FOUND.format(escape(key)).encode(), 404)


def asked(role: str, target: str) -> tuple[str, str, dict[str, str]]:
    """Kind of request, the name by which it is counted and broken, and its query."""
    if role == "archive":
        key = unquote(target.partition("?")[0].removeprefix("/"))
        return "checksum" if key.endswith(".CHECKSUM") else "zip", key, {}
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if role == "listing":
        return "listing", query.get("prefix", ""), query
    kind = parts.path.removeprefix("/api/v3/")
    return kind, f"{kind}/{query['symbol']}" if "symbol" in query else kind, query


def failure(fault: str) -> Answer | None:
    """The whole answer of a fault that has one of its own."""
    if fault in {"timeout", "reset"}:
        return Answer()
    if fault in {"500", "503"}:
        return Answer(
            b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>", int(fault)
        )
    return (
        Answer(b'{"code":-1003,"msg":"Too many requests."}', 429, headers={"Retry-After": "1"})
        if fault == "429"
        else None
    )


def cut(fault: str) -> str:
    return fault if fault in {"timeout", "reset", "truncated"} else ""
