"""Exact quantities: rationals to compute with, decimals to store."""

from decimal import Decimal
from fractions import Fraction
from typing import Final

import polars as pl

from sleevegraph.errors import ConfigurationError

PLACES: Final = 18
"""Decimals that are stored; no exchange has more."""
DIGITS: Final = 20
"""Digits before the point."""
QUANTITY: Final = pl.Decimal(DIGITS + PLACES, PLACES)


def exact(value: float) -> Fraction:
    """The shortest decimal that reads back as this float: 0.1 is a tenth, as the exchange wrote it."""
    return Fraction(repr(float(value)))


def stored(quantity: Fraction) -> Decimal:
    """As a decimal that `QUANTITY` holds, rounded to its places; ConfigurationError when it is too large."""
    units = round(quantity * 10**PLACES)
    if abs(units) >= 10 ** (DIGITS + PLACES):
        raise ConfigurationError(
            f"equity: expected quantities below 1e{DIGITS}, found {float(quantity):.3g}; use a smaller equity"
        )
    return Decimal(f"{units}E-{PLACES}")


def written(quantity: Decimal) -> str:
    """Plain digits, as an exchange takes them: no exponent, no zeros at the end."""
    text = f"{quantity:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def whole_steps(quantity: Fraction, step: Fraction) -> Fraction:
    """The largest multiple of `step` that is not above `quantity`."""
    return (quantity // step) * step
