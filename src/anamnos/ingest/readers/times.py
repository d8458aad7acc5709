"""The ways in which sources write a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from anamnos.cube import check_time
from anamnos.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIX = re.compile(r"[0-9]{9,14}(?:\.[0-9]+)?\Z")
_SPACE_BEFORE_ZONE = re.compile(r" (?=[+-][0-9]{2}:?[0-9]{2}\Z)")
# 1e11 seconds are the year 5138, 1e11 milliseconds are 1973: nothing real lies on the wrong side.
_MILLISECONDS_FROM = 1e11
_HINT = "Use ISO 8601 (2024-05-01T18:20:00Z) or seconds or milliseconds since 1970."


def parse_time(value: object, where: str) -> datetime:
    """Return a time in UTC from ISO 8601 text, from seconds or milliseconds since 1970, or from a datetime.

    Text without a zone is UTC; a datetime without one is refused, as everywhere in this library.
    Raises: InvalidInput naming ``where``.

    >>> parse_time("2024-05-01T18:20:00+02:00", "message 1").isoformat()
    '2024-05-01T16:20:00+00:00'
    """
    if isinstance(value, datetime):
        return check_time(f"The time of {where}", value)
    if isinstance(value, str) and _UNIX.match(value.strip()):
        value = float(value)
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(_SPACE_BEFORE_ZONE.sub("", value.strip()))
        except ValueError as exc:
            raise InvalidInput(f"The time of {where} is not ISO 8601: {value!r}.", hint=_HINT) from exc
        return check_time(f"The time of {where}", parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise InvalidInput(f"The time of {where} must be text or a number, got {value!r}.", hint=_HINT)
    try:
        in_ms = abs(value) >= _MILLISECONDS_FROM
        return _EPOCH + (timedelta(milliseconds=value) if in_ms else timedelta(seconds=value))
    except OverflowError as exc:
        raise InvalidInput(f"The time of {where} is outside the years 1 to 9999.", hint=_HINT) from exc


def utc_time(where: str, year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    """Return this time in UTC. Raises: InvalidInput naming ``where`` if the calendar has no such time."""
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as exc:
        raise InvalidInput(f"The time of {where} does not exist: {exc}.") from exc
