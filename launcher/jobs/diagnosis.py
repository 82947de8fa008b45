"""Diagnose a failed job from its messages and its launcher's output.

The service often reports only a wrapper ("See console logs"); the cause is in the file
``console_logs`` that the launcher leaves next to the staged job. The known failures, with the texts
that reveal each, are data in ``failures.json``.
https://cloud.google.com/dataflow/docs/guides/troubleshoot-templates
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence

from launcher.errors import CredentialsError, InputError, ServiceError, StorageError
from launcher.google.storage import read_object
from launcher.jobs.dataflow import Dataflow
from launcher.jobs.errors import JobFailed
from launcher.jobs.failures import Diagnosis, Failure, load_failures
from launcher.jobs.records import JobMessage, MessageImportance
from launcher.jobs.tracebacks import find_exception, find_last_traceback

_LAUNCH_FOLDER = re.compile(r"gs://[^\s'\"]+/template_launches/[^\s/'\"]+")
_EVIDENCE_LENGTH = 300
_CONSOLE_TAIL_LINES = 8
_LAUNCHERS_OWN = re.compile(
    r'python failed with exit status|Error: Template launch failed|\{"container_id":'
)
_LAUNCH_FAILED = re.compile(r"launcher container|Template launch failed|(result|job) file")

_VERDICT = re.compile(
    r"(?s)template\.(?:verdict\.RunFailed|failures\.NothingPredicted)Error: (.*?)"
    r"(?: \[while running '[^']*'\])?$"
)
_FAILED_CALL = re.compile(r"predict raised (.{1,80})")
_FAILED_WORKFLOW = re.compile(r"(?s)Workflow failed\. Causes: (?:.*Root cause: )?(.*)")

_log = logging.getLogger(__name__)


def diagnose(
    texts: Sequence[str], *, console: str = "", console_logs: str | None = None
) -> Diagnosis:
    """Return the diagnosis.

    A traceback is read first, because the messages around it only wrap it; then the messages and
    the launcher's console.

    Args:
        texts: a job's messages, oldest first.
        console: the launcher's output.
        console_logs: where that was read.
    """
    in_console = find_last_traceback(console)
    in_texts = filter(None, map(find_last_traceback, reversed(texts)))
    traceback = in_console or next(in_texts, "")
    verdict = _VERDICT.match(find_exception(traceback))
    if verdict:  # raised by the template because of an earlier error of the model
        traceback = _find_reason(verdict[1], texts)
    # The lines of an exception say more than the frames above them.
    raised = find_exception(traceback)
    failure, evidence = _match([raised, traceback, *reversed(texts), console])
    # After a successful launch, the launcher's last lines say nothing.
    is_launch = not texts or any(_LAUNCH_FAILED.search(text) for text in (*texts, console))
    tail = _find_last_lines(console) if is_launch and not traceback else ""
    return Diagnosis(
        failure=failure,
        evidence=evidence,
        traceback=traceback,
        console_tail=tail,
        console_logs=console_logs if in_console or tail else None,
        verdict=verdict[1] if verdict else "",
        message=next(filter(None, map(_find_cause, reversed(texts))), ""),
    )


def _find_reason(verdict: str, texts: Sequence[str]) -> str:
    """Return the logged traceback of the reason that a verdict names first, or nothing."""
    found = ""
    first = len(verdict)
    for text in texts:
        call = _FAILED_CALL.match(text)
        if call is None:
            continue
        place = verdict.find(call[1].partition(" (logged once")[0])
        if 0 <= place < first:
            found, first = find_last_traceback(text), place
    return found


def _find_cause(text: str) -> str:
    """Return the cause in the service's last message of a failed job, or nothing."""
    failed = _FAILED_WORKFLOW.match(text)
    return failed[1].strip() if failed else ""


def diagnose_job(
    dataflow: Dataflow, failed: JobFailed, *, staging_location: str | None = None
) -> Diagnosis:
    """Return why a job failed.

    Blocks while it reads the job's messages and the launcher's console logs.

    Args:
        staging_location: the launch's, if the messages do not name the launcher's folder.
    """
    messages: Sequence[JobMessage] = failed.messages
    try:
        messages = dataflow.messages(failed.job.id) or messages
    except ServiceError as error:
        _log.warning("only the last messages of %s could be read: %s", failed.job.id, error)
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
    """Return the path of the launcher's console logs, if a message names its folder."""
    for text in texts:
        if match := _LAUNCH_FOLDER.search(text):
            return f"{match[0]}/console_logs"
    return None


def read_console_logs(
    job_id: str, texts: Iterable[str], *, staging_location: str | None
) -> tuple[str | None, str]:
    """Return path and content of the launcher's console logs; the path is None without any.

    Blocks. Looks where the messages say, then below the staging location. If the caller may not
    read the logs, the content is empty, and the diagnosis continues without it.
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


def _find_last_lines(console: str) -> str:
    """Return the program's last output, without the launcher's lines about it."""
    lines = [line for line in console.rstrip().splitlines() if not _LAUNCHERS_OWN.match(line)]
    return "\n".join(lines[-_CONSOLE_TAIL_LINES:])


def _match(texts: Iterable[str]) -> tuple[Failure | None, str]:
    """Return the first failure that matches the texts; earlier texts win."""
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
    """Return the line in which a match begins; if it is very long, the part from the match on."""
    text = match.string
    begin = text.rfind("\n", 0, match.start()) + 1
    if match.end() - begin > _EVIDENCE_LENGTH:
        begin = match.start()
    end = text.find("\n", begin)
    return text[begin : end if end >= 0 else len(text)].strip()[:_EVIDENCE_LENGTH]
