"""Rebalance dates: an exact grid of `STEP_DAYS` days, in UTC."""

from datetime import date, timedelta

from sleevegraph.errors import ConfigurationError

STEP_DAYS = 10
START = date(2020, 1, 1)
HORIZON = date(2029, 1, 1)
"""First day that is not covered; raising it keeps history. Keep it near: it costs serialisation."""

ANNUAL_DAYS = 365


def on_grid(day: date) -> bool:
    """Whether `day` is a rebalance date."""
    return START <= day < HORIZON and (day - START).days % STEP_DAYS == 0


def grid_dates(first: date, last: date) -> list[date]:
    """Every rebalance date in [first, last], ascending."""
    offset = -(-max((first - START).days, 0) // STEP_DAYS) * STEP_DAYS
    days: list[date] = []
    day = START + timedelta(days=offset)
    while day <= last and day < HORIZON:
        days.append(day)
        day += timedelta(days=STEP_DAYS)
    return days


def require_on_grid(day: date, what: str) -> date:
    """Return `day`, or raise ConfigurationError naming `what` and the nearest rebalance dates."""
    if on_grid(day):
        return day
    if not START <= day < HORIZON:
        raise ConfigurationError(f"{what}: expected a rebalance date in [{START}, {HORIZON}), found {day}")
    before = START + timedelta(days=(day - START).days // STEP_DAYS * STEP_DAYS)
    after = before + timedelta(days=STEP_DAYS)
    raise ConfigurationError(
        f"{what}: expected a date on the {STEP_DAYS}-day grid from {START}, found {day}; nearest are {before} and {after}"
    )


def previous(day: date) -> date:
    """The rebalance date before `day`."""
    return day - timedelta(days=STEP_DAYS)
