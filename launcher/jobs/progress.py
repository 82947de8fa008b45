"""The progress of a job of the kit's templates, from its counters."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from launcher.jobs.records import Metric, RowCounts

_NAMESPACE = "flexpack"
_REASONS = "flexpack.dead_letters"
_WINDOW_SEC = 20.0


@dataclass(frozen=True, kw_only=True)
class JobProgress:
    """What a job has done so far, including work that may be repeated.

    Attributes:
        rows_found: rows of the input that were found before they are read; grows while files are
        split.
        uncounted_files: files whose rows are not included.
        reasons: dead letters by the type of their error.
        latencies, latency_sum_ms, latency_max_ms: of a stream's replies, from the publishing of
            the message on.
    """

    counts: RowCounts = field(default_factory=RowCounts)
    rows_found: int = 0
    uncounted_files: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    latencies: int = 0
    latency_sum_ms: int = 0
    latency_max_ms: int = 0

    @classmethod
    def from_metrics(cls, metrics: Iterable[Metric]) -> JobProgress:
        """Return the progress that these metrics show."""
        values: dict[tuple[str, str, str], Metric] = {}
        for metric in metrics:
            context = metric.name.context
            key = (context.get("namespace", ""), metric.name.name, context.get("step", ""))
            if key not in values or metric.is_tentative:
                values[key] = metric
        totals: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        latency: dict[str, Any] = {}
        for (namespace, name, _), metric in values.items():
            if namespace == _REASONS and metric.scalar is not None:
                reasons[name] += int(metric.scalar)
            elif namespace == _NAMESPACE and metric.scalar is not None:
                totals[name] += int(metric.scalar)
            elif (namespace, name) == (_NAMESPACE, "latency_ms") and metric.distribution:
                latency = metric.distribution
        return cls(
            counts=RowCounts(
                rows_read=totals["rows_read"],
                predictions=totals["predictions"],
                dead_letters=totals["dead_letters"],
            ),
            rows_found=totals["rows_found"],
            uncounted_files=totals["uncounted_files"],
            reasons={name: count for name, count in reasons.most_common() if count},
            latencies=int(latency.get("count", 0)),
            latency_sum_ms=int(latency.get("sum", 0)),
            latency_max_ms=int(latency.get("max", 0)),
        )

    @property
    def done(self) -> int:
        """Rows that were predicted or became dead letters."""
        return self.counts.predictions + self.counts.dead_letters

    @property
    def is_splitting(self) -> bool:
        """Whether the input is still being scanned and no row is predicted yet."""
        return self.rows_found > 0 and not self.counts.predictions

    @property
    def total(self) -> int | None:
        """All rows of the input; None if that is unknown, or not yet known.

        No row is read before all files are split.
        """
        if self.uncounted_files or not self.rows_found or not self.counts.predictions:
            return None
        return max(self.rows_found, self.done)


class Speed:
    """Rows per second, and the latency, over the last twenty seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, JobProgress]] = deque()

    def add(self, now: float, progress: JobProgress) -> None:
        """Record the progress at a time, in seconds."""
        if not progress.done:
            # The speed counts from the first rows, not from the scan before them.
            self._samples.clear()
        self._samples.append((now, progress))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _WINDOW_SEC:
            self._samples.popleft()

    @property
    def rows_per_sec(self) -> float:
        if len(self._samples) < 2:
            return 0.0
        (then, first), (now, last) = self._samples[0], self._samples[-1]
        return max(0.0, (last.done - first.done) / (now - then)) if now > then else 0.0

    @property
    def latency_ms(self) -> float | None:
        """The mean; None without replies."""
        if len(self._samples) < 2:
            return None
        first, last = self._samples[0][1], self._samples[-1][1]
        replies = last.latencies - first.latencies
        return (last.latency_sum_ms - first.latency_sum_ms) / replies if replies > 0 else None
