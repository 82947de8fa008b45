"""WatchModels: the newest file of a pattern, for RunInference's model updates.

In the place of Beam's ``WatchFilePattern``, which needs a matching file before the job starts, lets
every prediction wait for it, and never looks at a name again: here a file that is overwritten is
another model. A timer that sets itself again looks for files; it needs no splittable DoFn and no
shuffle.
https://beam.apache.org/documentation/ml/side-input-updates/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import apache_beam as beam
from apache_beam.coders import StrUtf8Coder
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import ModelMetadata
from apache_beam.pvalue import PBegin, PCollection
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.trigger import AccumulationMode, AfterProcessingTime, Repeatedly
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.timestamp import Timestamp

INTERVAL_SEC = 10.0
"""Between two looks for files."""

_ID = re.compile(r"(?P<path>.+)#(?P<version>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")


@dataclass(frozen=True)
class ModelFile:
    """A file of weights; ``version`` is the time at which a watched one was last written."""

    path: str
    version: str = ""

    @property
    def id(self) -> str:
        """What predictions and messages call it: ``PATH#VERSION``, or the path alone."""
        return f"{self.path}#{self.version}" if self.version else self.path

    @classmethod
    def from_id(cls, model_id: str) -> ModelFile:
        """Return the file of an id."""
        match = _ID.fullmatch(model_id)
        return cls(**match.groupdict()) if match else cls(model_id)


class WatchModels(beam.PTransform):
    """Makes a ``ModelMetadata`` of the newest file, at the start and whenever there is another.

    Args:
        pattern: the files to watch, ``gs://...`` or local.
        model_path: the model as long as no file matches.
    """

    def __init__(self, pattern: str, model_path: str) -> None:
        super().__init__()
        self._dofn = _WatchDoFn(pattern, model_path)

    def expand(self, begin: PBegin) -> PCollection[ModelMetadata]:
        """Watch; the result is a singleton side input that is replaced by every new element."""
        return (
            begin
            | beam.Impulse()
            | "Key" >> beam.Map(_one_key).with_output_types(tuple[str, bytes])
            | "Watch" >> beam.ParDo(self._dofn)
            | "Latest"
            >> beam.WindowInto(
                GlobalWindows(),
                trigger=Repeatedly(AfterProcessingTime(0)),
                accumulation_mode=AccumulationMode.DISCARDING,
            )
        )


def _one_key(impulse: bytes) -> tuple[str, bytes]:
    return "", impulse


@beam.typehints.with_input_types(tuple[str, bytes])
@beam.typehints.with_output_types(ModelMetadata)
class _WatchDoFn(beam.DoFn):
    """Looks, tells of what is new, and looks again later."""

    CURRENT = beam.DoFn.StateParam(ReadModifyWriteStateSpec("current", StrUtf8Coder()))
    LOOK = beam.DoFn.TimerParam(TimerSpec("look", TimeDomain.REAL_TIME))

    def __init__(
        self,
        pattern: str,
        model_path: str,
        clock: Callable[[], Timestamp] = Timestamp.now,
    ) -> None:
        self._pattern = pattern
        self._model_path = model_path
        self._clock = clock

    def process(
        self,
        element: tuple[str, bytes],
        current: Any = CURRENT,
        look: Any = LOOK,
    ) -> Iterator[ModelMetadata]:
        yield from self._look(current, look)

    @on_timer(LOOK.timer_spec)
    def on_look(
        self,
        current: Any = CURRENT,
        look: Any = LOOK,
    ) -> Iterator[ModelMetadata]:
        yield from self._look(current, look)

    def _look(self, current: Any, look: Any) -> Iterator[ModelMetadata]:
        look.set(self._clock() + INTERVAL_SEC)
        file = find_newest(self._pattern) or ModelFile(self._model_path)
        if file.id != current.read():
            current.write(file.id)
            yield ModelMetadata(model_id=file.id, model_name=PurePosixPath(file.path).stem)


def find_newest(pattern: str) -> ModelFile | None:
    """Return the newest file that matches, or None where none does."""
    found = FileSystems.match([pattern])[0].metadata_list
    newest = max(found, key=lambda file: (file.last_updated_in_seconds, file.path), default=None)
    if newest is None:
        return None
    written = datetime.fromtimestamp(newest.last_updated_in_seconds, UTC)
    return ModelFile(newest.path, f"{written:%Y-%m-%dT%H:%M:%S}.{written.microsecond // 1000:03}Z")
