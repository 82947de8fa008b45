"""Predictions and dead letters as files.

A bundle writes temporary files, and the run moves them to their places when it has all of them
(``template.sinks.finalize``): a retried bundle writes nothing twice, and a run that fails earlier
changes nothing. Without rows there is no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import apache_beam as beam
import pandas as pd
from apache_beam.pvalue import AsSingleton, PCollection, TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from template.dead_letters import DeadLetter
from template.sinks.encoding import arrow_table, csv_rows, encode_block, json_lines
from template.sinks.start import RunStart
from template.sinks.writers import (
    CsvWriter,
    DeadLetterWriter,
    JsonlWriter,
    ParquetWriter,
    Writer,
    WrittenFile,
)

_MOST_OPEN_FILES = 16  # of one bundle; beyond that, files are completed before new ones are begun
_FORMATS: Mapping[str, tuple[Callable[[str], Writer], Callable[[pd.DataFrame], Any]]] = (
    MappingProxyType(
        {
            "jsonl": (JsonlWriter, json_lines),
            "csv": (CsvWriter, csv_rows),
            "parquet": (ParquetWriter, arrow_table),
        }
    )
)


class WritePredictions(beam.PTransform):
    """Writes blocks of predictions to temporary files, as "jsonl", "csv" or "parquet"."""

    def __init__(self, output_format: str, start: PCollection[RunStart]) -> None:
        super().__init__()
        self._new_writer, self._encode = _FORMATS[output_format]
        self._start = start

    def expand(
        self, blocks: PCollection[pd.DataFrame]
    ) -> tuple[PCollection[WrittenFile], PCollection[DeadLetter]]:
        """Write; the result is the files, and a dead letter for each row that does not encode."""
        encoded, dead_letters = blocks | "Encode" >> beam.ParDo(
            _EncodeDoFn(self._encode)
        ).with_outputs(_EncodeDoFn.DEAD_LETTERS, main="encoded")
        write = beam.ParDo(_WriteDoFn(self._new_writer), AsSingleton(self._start))
        return encoded | "Write" >> write, dead_letters


class WriteDeadLetters(beam.PTransform):
    """Writes dead letters to temporary files, as JSON Lines."""

    def __init__(self, start: PCollection[RunStart]) -> None:
        super().__init__()
        self._start = start

    def expand(self, dead_letters: PCollection[DeadLetter]) -> PCollection[WrittenFile]:
        """Write; the result is the files."""
        write = beam.ParDo(_WriteDoFn(DeadLetterWriter), AsSingleton(self._start))
        return dead_letters | "Write" >> write


@beam.typehints.with_output_types(Any, dead_letters=DeadLetter)
class _EncodeDoFn(beam.DoFn):
    """Block -> its encoded form for a sink, and dead letters."""

    DEAD_LETTERS = "dead_letters"

    def __init__(self, encode: Callable[[pd.DataFrame], Any]) -> None:
        self._encode = encode

    def process(self, element: pd.DataFrame) -> Iterator[Any]:
        for part in encode_block(element, self._encode):
            if isinstance(part, DeadLetter):
                yield TaggedOutput(self.DEAD_LETTERS, part)
            else:
                yield part


@beam.typehints.with_output_types(WrittenFile)
class _WriteDoFn(beam.DoFn):
    """Writes the elements of a bundle to as few files as can hold them."""

    def __init__(self, new_writer: Callable[[str], Writer]) -> None:
        self._new_writer = new_writer

    def start_bundle(self) -> None:
        self._writers: list[Writer] = []

    def process(self, element: Any, start: RunStart) -> Iterator[WrittenFile]:
        for writer in reversed(self._writers):
            if writer.accepts(element):
                break
        else:
            if len(self._writers) == _MOST_OPEN_FILES:
                yield self._writers.pop(0).close()
            writer = self._new_writer(start.temp_folder)
            self._writers.append(writer)
        writer.write(element)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        end = GlobalWindow().max_timestamp()
        for writer in self._writers:
            yield WindowedValue(writer.close(), end, [GlobalWindow()])
