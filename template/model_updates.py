"""WatchModels: the newest file of a pattern, for RunInference's model updates.

In the place of Beam's ``WatchFilePattern``, which needs a matching file before the job starts and
lets every prediction wait for it. A timer that sets itself again looks for files; it needs no
splittable DoFn and no shuffle.
https://beam.apache.org/documentation/ml/side-input-updates/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


class WatchModels(beam.PTransform):
    """Makes a ``ModelMetadata`` of the newest file, at the start and whenever there is another.

    Args:
        pattern: the files to watch, ``gs://...`` or local.
        model_path: the model as long as no file matches.
        interval_sec: between two looks.
    """

    def __init__(self, pattern: str, model_path: str, interval_sec: float = INTERVAL_SEC) -> None:
        super().__init__()
        self._dofn = _WatchDoFn(pattern, model_path, interval_sec)

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
        interval_sec: float,
        clock: Callable[[], Timestamp] = Timestamp.now,
    ) -> None:
        self._pattern = pattern
        self._model_path = model_path
        self._interval_sec = interval_sec
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
        look.set(self._clock() + self._interval_sec)
        path = find_newest(self._pattern) or self._model_path
        if path != current.read():
            current.write(path)
            yield ModelMetadata(model_id=path, model_name=PurePosixPath(path).stem)


def find_newest(pattern: str) -> str | None:
    """Return the path of the newest file that matches, or None where none does."""
    found = FileSystems.match([pattern])[0].metadata_list
    newest = max(found, key=lambda file: (file.last_updated_in_seconds, file.path), default=None)
    return newest.path if newest else None
