"""The end of a run: move its files to their places, record and judge them.

Until then, earlier files do not change. Everything may be repeated, because a retried step finds
the first attempt's work.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import apache_beam as beam
import orjson
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import AsIter, AsSingleton, PCollection

from template.sinks.record import LaunchFacts, RunRecord, WrittenOutput
from template.sinks.start import RunStart
from template.sinks.writers import WrittenFile, create_file
from template.sources.inputs import InputFiles
from template.verdict import RunCounts, RunFailedError, judge

_log = logging.getLogger(__name__)

_RENAME_THREADS = 16
_SHARD = r"-[0-9]{5,}-of-[0-9]{5,}\.(jsonl|csv|parquet)"
_WILDCARD_SHARD = "-[0-9][0-9][0-9][0-9][0-9]-of-*"


class FinalizeRun(beam.PTransform):
    """Moves the files of a run to their places, writes its record, and fails it if it must.

    Files are named ``<output>-00000-of-00003.jsonl``, dead letters
    ``<output>-errors-00000-of-00001.jsonl``, the record ``<output>-run.json``. Files that the
    record of an earlier run lists and this run does not write are removed.

    Args:
        output: the prefix of all files' names.
        facts: the launch's facts, for the record.
        max_dead_letter_share: see ``template.verdict.judge``.
    """

    def __init__(
        self, output: str, facts: LaunchFacts, max_dead_letter_share: float | None
    ) -> None:
        super().__init__()
        self._finalize = _FinalizeDoFn(output, facts, max_dead_letter_share)

    def expand(
        self,
        run: tuple[
            PCollection[RunStart],
            PCollection[InputFiles],
            PCollection[WrittenFile],
            PCollection[WrittenFile],
        ],
    ) -> PCollection[str]:
        """Finalize the outputs of start, source and both sinks; the result is the verdict."""
        start, inputs, predictions, dead_letters = run
        pipeline = start.pipeline
        verdict = (
            pipeline
            | "Once" >> beam.Impulse()
            | "MoveFiles"
            >> beam.ParDo(
                self._finalize,
                AsSingleton(start),
                AsSingleton(inputs),
                AsIter(predictions),
                AsIter(dead_letters),
            )
        )
        # A side input, so that a failing verdict does not repeat the steps before it.
        return (
            pipeline
            | "AtLast" >> beam.Impulse()
            | "Verdict" >> beam.ParDo(_VerdictDoFn(), AsSingleton(verdict))
        )


@beam.typehints.with_output_types(str)
class _FinalizeDoFn(beam.DoFn):
    """Yields the verdict: the reason for the run's failure, or ""."""

    def __init__(
        self, output: str, facts: LaunchFacts, max_dead_letter_share: float | None
    ) -> None:
        self._output = output
        self._facts = facts
        self._max_dead_letter_share = max_dead_letter_share

    def process(
        self,
        _: bytes,
        start: RunStart,
        inputs: InputFiles,
        predictions: Iterable[WrittenFile],
        dead_letters: Iterable[WrittenFile],
    ) -> Iterator[str]:
        record_path = f"{self._output}-run.json"
        earlier = _read_record(record_path)
        if earlier.run_id == start.run_id:  # this step is a retry
            yield earlier.verdict
            return
        written = name_files(self._output, predictions)
        errors = name_files(f"{self._output}-errors", dead_letters)
        _move([*written, *errors])
        ours = {file.path for file in (*written, *errors)}
        self._remove_files_of(earlier, ours)
        counts = _count(written, errors)
        verdict = judge(counts, self._max_dead_letter_share)
        if verdict:
            verdict += (
                f". The dead letters are in {self._output}-errors-*.jsonl, the record of the run "
                f"in {record_path}"
            )
        record = RunRecord(
            facts=self._facts,
            start=start,
            finished=datetime.now(UTC),
            inputs=inputs,
            counts=counts,
            verdict=verdict,
            predictions=written,
            dead_letters=errors,
        )
        _write_record(record, record_path)
        _remove_folder(start.temp_folder)
        self._warn(written, ours)
        yield verdict or ""

    def _remove_files_of(self, earlier: _EarlierRun, ours: set[str]) -> None:
        """Remove the files that an earlier record lists and this run did not write.

        Only names below this output's folder count, so that a copied or edited record removes
        nothing elsewhere.
        """
        name = FileSystems.split(self._output)[1]
        own_name = re.compile(f"{re.escape(name)}(-errors)?{_SHARD}")
        for base in earlier.file_names:
            path = f"{self._output.removesuffix(name)}{base}"
            if path in ours or not own_name.fullmatch(base) or not FileSystems.exists(path):
                continue
            FileSystems.delete([path])
            _log.info("%s of an earlier run is removed", path)

    def _warn(self, written: Sequence[WrittenOutput], ours: set[str]) -> None:
        kinds = Counter(file.columns for file in written)
        if len(kinds) > 1:
            (usual, _), *others = kinds.most_common()
            odd = next(file for file in written if file.columns == others[0][0])
            _log.warning(
                "the predictions do not all have the same columns, so files differ: %s has "
                "(%s), most have (%s); %d kinds in all, the record lists them. Let predict return "
                "the same columns, of one type each, for every row, or write JSON Lines",
                odd.path,
                ", ".join(odd.columns),
                ", ".join(usual),
                len(kinds),
            )
        patterns = [f"{self._output}{end}{_WILDCARD_SHARD}" for end in ("", "-errors")]
        there = [
            found.path for match in FileSystems.match(patterns) for found in match.metadata_list
        ]
        if strange := [path for path in there if path not in ours]:
            _log.warning(
                "--output %r: files of an earlier run without a record remain among this run's, "
                "for example %s: give every run its own output",
                self._output,
                strange[0],
            )


class _VerdictDoFn(beam.DoFn):
    """The last step, which fails if the run did."""

    def process(self, _: bytes, verdict: str) -> Iterator[str]:
        if verdict:
            raise RunFailedError(verdict)
        yield verdict


def name_files(prefix: str, files: Iterable[WrittenFile]) -> list[WrittenOutput]:
    """Return the files with their final names."""
    ordered = sorted(files, key=lambda file: file.path)
    return [
        WrittenOutput(
            path=f"{prefix}-{number:05}-of-{len(ordered):05}.{file.path.rpartition('.')[2]}",
            written=file,
        )
        for number, file in enumerate(ordered)
    ]


def _count(predictions: Sequence[WrittenOutput], errors: Sequence[WrittenOutput]) -> RunCounts:
    reasons: Counter[str] = Counter()
    for file in errors:
        reasons.update(file.written.reasons)
    return RunCounts(
        predictions=sum(file.written.rows for file in predictions),
        dead_letters=sum(file.written.rows for file in errors),
        unread_files=sum(file.written.unread_files for file in errors),
        reasons=dict(reasons.most_common()),
    )


def _move(files: Sequence[WrittenOutput]) -> None:
    if not files:
        return
    size = FileSystems.get_chunk_size(files[0].path)
    chunks = [files[start : start + size] for start in range(0, len(files), size)]
    with ThreadPoolExecutor(_RENAME_THREADS) as pool:
        for _ in pool.map(_move_chunk, chunks):
            pass


def _move_chunk(files: Sequence[WrittenOutput]) -> None:
    try:
        FileSystems.rename([file.written.path for file in files], [file.path for file in files])
    except BeamIOError:
        # An earlier attempt may have moved some of them.
        for file in files:
            if FileSystems.exists(file.written.path) or not FileSystems.exists(file.path):
                raise


@dataclass(frozen=True)
class _EarlierRun:
    """The content of an existing record, of an earlier run or an earlier attempt."""

    run_id: str = ""
    verdict: str = ""
    file_names: tuple[str, ...] = ()


def _read_record(path: str) -> _EarlierRun:
    if not FileSystems.exists(path):
        return _EarlierRun()
    with FileSystems.open(path) as file:
        text = file.read()
    try:
        record = orjson.loads(text)
        return _EarlierRun(
            run_id=str(record["run_id"]),
            verdict=str(record["verdict"] or ""),
            file_names=tuple(FileSystems.split(file["path"])[1] for file in record["output_files"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        _log.warning("%s is not the record of a run, and is replaced", path)
        return _EarlierRun()


def _write_record(record: RunRecord, path: str) -> None:
    temporary = FileSystems.join(record.start.temp_folder, "run.json")
    with create_file(temporary) as file:
        file.write(orjson.dumps(record.to_json(), option=orjson.OPT_INDENT_2) + b"\n")
    FileSystems.rename([temporary], [path])  # a complete record exists at any time


def _remove_folder(folder: str) -> None:
    """Remove the leftovers of retried bundles."""
    try:
        left = FileSystems.match([FileSystems.join(folder, "*")])[0].metadata_list
        FileSystems.delete([file.path for file in left])
        if FileSystems.exists(folder):
            FileSystems.delete([folder])
    except BeamIOError as error:
        _log.warning("%s could not be removed: %s", folder, error)
