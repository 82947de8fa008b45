"""The job store: jobs, their messages and their metrics, in one SQLite file.

Everything that the local Dataflow knows about jobs is stored here, under one lock, and survives a
``kill -9``. The job runner runs the jobs.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from launcher.emulator.runtime.events import Importance
from launcher.emulator.runtime.states import IllegalTransitionError, JobState, check_transition
from launcher.emulator.service.job_records import (
    ActiveNameError,
    JobFilter,
    JobRecord,
    Message,
    TimeRange,
    UnknownJobError,
    format_time,
    new_job_id,
)
from launcher.emulator.service.job_tables import OF_JOBS, SCHEMA, decode_token, encode_token
from launcher.emulator.service.usage import WorkerCount

_IMPORTANCES = tuple(Importance)
_ORDER_TIME = "CASE WHEN terminal THEN state_time ELSE create_time END"
_JOB_COLUMNS = "id, project_id, region, name, state, state_time, create_time, document"


class JobStore:
    """Jobs, messages and metrics on disk. Safe to call from any thread; no call blocks for long."""

    def __init__(
        self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def now(self) -> str:
        """Return the time as records write it."""
        return format_time(self._clock())

    def create(
        self,
        *,
        project_id: str,
        region: str,
        name: str,
        state: JobState,
        document: Mapping[str, Any],
    ) -> JobRecord:
        """Record a new job.

        Raises:
            ActiveNameError: an active job of the project and region has this name.
        """
        now = self._clock()
        record = JobRecord(
            id=new_job_id(now),
            project_id=project_id,
            region=region,
            name=name,
            state=state,
            state_time=format_time(now),
            create_time=format_time(now),
            document=document,
        )
        try:
            with self._lock, self._db:
                self._db.execute(
                    f"INSERT INTO jobs ({_JOB_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                    (
                        record.id,
                        project_id,
                        region,
                        name,
                        state,
                        record.state_time,
                        record.create_time,
                        orjson.dumps(document),
                    ),
                )
        except sqlite3.IntegrityError as error:
            raise ActiveNameError(name) from error
        return record

    def get(self, job_id: str) -> JobRecord:
        """Return a job.

        Raises:
            UnknownJobError: no job has that id.
        """
        rows = self._rows(f"SELECT {_JOB_COLUMNS} FROM jobs WHERE id = ?", (job_id,))  # noqa: S608
        if not rows:
            raise UnknownJobError(job_id)
        return _record(rows[0])

    def find_active(self, *, project_id: str, region: str, name: str) -> JobRecord | None:
        """Return the active job of this name, if there is one."""
        rows = self._rows(
            f"SELECT {_JOB_COLUMNS} FROM jobs "  # noqa: S608
            "WHERE project_id = ? AND region = ? AND name = ? AND NOT terminal",
            (project_id, region, name),
        )
        return _record(rows[0]) if rows else None

    def list_jobs(
        self, wanted: JobFilter, *, page_size: int, page_token: str = ""
    ) -> tuple[Sequence[JobRecord], str]:
        """Return a page of jobs and the token of the next page, empty after the last.

        Active jobs come first, the newest first; then terminated ones, the last that ended first;
        or all in descending order of their ids, if ``wanted`` says so.

        Raises:
            PageTokenError: the token is not from here.
        """
        conditions: list[tuple[str, Sequence[object]]] = [("project_id = ?", (wanted.project_id,))]
        if wanted.region is not None:
            conditions.append(("region = ?", (wanted.region,)))
        if wanted.name is not None:
            conditions.append(("name = ?", (wanted.name,)))
        if wanted.terminal is not None:
            conditions.append(("terminal = ?", (wanted.terminal,)))
        conditions += _within("create_time", wanted.created)
        ended = _within("state_time", wanted.terminated)
        if ended:
            conditions += [("terminal", ()), *ended]
        first = "0" if wanted.by_id else "terminal"
        order = "id" if wanted.by_id else _ORDER_TIME
        if page_token:
            terminal, time, seq = decode_token(page_token, 3)
            conditions.append(
                (
                    "first > ? OR (first = ? AND (order_time, seq) < (?, ?))",
                    (int(terminal), int(terminal), time, int(seq)),
                )
            )
        where = " AND ".join(f"({condition})" for condition, _ in conditions)
        rows = self._rows(
            "SELECT * FROM (SELECT "  # noqa: S608
            f"{_JOB_COLUMNS}, terminal, {first} AS first, {order} AS order_time, seq FROM jobs) "
            f"WHERE {where} ORDER BY first, order_time DESC, seq DESC LIMIT ?",
            [*(value for _, values in conditions for value in values), page_size + 1],
        )
        page = rows[:page_size]
        more = len(rows) > page_size
        return [_record(row) for row in page], encode_token(page[-1][-3:]) if more else ""

    def transition(
        self,
        job_id: str,
        wanted: JobState,
        *,
        requested: JobState | None = None,
        unless: JobState | None = None,
    ) -> JobRecord:
        """Change the state of a job.

        Args:
            job_id: the job.
            wanted: the state.
            requested: the state that a caller requested.
            unless: a state that this caller must not change, although the table allows it.

        Raises:
            UnknownJobError: there is no such job.
            IllegalTransitionError: the table of transitions, or ``unless``, does not allow it.
        """
        with self._lock, self._db:
            record = self.get(job_id)
            if record.state is unless:
                raise IllegalTransitionError(job_id, record.state, wanted)
            check_transition(job_id, record.state, wanted)
            document = dict(record.document)
            if requested is not None:
                document["requestedState"] = requested.value
            elif wanted.is_terminal:
                document.pop("requestedState", None)
            # If the clock is set back, a job's times do not go back.
            self._db.execute(
                "UPDATE jobs SET state = ?, state_time = max(state_time, ?), document = ? "
                "WHERE id = ?",
                (wanted, self.now(), orjson.dumps(document), job_id),
            )
            return self.get(job_id)

    def update_document(self, job_id: str, fields: Mapping[str, Any]) -> None:
        """Set fields of a job's document.

        Raises:
            UnknownJobError: there is no such job.
        """
        with self._lock, self._db:
            document = {**self.get(job_id).document, **fields}
            self._db.execute(
                "UPDATE jobs SET document = ? WHERE id = ?", (orjson.dumps(document), job_id)
            )

    def list_active(self) -> Sequence[JobRecord]:
        """Return the unfinished jobs of all projects and regions."""
        rows = self._rows(f"SELECT {_JOB_COLUMNS} FROM jobs WHERE NOT terminal", ())  # noqa: S608
        return [_record(row) for row in rows]

    def list_finished(self, *, after: int) -> Sequence[JobRecord]:
        """Return the finished jobs, except the last few to end."""
        rows = self._rows(
            f"SELECT {_JOB_COLUMNS} FROM jobs WHERE terminal "  # noqa: S608
            "ORDER BY state_time DESC, seq DESC LIMIT -1 OFFSET ?",
            (after,),
        )
        return [_record(row) for row in rows]

    def delete(self, job_ids: Iterable[str]) -> None:
        """Delete jobs with their messages and metrics; unknown ids are ignored."""
        with self._lock, self._db:
            for job_id in job_ids:
                for table in OF_JOBS:
                    self._db.execute(f"DELETE FROM {table} WHERE job_id = ?", (job_id,))  # noqa: S608
                self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def fail_interrupted(self, text: str) -> Sequence[str]:
        """Fail every unfinished job with an error message; return their ids."""
        with self._lock, self._db:
            ids = [row[0] for row in self._db.execute("SELECT id FROM jobs WHERE NOT terminal")]
            for job_id in ids:
                self.transition(job_id, JobState.FAILED)
                self.add_message(job_id, Importance.ERROR, text)
            return ids

    def add_message(self, job_id: str, importance: Importance, text: str) -> None:
        """Add a message to a job."""
        # A worker's output may not be UTF-8.
        encodable = text.encode("utf-8", "backslashreplace").decode("utf-8")
        with self._lock, self._db:
            self._db.execute(
                "INSERT INTO messages (job_id, time, importance, text) VALUES (?1, max(?2, "
                "ifnull((SELECT time FROM messages WHERE job_id = ?1 ORDER BY seq DESC LIMIT 1), "
                "'')), ?3, ?4)",
                (job_id, self.now(), _IMPORTANCES.index(importance), encodable),
            )

    def list_messages(
        self,
        job_id: str,
        *,
        minimum_importance: Importance = Importance.DEBUG,
        within: TimeRange,
        page_size: int,
        page_token: str = "",
    ) -> tuple[Sequence[Message], str]:
        """Return a page of a job's messages, the oldest first, and the token of the next page.

        Raises:
            PageTokenError: the token is not from here.
        """
        after = int(decode_token(page_token, 1)[0]) if page_token else 0
        conditions = [
            ("job_id = ?", (job_id,)),
            ("importance >= ?", (_IMPORTANCES.index(minimum_importance),)),
            ("seq > ?", (after,)),
            *_within("time", within),
        ]
        where = " AND ".join(condition for condition, _ in conditions)
        rows = self._rows(
            f"SELECT seq, time, importance, text FROM messages WHERE {where} "  # noqa: S608
            "ORDER BY seq LIMIT ?",
            [*(value for _, values in conditions for value in values), page_size + 1],
        )
        page = [_message(row) for row in rows[:page_size]]
        more = len(rows) > page_size
        return page, encode_token([page[-1].seq]) if more else ""

    def list_operations(self, job_id: str) -> Sequence[Message]:
        """Return the messages about the start and end of a job's operations, oldest first."""
        rows = self._rows(
            "SELECT seq, time, importance, text FROM messages WHERE job_id = ? "
            "AND (text GLOB 'Executing operation *' OR text GLOB 'Finished operation *') "
            "ORDER BY seq",
            (job_id,),
        )
        return [_message(row) for row in rows]

    def add_workers(self, job_id: str, count: int, text: str) -> None:
        """Record a job's new number of workers."""
        with self._lock, self._db:
            self._db.execute(
                "INSERT INTO workers (job_id, time, count, text) VALUES (?, ?, ?, ?)",
                (job_id, self.now(), count, text),
            )

    def list_workers(self, job_id: str) -> Sequence[WorkerCount]:
        """Return a job's numbers of workers over time, oldest first."""
        rows = self._rows(
            "SELECT time, count, text FROM workers WHERE job_id = ? ORDER BY seq", (job_id,)
        )
        return [
            WorkerCount(
                seconds=datetime.fromisoformat(time).timestamp(), time=time, count=count, text=text
            )
            for time, count, text in rows
        ]

    def search_messages(
        self, job_id: str, *, minimum_importance: Importance, text: str, before: int, limit: int
    ) -> Sequence[Message]:
        """Return the last messages that contain a text, newest first.

        ``before`` is a message's ``seq``, from which to continue; 0 begins with the newest.
        """
        rows = self._rows(
            "SELECT seq, time, importance, text FROM messages WHERE job_id = ? "
            "AND importance >= ? AND (? = 0 OR seq < ?) AND instr(lower(text), lower(?)) > 0 "
            "ORDER BY seq DESC LIMIT ?",
            (job_id, _IMPORTANCES.index(minimum_importance), before, before, text, limit),
        )
        return [
            Message(seq=seq, time=time, importance=_IMPORTANCES[rank], text=text)
            for seq, time, rank, text in rows
        ]

    def list_projects(self) -> Sequence[str]:
        """Return the projects that have jobs."""
        rows = self._rows("SELECT DISTINCT project_id FROM jobs ORDER BY project_id", ())
        return [project for (project,) in rows]

    def put_metrics(self, job_id: str, updates: Iterable[Mapping[str, Any]]) -> None:
        """Replace a job's metrics; a metric with an unchanged value keeps its update time."""
        now = self.now()
        with self._lock, self._db:
            before = {_without_time(update): update for update in self.metrics(job_id)[1]}
            after = [
                before.get(_without_time(update), {**update, "updateTime": now})
                for update in updates
            ]
            self._db.execute(
                "INSERT OR REPLACE INTO metrics (job_id, time, updates) VALUES (?, ?, ?)",
                (job_id, now, orjson.dumps(after)),
            )

    def metrics(self, job_id: str) -> tuple[str, Sequence[Mapping[str, Any]]]:
        """Return the time of a job's last metrics report (empty: never), and the metrics."""
        rows = self._rows("SELECT time, updates FROM metrics WHERE job_id = ?", (job_id,))
        return (rows[0][0], orjson.loads(rows[0][1])) if rows else ("", [])

    def _rows(self, statement: str, values: Sequence[object]) -> Sequence[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()


def _message(row: Sequence[Any]) -> Message:
    seq, time, importance, text = row
    return Message(seq=seq, time=time, importance=_IMPORTANCES[importance], text=text)


def _record(row: Sequence[Any]) -> JobRecord:
    job_id, project_id, region, name, state, state_time, create_time, document = row[:8]
    return JobRecord(
        id=job_id,
        project_id=project_id,
        region=region,
        name=name,
        state=JobState(state),
        state_time=state_time,
        create_time=create_time,
        document=orjson.loads(document),
    )


def _within(column: str, times: TimeRange) -> Sequence[tuple[str, Sequence[object]]]:
    bounds = ((f"{column} >= ?", times.start), (f"{column} < ?", times.end))
    return [(condition, (value,)) for condition, value in bounds if value]


def _without_time(update: Mapping[str, Any]) -> bytes:
    fields = {name: value for name, value in update.items() if name != "updateTime"}
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
