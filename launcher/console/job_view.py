"""A job's figures: rows, speed, progress, and series for charts, from samples and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

TERMINAL = frozenset(
    f"JOB_STATE_{name}" for name in ("DONE", "FAILED", "CANCELLED", "DRAINED", "UPDATED")
)
_WINDOW_SEC = 10.0
_MOST_POINTS = 150
_SHORTEST_STEP_SEC = 2.0
_MIB = 1 << 20

Sample = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A job's progress.

    Attributes:
        rows: predicted or dead-lettered; for a job that is not the kit's, the elements of its
            largest collection; None while nothing is known.
        is_kit: whether the job counts rows as the kit's templates do.
        speed: rows per second: the recent speed while it runs; after it has ended, the mean from
            the first count to the last.
    """

    rows: int | None = None
    is_kit: bool = False
    rows_read: int = 0
    predictions: int = 0
    dead_letters: int = 0
    speed: float | None = None


def read_figures(samples: Sequence[Sample], *, has_ended: bool, now: float) -> Figures:
    """Return a job's figures from its samples, oldest first."""
    counted = [sample for sample in samples if "elements" in sample]
    if not counted:
        return Figures()
    last = counted[-1]
    counters: Mapping[str, int] = last["counters"]
    figures = {
        name: int(counters.get(name, 0)) for name in ("rows_read", "predictions", "dead_letters")
    }
    rows = _count_rows(last)
    if has_ended:
        elapsed = last["time"] - counted[0]["time"]
        speed = rows / elapsed if elapsed > 0 else None
    else:
        recent = [sample for sample in counted if sample["time"] >= now - _WINDOW_SEC]
        span = recent[-1]["time"] - recent[0]["time"] if recent else 0
        grown = _count_rows(recent[-1]) - _count_rows(recent[0]) if recent else 0
        speed = max(0.0, grown / span) if span else 0.0
    return Figures(rows=rows, is_kit="rows_read" in counters, speed=speed, **figures)


def _count_rows(sample: Sample) -> int:
    counters = sample["counters"]
    if "rows_read" in counters:
        return int(counters.get("predictions", 0)) + int(counters.get("dead_letters", 0))
    return max(sample["elements"].values(), default=0)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The completed share of the known work, and the time for the rest at this pace."""

    done: int
    total: int
    unit: str
    left_sec: float | None


def find_progress(spread: Sequence[tuple[str, str]], samples: Sequence[Sample]) -> Progress | None:
    """Return the progress of a batch job, or None if it is not known yet.

    The kit's template counts the rows that it finds before it reads them. For other jobs, progress
    is known at steps that distribute work to the workers: as many elements must come out as go in.
    The last such step that has input counts.

    Args:
        spread: the collections that go into each such step and come out of it, in their order.
    """
    counted = [sample for sample in samples if sample.get("elements")]
    if not counted:
        return None
    last = counted[-1]
    counters = last.get("counters") or {}
    found = int(counters.get("rows_found", 0))
    if found and not counters.get("uncounted_files"):
        done = min(_count_rows(last), found)
        speed = read_figures(samples, has_ended=False, now=last["time"]).speed
        left = (found - done) / speed if speed else None
        return Progress(done=done, total=found, unit="rows", left_sec=left)
    for before, after in reversed(spread):
        total = last["elements"].get(before, 0)
        done = min(last["elements"].get(after, 0), total)
        if not total:
            continue
        start = next((each for each in counted if each["elements"].get(before, 0)), last)
        elapsed = last["time"] - start["time"]
        left = elapsed * (total - done) / done if done and elapsed > 0 else None
        return Progress(done=done, total=total, unit="parts", left_sec=left)
    return None


def build_series(samples: Sequence[Sample]) -> dict[str, list[Any]]:
    """Return what the charts show: seconds since the epoch, and a list for each line.

    Speeds and latencies are means between two points. A line without any value is left out.
    """
    points = _thin_out(samples)
    lines: dict[str, list[Any]] = {
        "time": [point["time"] for point in points],
        "rows": [],
        "elements": [],
        "dead_letters": [],
        "latency_ms": [],
        "cores": [],
        "memory_mib": [],
    }
    is_kit = any("rows_read" in (point.get("counters") or {}) for point in points)
    before: Sample | None = None
    for point in points:
        counters = point.get("counters") or {}
        speed = _find_speed(before, point)
        lines["rows"].append(speed if is_kit else None)
        lines["elements"].append(None if is_kit else speed)
        lines["dead_letters"].append(counters.get("dead_letters"))
        lines["latency_ms"].append(_find_latency(before, point))
        lines["cores"].append(point.get("cores"))
        memory = point.get("memoryBytes")
        lines["memory_mib"].append(None if memory is None else round(memory / _MIB, 1))
        before = point
    return {
        name: line
        for name, line in lines.items()
        if name == "time" or any(value is not None for value in line)
    }


def _thin_out(samples: Sequence[Sample]) -> list[Sample]:
    if not samples:
        return []
    span = samples[-1]["time"] - samples[0]["time"]
    step = max(_SHORTEST_STEP_SEC, span / _MOST_POINTS)
    kept: list[Sample] = []
    for sample in samples:
        if kept and sample["time"] - kept[-1]["time"] < step:
            continue
        kept.append(sample)
    if kept[-1] is not samples[-1]:
        kept.append(samples[-1])
    return kept


def _find_speed(before: Sample | None, point: Sample) -> float | None:
    if before is None or "elements" not in before or "elements" not in point:
        return None
    elapsed = point["time"] - before["time"]
    grown = _count_rows(point) - _count_rows(before)
    return round(max(0, grown) / elapsed, 2) if elapsed > 0 else None


def _find_latency(before: Sample | None, point: Sample) -> float | None:
    latest = (point.get("distributions") or {}).get("latency_ms")
    earlier = ((before or {}).get("distributions") or {}).get("latency_ms")
    if latest is None:
        return None
    earlier = earlier or {"count": 0, "sum": 0}
    count = latest["count"] - earlier["count"]
    return round((latest["sum"] - earlier["sum"]) / count, 1) if count > 0 else None


def find_edge_speeds(samples: Sequence[Sample], now: float) -> dict[str, float]:
    """Return how many elements a second each collection received recently."""
    recent = [
        sample
        for sample in samples
        if sample.get("elements") and sample["time"] >= now - _WINDOW_SEC
    ]
    if len(recent) < 2:
        return {}
    first, last = recent[0], recent[-1]
    elapsed = last["time"] - first["time"]
    if elapsed <= 0:
        return {}
    return {
        name: max(0, count - first["elements"].get(name, 0)) / elapsed
        for name, count in last["elements"].items()
    }


def read_seconds(job: Mapping[str, Any]) -> float:
    """Return a job's run time so far, or in total."""
    begun = datetime.fromisoformat(job["createTime"])
    ended = (
        datetime.fromisoformat(job["currentStateTime"])
        if job["currentState"] in TERMINAL
        else datetime.now(UTC)
    )
    return max(0.0, (ended - begun).total_seconds())
