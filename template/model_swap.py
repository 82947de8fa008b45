"""The model that serves in a process, and its updates.

``ServingModel`` loads models, lets a newer one serve or refuses it, and frees replaced ones.
``WatchModels`` finds the newest file of a pattern. It replaces Beam's ``WatchFilePattern``, which
needs a matching file before the job starts, makes every prediction wait for it, and never checks a
name again; here an overwritten file is a new model. A timer that keeps resetting itself looks for
files; it needs no splittable DoFn and no shuffle.
https://beam.apache.org/documentation/ml/side-input-updates/
"""

from __future__ import annotations

import copy
import gc
import logging
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import apache_beam as beam
import pandas as pd
from apache_beam.coders import StrUtf8Coder
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelMetadata
from apache_beam.pvalue import PBegin, PCollection
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.trigger import AccumulationMode, AfterProcessingTime, Repeatedly
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.timestamp import Timestamp

from template.blocks import Block
from template.copies import Copies
from template.dead_letters import describe
from template.device import is_device_failure, on_device, release_memory
from template.model import BaseModel
from template.predict_result import UnusablePredictionError
from template.predictor import Part
from template.rows import Rows
from template.timeout import time_limit
from template.turns import turns_on

INTERVAL_SEC = 10.0
"""Seconds between two looks for files."""
MODELS_REFUSED = Metrics.counter("flexpack", "models_refused")
_SAMPLE_ROWS = 4
_A_MODEL_DIED = threading.Event()
"""Later garbage may be frozen. One for the process, like its collector."""

_log = logging.getLogger(__name__)

_ID = re.compile(r"(?P<path>.+)#(?P<version>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")


@dataclass(frozen=True)
class ModelFile:
    """A file of weights; ``version`` is the time when a watched one was last written."""

    path: str
    version: str = ""

    @property
    def id(self) -> str:
        """Its name in predictions and messages: ``PATH#VERSION``, or only the path."""
        return f"{self.path}#{self.version}" if self.version else self.path

    @classmethod
    def of(cls, model: BaseModel) -> ModelFile:
        """Return the file of a model."""
        return cls(model.model_path, model.model_version)

    @classmethod
    def from_id(cls, model_id: str) -> ModelFile:
        """Return the file with this id."""
        match = _ID.fullmatch(model_id)
        return cls(**match.groupdict()) if match else cls(model_id)


class ServingModel:
    """The model that predicts in this process, for all threads.

    Args:
        launched: the model of the launch; not loaded yet.
        find_devices: returns the names of the devices that each get a copy of the model.
        timeout_sec: how long loading a copy may take before the process ends; None for no limit.
        make_copies: makes a predictor from the loaded copies of the model with the given id.
    """

    def __init__(
        self,
        launched: BaseModel,
        find_devices: Callable[[], Sequence[str]],
        timeout_sec: float | None,
        make_copies: Callable[[Sequence[BaseModel], str], Copies],
    ) -> None:
        self._launched = launched
        self._find_devices = find_devices
        self._timeout_sec = timeout_sec
        self._make_copies = make_copies
        self._lock = threading.Lock()
        self._devices: Sequence[str] = ()
        self._serving: Copies | None = None
        self._sample: Block | None = None
        """Some predicted rows, on which to compare models."""
        self._unlike: Copies | None = None
        """The model to compare with the serving one, on the first rows that allow it."""

    def load(self, file: ModelFile | None = None) -> None:
        """Load the launched model or, with ``file``, a newer one, and let it serve.

        A newer one that does not load, or does not predict its predecessor's columns, is refused,
        logged and counted.

        Raises:
            Exception: the launched model does not load, or the GPU is lost, in which case no model
                is refused.
        """
        if self._serving is None:
            gc.freeze()  # the imports, so that only the garbage of loading is searched
        if file is not None and (self._serving is None or self._serving.model_id != file.id):
            self._load_or_refuse(file)
        elif self._serving is None:
            self._serving = self._load(ModelFile.of(self._launched))
        _free_garbage()

    def predict(self, block: Block, *, halves: bool) -> list[Part]:
        """Return the predictions of a block, with ``halves`` also dead letters.

        Raises:
            Exception: see ``Predictor.predict`` and ``Predictor.predict_or_halve``.
        """
        if _A_MODEL_DIED.is_set():  # a thread was still using it when it was replaced
            _free_garbage()
        sample = None
        if self._sample is None or self._unlike is not None:
            sample = Rows(block).take(0, _SAMPLE_ROWS)
            with self._lock:
                self._compare_late(sample)
        predictor = self._serving
        assert predictor is not None, "RunInference loads before it predicts"
        parts: list[Part] = (
            predictor.predict_or_halve(block) if halves else [predictor.predict(block)]
        )
        if sample is not None and len(parts) == 1 and isinstance(parts[0], pd.DataFrame):
            self._sample = sample
        return parts

    def _load_or_refuse(self, file: ModelFile) -> None:
        try:
            newer = self._load(file)
            earlier = self._unlike or self._serving or self._try_launched(file)
            if earlier is not None and self._sample is not None:
                _check_alike(earlier, newer, self._sample)
                earlier = None
        except Exception as error:
            if is_device_failure(error):
                raise
            if self._serving is None:
                self._serving = self._load(ModelFile.of(self._launched))
            _refuse(file.id, self._serving, error)
        else:
            _log.info("model %s serves", newer.model_id)
            self._serving, self._unlike = newer, earlier

    def _try_launched(self, newer: ModelFile) -> Copies | None:
        """Return the launched model, which a newer one must resemble even if it is loaded first."""
        launched = ModelFile.of(self._launched)
        try:
            return self._load(launched)
        except Exception as error:
            _log.warning(
                "model %s is compared with none, because %s does not load: %s",
                newer.id,
                launched.id,
                describe(error),
            )
            return None

    def _compare_late(self, sample: Block) -> None:
        """Compare a model that was loaded before there were rows, using the first suitable rows."""
        earlier, serving = self._unlike, self._serving
        if earlier is None or serving is None:
            return  # Another thread has already done it.
        try:
            earlier.predict(sample)
        except Exception as error:
            _log.info("these rows cannot compare models, later ones may: %s", describe(error))
            return
        try:
            _check_alike(earlier, serving, sample)
        except Exception as error:
            _refuse(serving.model_id, earlier, error)
            self._serving = earlier
        self._unlike = None

    def _load(self, file: ModelFile) -> Copies:
        # Only once, because with "auto" an update after the loss of a GPU must not move the job to
        # the CPU.
        self._devices = devices = self._devices or self._find_devices()
        models = []
        for device in devices[:1] if self._launched.takes_all_gpus else devices:
            model = copy.copy(self._launched)
            model.model_path, model.model_version = file.path, file.version
            model.device = device.partition(":")[0] if model.takes_all_gpus else device
            self._load_copy(model)
            models.append(model)
        copies = self._make_copies(models, file.id)
        weakref.finalize(copies, _A_MODEL_DIED.set).atexit = False
        return copies

    def _load_copy(self, model: BaseModel) -> None:
        try:
            with (
                turns_on(model.device).shared(),
                time_limit(self._timeout_sec),
                on_device(model.device),
            ):
                model.ensure_model()
        except Exception:
            raise
        except BaseException as error:  # SystemExit: Beam's worker would hang
            raise RuntimeError(f"load_model raised {describe(error)}") from error


def _check_alike(earlier: Copies, newer: Copies, sample: Block) -> None:
    """Check on some rows that a new model predicts the same columns as its predecessor."""
    then, now = (list(each.predict(sample).columns) for each in (earlier, newer))
    if now != then:
        raise UnusablePredictionError(
            f"predict returned the columns {', '.join(now)}, not {', '.join(then)}"
        )


def _refuse(model_id: str, serving: Copies, error: Exception) -> None:
    MODELS_REFUSED.inc()
    _log.error(
        "model %s is refused, %s keeps serving: %s", model_id, serving.model_id, describe(error)
    )


def _free_garbage() -> None:
    """Free the garbage of a load or a replaced model, and freeze what stays.

    The objects of the imports and the model live as long as the process: collecting over them again
    and again costs 5 % of a small model's CPU time. But frozen garbage keeps its memory and
    sockets, so everything must be unfrozen once a model is no longer used.
    """
    if _A_MODEL_DIED.is_set():
        _A_MODEL_DIED.clear()
        gc.unfreeze()
    release_memory()
    gc.freeze()


class WatchModels(beam.PTransform):
    """Produces a ``ModelMetadata`` for the newest file, at the start and whenever it changes.

    Args:
        pattern: the files to watch, ``gs://...`` or local.
        model_path: the model to use while no file matches.
    """

    def __init__(self, pattern: str, model_path: str) -> None:
        super().__init__()
        self._dofn = _WatchDoFn(pattern, model_path)

    def expand(self, begin: PBegin) -> PCollection[ModelMetadata]:
        """Watch; the result is a singleton side input that every new element replaces."""
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
    """Looks for new files, yields them, and looks again later."""

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
    """Return the newest file that matches, or None."""
    found = FileSystems.match([pattern])[0].metadata_list
    newest = max(found, key=lambda file: (file.last_updated_in_seconds, file.path), default=None)
    if newest is None:
        return None
    written = datetime.fromtimestamp(newest.last_updated_in_seconds, UTC)
    return ModelFile(newest.path, f"{written:%Y-%m-%dT%H:%M:%S}.{written.microsecond // 1000:03}Z")
