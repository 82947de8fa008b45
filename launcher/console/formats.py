"""Formats numbers, times and states for the pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def count(number: float | None) -> str:
    """Return 12345 as ``12,345``."""
    return "–" if number is None else f"{number:,.0f}"  # noqa: RUF001


def rate(number: float | None) -> str:
    """Return a speed per second with two significant digits."""
    if number is None:
        return "–"  # noqa: RUF001
    return f"{number:,.0f}/s" if number >= 10 or number == 0 else f"{number:.1f}/s"


def size(number: float | None) -> str:
    """Return bytes in a suitable unit."""
    if number is None:
        return "–"  # noqa: RUF001
    value = float(number)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def duration(seconds: float | None) -> str:
    """Return seconds as ``42 s``, ``3 min 5 s``, ``2 h 10 min`` or ``3 d 4 h``."""
    if seconds is None:
        return "–"  # noqa: RUF001
    whole = max(0, round(seconds))
    for above, unit, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= above:
            return f"{whole // above} {unit} {whole % above // below} {small}"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole} s"


def age(time: str) -> str:
    """Return how long ago an RFC 3339 time was."""
    return duration((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds())


def clock(time: str) -> str:
    """Return the time of day of an RFC 3339 time, in UTC."""
    return datetime.fromisoformat(time).strftime("%H:%M:%S")


def moment(time: str) -> str:
    """Return an RFC 3339 time to the second, in UTC."""
    return datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M:%S UTC")


def state(name: str) -> str:
    """Return ``JOB_STATE_DONE`` as ``Done``."""
    return name.removeprefix("JOB_STATE_").replace("_", " ").capitalize()


def state_class(name: str) -> str:
    """Return the state's style, one of five."""
    return _LOOKS.get(name.removeprefix("JOB_STATE_"), "waiting")


_LOOKS = {
    "RUNNING": "running",
    "DRAINING": "running",
    "DONE": "good",
    "DRAINED": "good",
    "UPDATED": "good",
    "FAILED": "bad",
    "CANCELLED": "ended",
    "CANCELLING": "ended",
}


def importance(name: str) -> str:
    """Return ``JOB_MESSAGE_ERROR`` as ``error``."""
    return name.removeprefix("JOB_MESSAGE_").lower()


FILTERS: Mapping[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        *(count, rate, size, duration, age, clock, moment, state, state_class, importance),
    )
}
