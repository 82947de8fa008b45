"""The result of a trial, as text: a table of predictions, dead letters, pace and memory."""

from __future__ import annotations

import importlib
import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from template.blocks import KEY

_MOST_LINES = 50
_CELL_WIDTH = 40
_DIGITS = 5
_STEP = re.compile(r" \[while running '[^']*'\]$")
_TEMPLATE = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Some rows that were predicted.

    Attributes:
        predictions: the rows as the job would write them.
        dead_letters: the rows without a prediction, with ``error`` and ``source``.
        load_sec: how long ``load_model`` took.
        predict_sec: how long all calls of ``predict`` took.
        total_sec: how long it all took, not counting imports.
        peak_bytes: the most memory of the process.
        imports_bytes: its memory before.
    """

    predictions: Sequence[Mapping[str, Any]]
    dead_letters: Sequence[Mapping[str, Any]]
    load_sec: float
    predict_sec: float
    total_sec: float
    peak_bytes: int
    imports_bytes: int

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return len(self.predictions) + len(self.dead_letters)


def format_report(trial: Trial, *, is_cut: bool) -> str:
    """Return the whole report; ``is_cut``: there may be more rows."""
    lines = []
    if trial.predictions:
        columns = list(dict.fromkeys(name for row in trial.predictions for name in row))
        cells = [
            [_cell(row.get(name, ""), is_key=name == KEY) for name in columns]
            for row in trial.predictions
        ]
        lines += [*_table([columns, *cells[:_MOST_LINES]]), *_more(cells), ""]
    if trial.dead_letters:
        letters = [
            [_cell(letter[KEY] or "", is_key=True), str(letter["error"]), f"({letter['source']})"]
            for letter in trial.dead_letters
        ]
        lines += ["dead letters", *_table(letters[:_MOST_LINES]), *_more(letters), ""]
    pace = ""
    if trial.predictions and trial.predict_sec:
        pace = f", {len(trial.predictions) / trial.predict_sec:,.0f} rows a second"
    lines += [
        f"{'the first ' if is_cut else ''}{_count(trial.rows, 'row')}: "
        f"{len(trial.predictions):,} predicted, {_count(len(trial.dead_letters), 'dead letter')}",
        f"load_model {trial.load_sec:.2f} s, predict {trial.predict_sec:.3f} s{pace}; "
        f"{trial.total_sec:.1f} s in all after the imports",
        f"peak memory {_megabytes(trial.peak_bytes)} MB, of which "
        f"{_megabytes(trial.imports_bytes)} MB are imports",
    ]
    return "\n".join(lines)


def format_failure(error: BaseException) -> str:
    """Return an exception with the frames of its traceback, from the first of the user's own.

    Without such frames only type and message are returned. The same is done for an error of the
    template itself, whose message says what is wrong.
    """
    error = find_original(error)
    shown = traceback.TracebackException.from_exception(error)
    if _is_explained(error, shown):
        return "".join(shown.format_exception_only()).rstrip()
    _leave_out_kit(shown)
    return "".join(shown.format()).rstrip()


def find_original(error: BaseException) -> BaseException:
    """Return what a step raised, if Beam has raised it again with the name of the step."""
    original = error.__context__
    return original if original is not None and _STEP.search(str(error)) else error


def is_within(error: BaseException, function: str) -> bool:
    """Return whether a user's function, or what it called, raised what only Python explains."""
    shown = traceback.TracebackException.from_exception(error)
    if _is_explained(error, shown):
        return False
    return any(each.name == function and not _is_kit(each.filename) for each in shown.stack)


def format_frames(error: BaseException) -> str:
    """Return the user's own frames of an exception, for a line that repeats its message.

    For an error of the template itself only the last frame is kept. A syntax error is complete,
    because its message does not have the line.
    """
    if isinstance(error, SyntaxError):
        return format_failure(error)
    shown = traceback.TracebackException.from_exception(error)
    is_explained = _is_explained(error, shown)
    _leave_out_kit(shown)
    if is_explained:
        shown.stack[:] = [each for each in shown.stack if not _is_kit(each.filename)][-1:]
    frames = "".join(shown.stack.format()).rstrip()
    return f"Traceback (most recent call last):\n{frames}" if frames else ""


def _is_explained(error: BaseException, shown: traceback.TracebackException) -> bool:
    """Return whether the template raised an error on purpose, because of what the user gave it."""
    last = Path(shown.stack[-1].filename) if shown.stack else Path()
    is_plain = isinstance(error, ValueError | OSError)
    is_own = type(error).__module__.partition(".")[0] == _TEMPLATE.name
    return (is_plain or is_own) and last.is_relative_to(_TEMPLATE)


def _leave_out_kit(shown: traceback.TracebackException | None) -> None:
    if shown is None:
        return
    first = next((n for n, each in enumerate(shown.stack) if not _is_kit(each.filename)), None)
    shown.stack[:] = [] if first is None else shown.stack[first:]
    _leave_out_kit(shown.__cause__)
    _leave_out_kit(shown.__context__)


def _is_kit(path: str) -> bool:
    """Return whether a file is Beam's, Python's, or the template's without being a model."""
    if path.startswith(("apache_beam/", "<frozen ", "<string>", importlib.__path__[0])):
        return True
    if "/apache_beam/" in path:
        return True
    own = Path(path)
    return own.is_relative_to(_TEMPLATE) and not own.is_relative_to(_TEMPLATE / "models")


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _more(rows: Sequence[object]) -> list[str]:
    more = len(rows) - _MOST_LINES
    return [f"... and {more} more"] if more > 0 else []


def _cell(value: object, *, is_key: bool = False) -> str:
    """Return a cell of the table; a long key keeps its end, which in a path is the file's name."""
    if isinstance(value, float):
        return f"{value:.{_DIGITS}g}"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if len(text) <= _CELL_WIDTH:
        return text
    shown = _CELL_WIDTH - 3
    return f"...{text[-shown:]}" if is_key else f"{text[:shown]}..."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _megabytes(size: int) -> int:
    return round(size / 1e6)
