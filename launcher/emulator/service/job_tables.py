"""The tables of the job store, and the tokens of its pages."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence

from launcher.emulator.runtime.states import JobState
from launcher.emulator.service.job_records import PageTokenError

_NUMBER = re.compile("[0-9]{1,18}")  # the largest integer of SQLite
_TERMINAL = ", ".join(f"'{state}'" for state in JobState if state.is_terminal)
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    state_time TEXT NOT NULL,
    create_time TEXT NOT NULL,
    terminal INTEGER NOT NULL GENERATED ALWAYS AS (state IN ({_TERMINAL})) STORED,
    document BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS active_names ON jobs (project_id, region, name)
    WHERE NOT terminal;
CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    time TEXT NOT NULL,
    importance INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_of_job ON messages (job_id, seq);
CREATE TABLE IF NOT EXISTS metrics (
    job_id TEXT PRIMARY KEY REFERENCES jobs (id),
    time TEXT NOT NULL,
    updates BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS workers (
    seq INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    time TEXT NOT NULL,
    count INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS workers_of_job ON workers (job_id, seq);
"""
OF_JOBS = ("messages", "metrics", "workers")
"""Tables whose rows belong to a job, by its id."""


def encode_token(values: Iterable[object]) -> str:
    """Return the token of the page after these values."""
    return base64.urlsafe_b64encode("|".join(map(str, values)).encode()).decode()


def decode_token(token: str, length: int) -> Sequence[str]:
    """Return the values of a token, the first and the last of which are numbers.

    Raises:
        PageTokenError: the token is not one of ``encode_token``.
    """
    try:
        text = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise PageTokenError(token) from error
    values = text.split("|")
    numbers = (values[0], values[-1])  # a time may be between them
    if len(values) != length or not all(_NUMBER.fullmatch(number) for number in numbers):
        raise PageTokenError(token)
    return values
