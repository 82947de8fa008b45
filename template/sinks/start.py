"""The first step of a run: checks, before a row is read, that the output can be written."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import PBegin, PCollection

from template.file_versions import FileVersion, find_version
from template.sinks.writers import create_file

_log = logging.getLogger(__name__)


class OutputError(RuntimeError):
    """Results cannot be written to the output."""


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """The facts of a run's start.

    Attributes:
        run_id: unique to this run.
        time: of the start.
        temp_folder: the folder for its files until all of them are written.
        model: the model's file at that time; None if there is none.
    """

    run_id: str
    time: datetime
    temp_folder: str
    model: FileVersion | None


class StartRun(beam.PTransform):
    """Makes the ``RunStart`` of a run, once the output is known to be writable.

    Logs the launch's ``warnings``, because few users read the launcher's log.
    """

    def __init__(self, output: str, model_path: str, warnings: Sequence[str] = ()) -> None:
        super().__init__()
        self._dofn = _StartDoFn(output, model_path, tuple(warnings))

    def expand(self, begin: PBegin) -> PCollection[RunStart]:
        """Start; the result is one element."""
        return begin | beam.Impulse() | "PrepareOutput" >> beam.ParDo(self._dofn)


@beam.typehints.with_output_types(RunStart)
class _StartDoFn(beam.DoFn):
    def __init__(self, output: str, model_path: str, warnings: tuple[str, ...]) -> None:
        self._output = output
        self._model_path = model_path
        self._warnings = warnings

    def process(self, _: bytes) -> Iterator[RunStart]:
        for warning in self._warnings:
            _log.warning("%s", warning)
        run_id = uuid.uuid4().hex
        folder, name = FileSystems.split(self._output)
        temp_folder = FileSystems.join(folder, f"beam-temp-{name}-{run_id}")
        try:
            FileSystems.mkdirs(temp_folder)
            probe = FileSystems.join(temp_folder, "probe")
            with create_file(probe) as file:
                file.write(b"flexpack")
            FileSystems.delete([probe])
        except Exception as error:  # each filesystem raises its own exceptions
            raise OutputError(
                f"--output {self._output!r}: cannot be written; check that the bucket or folder "
                f"exists and that the job's service account may write there: {error}"
            ) from error
        yield RunStart(
            run_id=run_id,
            time=datetime.now(UTC),
            temp_folder=temp_folder,
            model=find_version(self._model_path),
        )
