"""Which hosts serve another market under the same names."""

import re
from typing import Final

FOREIGN_HOSTS: Final = r"(^|[./])binance\.us(:|/|$)"
"""Binance.US is an exchange of its own, with prices and symbols of its own."""


def is_foreign(host: str) -> bool:
    """Whether the bars and symbols of `host` are those of another exchange than Binance."""
    return re.search(FOREIGN_HOSTS, host) is not None
