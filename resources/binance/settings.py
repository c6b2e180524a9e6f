"""Which hosts of Binance are asked, and how patiently."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BinanceSettings:
    """Hosts in the order in which they are tried, and limits of every transfer."""

    archive_url: str = "https://data.binance.vision"
    listing_url: str = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"
    api_urls: tuple[str, ...] = ("https://api.binance.com", "https://data-api.binance.vision", "https://api.binance.us")
    """A later one is asked where an earlier one is restricted; a single one is pinned."""
    concurrency: int = 24
    timeout_seconds: float = 20.0
    attempts: int = 8
    backoff_seconds: float = 0.5
    backoff_cap_seconds: float = 30.0
    patience_seconds: float = 300.0
    """A Retry-After beyond it is an error that says until when."""
