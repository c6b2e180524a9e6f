"""Where the recorded bars and reference answers are, and the mark for tests that need them."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"

needs_shared = pytest.mark.skipif(
    not (SHARED / "market" / "spot_daily.parquet").is_file(),
    reason="needs ../shared (recorded bars and reference answers), which is not on this machine",
)
