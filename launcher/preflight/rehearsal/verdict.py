"""Judges a rehearsal: findings, and figures that are printed even without findings."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from launcher.finding import (
    REHEARSAL_DEAD_LETTERS,
    REHEARSAL_GRAPH,
    REHEARSAL_LAUNCH,
    REHEARSAL_NETWORK,
    REHEARSAL_RUN,
    REHEARSAL_SLOW,
    REHEARSAL_STEP,
    Finding,
    error,
    warning,
)
from launcher.jobs.diagnosis import diagnose
from launcher.jobs.errors import JobTimeout
from launcher.jobs.failures import Diagnosis
from launcher.jobs.records import MessageImportance, RowCounts
from launcher.jobs.tracebacks import find_exception, find_own_place
from launcher.preflight.probe import ProbeError, run_probe
from launcher.preflight.rehearsal.stage import Played, Stage

# https://cloud.google.com/dataflow/quotas: a job's graph and its request.
_LARGEST_GRAPH_BYTES = 10_000_000
_LONGEST_REASON = 500
_LARGE_STEP_BYTES = 1_000_000
_SLOW_IMPORT_SEC = 10.0
# The service gives a launcher about ten minutes, most of which its VM needs to start.
_SLOW_LAUNCH_SHARE = 0.5


class Verdict:
    """Judges a finished rehearsal.

    Attributes:
        findings: what went wrong or was slow.
        figures: what was measured, in words.
    """

    def __init__(self, stage: Stage, played: Played) -> None:
        """Judge everything. Blocks while it reads the job's files."""
        self._stage = stage
        self._played = played
        self.figures: list[str] = []
        self.findings: list[Finding] = [*self._judge_launch(), *self._judge_processes()]
        if played.staged_after_sec is not None:
            self.findings += self._judge_graph()
            if played.has_sample:
                self.findings += self._judge_run()

    def _judge_launch(self) -> Iterator[Finding]:
        staged_after_sec, limit = self._played.staged_after_sec, self._stage.launch_limit_sec
        if staged_after_sec is None:
            diagnosis, reason = self._find_reason()
            known = diagnosis.failure
            hidden = known is None or known.id == "launch-error-hidden"
            tail = "".join(f"\n    {line}" for line in diagnosis.console_tail.splitlines())
            yield error(
                REHEARSAL_LAUNCH,
                f"the launcher staged no job within {limit:g} s or failed: {reason}"
                + (f" ({known.cause})" if known and not hidden else ""),
                (known.remedy if known and not hidden else "Fix the error in the entry file.")
                + (f" The launcher's last lines:{tail}" if tail else ""),
            )
            return
        self.figures.append(f"the launcher took {staged_after_sec:.1f} s")
        if staged_after_sec > limit * _SLOW_LAUNCH_SHARE:
            yield warning(
                REHEARSAL_SLOW,
                f"the launcher took {staged_after_sec:.0f} s of {limit:g} s",
                "Build the pipeline without reading data or loading models.",
            )

    def _judge_processes(self) -> Iterator[Finding]:
        """Judge the records of the launcher and the workers."""
        notes = []
        if self._stage.report.is_file():
            # A process killed while writing leaves half a last line.
            lines = self._stage.report.read_text(encoding="utf-8").split("\n")[:-1]
            notes = [json.loads(line) for line in lines]
        hosts = sorted({note["network"] for note in notes if "network" in note})
        if hosts:
            yield error(
                REHEARSAL_NETWORK,
                f"the launcher or a worker needed the network: {', '.join(hosts[:5])}",
                "Install packages in the image, and let the pipeline read through Beam's sources.",
            )
        for note in notes:
            imports: Mapping[str, float] = note.get("imports", {})
            if imports:
                name = max(imports, key=lambda name: imports[name])
                self.figures.append(f"its slowest import {name} {imports[name]:.1f} s")
            slow = {name: sec for name, sec in imports.items() if sec >= _SLOW_IMPORT_SEC}
            if slow:
                listed = ", ".join(f"{name} {sec:.0f} s" for name, sec in slow.items())
                yield warning(
                    REHEARSAL_SLOW,
                    f"the launcher's imports are slow: {listed}",
                    "Import modules that only the workers need on the workers.",
                )

    def _judge_graph(self) -> Iterator[Finding]:
        try:
            graph = self._measure_graph()
        except ProbeError as problem:
            yield warning(
                REHEARSAL_GRAPH, f"the job's graph was not measured: {problem}", "See --python."
            )
            return
        self.figures.append(f"the job's graph has {graph['bytes'] / 1e3:,.0f} kB")
        for step, size in [*graph["steps"].items()][:1]:
            self.figures.append(f"its largest step is {step!r} with {size / 1e3:,.0f} kB")
        if graph["bytes"] > _LARGEST_GRAPH_BYTES:
            yield error(
                REHEARSAL_GRAPH,
                f"the job's graph has {graph['bytes'] / 1e6:.0f} MB, but Dataflow accepts "
                f"{_LARGEST_GRAPH_BYTES / 1e6:.0f}",
                "Read data and load models on the workers.",
            )
        for step, size in graph["steps"].items():
            if size > _LARGE_STEP_BYTES:
                yield warning(
                    REHEARSAL_STEP,
                    f"step {step!r} carries {size / 1e6:.1f} MB to every worker",
                    "Do not keep data or a model in an attribute of a DoFn: load it in setup.",
                )

    def _measure_graph(self) -> dict[str, Any]:
        bucket = self._stage.bucket
        staged = bucket.blob(f"staging/template_launches/{self._played.job_id}/job_object")
        job: dict[str, Any] = json.loads(staged.download_as_bytes())
        options = job.get("environment", {}).get("sdkPipelineOptions", {}).get("options", {})
        path = str(options.get("pipelineUrl") or options.get("pipeline_url") or "")
        content = bucket.blob(path.removeprefix(f"gs://{bucket.name}/")).download_as_bytes()
        with tempfile.NamedTemporaryFile(suffix=".pb") as file:
            file.write(content)
            file.flush()
            graph: dict[str, Any] = run_probe(
                "graph", [file.name], python=self._stage.python, root=Path.cwd(), timeout_sec=60
            )
        return graph

    def _judge_run(self) -> Iterator[Finding]:
        failure = self._played.failure
        if isinstance(failure, JobTimeout):
            _, reason = self._find_reason()
            yield warning(
                REHEARSAL_RUN,
                f"the sample was not finished after {self._stage.run_limit_sec:g} s: {reason}",
                "Find out what is slow on a CPU, or name a smaller input.",
            )
        elif failure is not None:
            diagnosis, reason = self._find_reason()
            yield error(
                REHEARSAL_RUN,
                f"the pipeline failed on a sample of the input: {reason}",
                diagnosis.remedy or _find_place(diagnosis),
            )
        counts = RowCounts.from_metrics(self._stage.dataflow.metrics(self._played.job_id))
        if counts != RowCounts():
            self.figures.append(
                f"of {counts.rows_read:,} rows of the sample {counts.predictions:,} were predicted"
            )
        if counts.dead_letters:
            yield warning(
                REHEARSAL_DEAD_LETTERS,
                f"{counts.dead_letters:,} of {counts.rows_read:,} rows of the sample could not be "
                f"predicted{self._find_dead_letter()}",
                "Examine the input, or the model's predict.",
            )

    def _find_dead_letter(self) -> str:
        """Return the reason of one dead letter, from its file or topic, for use in a sentence."""
        files = (blob for blob in self._stage.bucket.list_blobs() if _holds_dead_letters(blob.name))
        lines = [line for blob in files for line in blob.download_as_bytes().splitlines()]
        for line in [*lines, *self._played.replies]:
            try:
                letter = json.loads(line)
            except ValueError:
                continue
            if isinstance(letter, dict) and "error" in letter:
                return f"; one of them: {letter['error']:.300}"
        return ""

    def _find_reason(self) -> tuple[Diagnosis, str]:
        """Return the reason for the job's failure, and a sentence that states it."""
        found = self._stage.dataflow.messages(
            self._played.job_id, minimum_importance=MessageImportance.WARNING
        )
        console = self._read_console()
        diagnosis = diagnose([message.message_text for message in found], console=console)
        raised = find_exception(diagnosis.traceback)
        last = diagnosis.console_tail.rpartition("\n")[2]
        reason = diagnosis.verdict or raised or last or diagnosis.evidence
        reason = reason or str(self._played.failure)
        return diagnosis, " ".join(reason.split())[:_LONGEST_REASON]

    def _read_console(self) -> str:
        """Return the launcher's output, or "" if it left no log."""
        path = f"staging/template_launches/{self._played.job_id}/console_logs"
        blob = self._stage.bucket.blob(path)
        return blob.download_as_bytes().decode(errors="replace") if blob.exists() else ""


def _find_place(diagnosis: Diagnosis) -> str:
    """Return where to look, for a failure without a known remedy."""
    place = find_own_place(diagnosis.traceback)
    return f"Correct {place}." if place else "Correct what it reports, and rehearse again."


def _holds_dead_letters(name: str) -> bool:
    return not name.startswith("staging/") and ("-errors" in name or "dead-letters" in name)
