"""The history of jobs: samples of their counters and their processes' usage.

Google keeps these samples in Cloud Monitoring. They are in one SQLite file next to the job store's;
a job that runs for a long time keeps a few hundred samples, the older ones further apart.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

_MOST_SAMPLES = 600
_LAST_SAMPLES = 8
_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
    seq INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL,
    sample BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS samples_of_job ON samples (job_id, seq);
"""

_ENDS = f"""
SELECT seq, sample FROM (
    SELECT seq, sample FROM samples WHERE job_id = ?1
    AND json_extract(CAST(sample AS TEXT), '$.elements') IS NOT NULL ORDER BY seq LIMIT 1
) UNION SELECT seq, sample FROM (
    SELECT seq, sample FROM samples WHERE job_id = ?1 ORDER BY seq DESC LIMIT {_LAST_SAMPLES}
) ORDER BY seq
"""  # noqa: S608

Sample = Mapping[str, Any]
"""Seconds since the epoch as ``time``; ``counters`` and ``distributions`` of the pipeline by name,
``elements`` by output, all including the bundles in progress; ``cores``, ``memoryBytes``.
"""


@dataclass
class _Latest:
    """The last known counts and usage of a running job."""

    counts: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 0


class JobHistory:
    """Samples on disk. Safe to call from any thread; no call blocks for long."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._latest: dict[str, _Latest] = {}
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def forget(self, job_ids: Iterable[str]) -> None:
        """Delete the samples of jobs."""
        ids = [(job_id,) for job_id in job_ids]
        with self._lock, self._db:
            self._db.executemany("DELETE FROM samples WHERE job_id = ?", ids)
            for (job_id,) in ids:
                self._latest.pop(job_id, None)

    def add_metrics(self, job_id: str, updates: Iterable[Mapping[str, Any]]) -> None:
        """Record the ``MetricUpdate`` records of a job."""
        with self._lock, self._db:
            latest = self._latest.setdefault(job_id, _Latest())
            latest.counts = _read_counts(updates)
            self._add(job_id, latest)

    def add_usage(self, job_id: str, cores: float, memory_bytes: int) -> None:
        """Record the usage of a job's processes."""
        with self._lock, self._db:
            latest = self._latest.setdefault(job_id, _Latest())
            latest.usage = {"cores": cores, "memoryBytes": memory_bytes}
            self._add(job_id, latest)

    def read(self, job_id: str) -> Sequence[Sample]:
        """Return the samples of a job, the oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT sample FROM samples WHERE job_id = ? ORDER BY seq", (job_id,)
            ).fetchall()
        return [orjson.loads(sample) for (sample,) in rows]

    def read_ends(self, job_id: str) -> Sequence[Sample]:
        """Return the first sample with counts and the last few of a job, the oldest first."""
        with self._lock:
            rows = self._db.execute(_ENDS, (job_id,)).fetchall()
        return [orjson.loads(sample) for _, sample in rows]

    def _add(self, job_id: str, latest: _Latest) -> None:
        sample = {"time": round(self._clock(), 3), **latest.counts, **latest.usage}
        self._db.execute(
            "INSERT INTO samples (job_id, sample) VALUES (?, ?)",
            (job_id, orjson.dumps(sample)),
        )
        latest.samples += 1
        if latest.samples > _MOST_SAMPLES:
            self._db.execute(
                "DELETE FROM samples WHERE seq IN (SELECT seq FROM (SELECT seq, row_number() OVER "
                "(ORDER BY seq) AS number FROM samples WHERE job_id = ?) WHERE number % 2 = 0)",
                (job_id,),
            )
            latest.samples //= 2


def _read_counts(updates: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    counters: dict[str, int] = {}
    distributions: dict[str, dict[str, int]] = {}
    elements: dict[str, int] = {}
    for update in updates:
        name = update["name"]
        context = name.get("context", {})
        if context.get("tentative") != "true":
            continue
        if name["name"] == "ElementCount":
            elements[context["output_user_name"]] = int(update.get("scalar", 0))
        elif name["origin"] != "user":
            continue
        elif "scalar" in update:
            counters[name["name"]] = counters.get(name["name"], 0) + int(update["scalar"])
        elif "distribution" in update:
            value = update["distribution"]
            total = distributions.setdefault(name["name"], {"count": 0, "sum": 0})
            for part in total:
                total[part] += int(value.get(part, 0))
    return {"counters": counters, "distributions": distributions, "elements": elements}
