"""Why a job failed, from what it and its launcher left behind.

The service often reports a wrapper only ("See console logs"); the cause is in the file
``console_logs`` that the launcher leaves beside the staged job. What is known of failures, with
the texts that give each away, is data in ``failures.json``; more specific ones stand first.
https://cloud.google.com/dataflow/docs/guides/troubleshoot-templates
"""

from __future__ import annotations

import functools
import json
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from launcher.errors import (
    CredentialsError,
    InputError,
    JobFailed,
    ServiceError,
    StorageError,
)
from launcher.google.rest import from_rest
from launcher.google.storage import read_object
from launcher.jobs.records import JobMessage, MessageImportance

if TYPE_CHECKING:
    from launcher.jobs.dataflow import Dataflow

_TRACEBACK = "Traceback (most recent call last):"
_LAUNCH_FOLDER = re.compile(r"gs://[^\s'\"]+/template_launches/[^\s/'\"]+")
_EVIDENCE_LENGTH = 300
_CONSOLE_TAIL_LINES = 8
_LAUNCHERS_OWN = re.compile(r"python failed with exit status|Error: Template launch failed")
_LAUNCH_FAILED = re.compile(r"launcher container|Template launch failed|(result|job) file")

# Beam's compiled modules are named from its own folder.
_LIBRARY_FRAME = re.compile(r'  File "(apache_beam/|.*/(site|dist)-packages/|<frozen )')

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A way in which launches and jobs fail.

    Attributes:
        title: what happens, in one sentence.
        codes: findings of ``flexpack check`` and of the read-back that foretell it.
        patterns: regular expressions of the texts by which it shows.
        elsewhere: whether the same launch may succeed in another place or on another GPU.
    """

    id: str
    title: str
    codes: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    cause: str = ""
    remedy: str = ""
    elsewhere: bool = False


@dataclass(frozen=True, kw_only=True)
class Failures:
    """The catalogue, and the day on which it was checked."""

    checked: str
    sources: tuple[str, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What is known of one failed job.

    Attributes:
        failure: None where no pattern matched.
        evidence: the line that matched.
        traceback: the last one that the launcher or a worker printed.
        console_tail: what the launcher printed last, where it failed and left no traceback.
        console_logs: where the launcher's output was read.
    """

    failure: Failure | None = None
    evidence: str = ""
    traceback: str = ""
    console_tail: str = ""
    console_logs: str | None = None

    def format(self) -> str:
        """Return cause and remedy first, then what they rest on; empty where nothing is known.

        A worker's traceback, which stands in the job's messages, is told where no cause is known.
        """
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.failure:
            yield f"Cause ({self.failure.id}): {self.failure.cause}"
            yield f"Remedy: {self.failure.remedy}"
            yield f"Seen: {self.evidence}"
        if self.traceback and (self.console_logs or not self.failure):  # else in the messages
            yield f"Last traceback{f' of {self.console_logs}' if self.console_logs else ''}:"
            yield from (f"    {line}" for line in leave_out_libraries(self.traceback))
        elif self.console_tail:
            yield f"Last lines of {self.console_logs}:"
            yield from (f"    {line}" for line in self.console_tail.splitlines())


@functools.cache
def load_failures() -> Failures:
    """Read ``failures.json``."""
    text = resources.files(__package__).joinpath("failures.json").read_text(encoding="utf-8")
    return from_rest(Failures, json.loads(text))


def diagnose(
    texts: Sequence[str], *, console: str = "", console_logs: str | None = None
) -> Diagnosis:
    """Return what the texts tell.

    A traceback is asked first, because the messages around it only wrap it; then the messages and
    the launcher's console.

    Args:
        texts: a job's messages, oldest first.
        console: the launcher's output.
        console_logs: where that was read.
    """
    in_console = find_last_traceback(console)
    traceback = in_console or find_last_traceback("\n".join(texts))
    # An exception's own last line tells more than the frames above it.
    raised = traceback.rpartition("\n  ")[2].partition("\n")[2]
    failure, evidence = _match([raised, traceback, *reversed(texts), console])
    # Of a launch that went well the launcher's last lines tell nothing.
    is_launch = not texts or any(_LAUNCH_FAILED.search(text) for text in (*texts, console))
    tail = _find_last_lines(console) if is_launch and not traceback else ""
    read = console_logs if in_console or tail else None
    return Diagnosis(failure, evidence, traceback, tail, read)


def diagnose_job(
    dataflow: Dataflow, failed: JobFailed, *, staging_location: str | None = None
) -> Diagnosis:
    """Return why a job failed.

    Blocks while it reads the job's messages and the launcher's console logs.

    Args:
        staging_location: the launch's, where the messages do not name the launcher's folder.
    """
    messages: Sequence[JobMessage] = failed.messages
    try:
        messages = dataflow.messages(failed.job.id) or messages
    except ServiceError as error:
        _log.warning("only the last messages of %s are known: %s", failed.job.id, error)
    path, console = read_console_logs(
        failed.job.id,
        [message.message_text for message in messages],
        staging_location=staging_location,
    )
    telling = [
        message.message_text
        for message in messages
        if message.message_importance in (MessageImportance.WARNING, MessageImportance.ERROR)
    ]
    return diagnose(telling, console=console, console_logs=path)


def find_console_logs(texts: Iterable[str]) -> str | None:
    """Return the path of the launcher's console logs, where a message names its folder."""
    for text in texts:
        if match := _LAUNCH_FOLDER.search(text):
            return f"{match[0]}/console_logs"
    return None


def read_console_logs(
    job_id: str, texts: Iterable[str], *, staging_location: str | None
) -> tuple[str | None, str]:
    """Return path and content of the launcher's console logs; the path is None without any.

    Blocks. Looks where the messages say, then below the staging location; where Cloud Storage does
    not let the caller read there is no content, because the diagnosis goes on without.
    """
    paths = [find_console_logs(texts)]
    if staging_location:
        paths.append(f"{staging_location.rstrip('/')}/template_launches/{job_id}/console_logs")
    for path in dict.fromkeys(filter(None, paths)):
        try:
            content = read_object(path, flag="console_logs", retry_for_sec=5.0)
        except (InputError, StorageError, CredentialsError):
            continue
        return path, content.decode(errors="replace")
    return None, ""


def find_last_traceback(text: str) -> str:
    """Return the last Python traceback in a text, up to the exception's message, or nothing."""
    start = text.rfind(_TRACEBACK)
    if start < 0:
        return ""
    lines = text[start:].splitlines()
    kept = [lines[0]]
    for line in lines[1:]:
        kept.append(line)
        # The exception's line is the first that is not indented.
        if line and not line[0].isspace():
            break
    return "\n".join(kept).rstrip()


def leave_out_libraries(text: str) -> Iterator[str]:
    """Yield a text's lines, with a count in place of the frames of libraries in its tracebacks.

    The last frame of each traceback stays, wherever it is.
    """
    head, *frames = re.split(r'(?m)^(?=  File ")', text)
    left_out = 0
    for number, frame in enumerate(frames, start=1):
        is_last = number == len(frames) or any(line[:1].strip() for line in frame.splitlines())
        if _LIBRARY_FRAME.match(frame) and not is_last:
            left_out += 1
            continue
        if head:
            yield from head.splitlines()
            head = ""
        if left_out:
            yield f"  ... {left_out} frame{'s' if left_out > 1 else ''} of libraries"
            left_out = 0
        yield from frame.splitlines()
    yield from head.splitlines()


def _find_last_lines(console: str) -> str:
    """Return what the program itself printed last, without what the launcher says of it."""
    lines = [line for line in console.rstrip().splitlines() if not _LAUNCHERS_OWN.match(line)]
    return "\n".join(lines[-_CONSOLE_TAIL_LINES:])


def _match(texts: Iterable[str]) -> tuple[Failure | None, str]:
    """Return the first failure that shows in the texts, the earlier text winning."""
    wrapper: tuple[Failure | None, str] = (None, "")
    for text in texts:
        for failure in load_failures().failures:
            for pattern in failure.patterns:
                match = re.search(pattern, text)
                if match is None:
                    continue
                found = failure, _find_line(match)
                if failure.id != "launch-error-hidden":
                    return found
                wrapper = found
    return wrapper


def _find_line(match: re.Match[str]) -> str:
    """Return the line in which a match begins; of a very long one the part from there on."""
    text = match.string
    begin = text.rfind("\n", 0, match.start()) + 1
    if match.end() - begin > _EVIDENCE_LENGTH:
        begin = match.start()
    end = text.find("\n", begin)
    return text[begin : end if end >= 0 else len(text)].strip()[:_EVIDENCE_LENGTH]
