"""ApplyModel: predictions for a PCollection of DataFrames, on Beam's RunInference.

RunInference provides its metrics, shares one loaded model between the threads of a process, and
updates models while a job runs. A whole block is one of its batches, and nothing is batched again.
https://beam.apache.org/documentation/ml/about-ml/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pandas as pd
from apache_beam.ml.inference.base import ModelHandler, ModelMetadata, RunInference
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.utils.shared import Shared

from template.blocks import Block, frame_bytes
from template.compute import STORED, Compute
from template.copies import Copies
from template.dead_letters import PREDICTIONS, DeadLetter, count_dead_letter
from template.device import resolve_devices
from template.failures import Failures
from template.model import BaseModel, check_predict
from template.model_swap import ModelFile, ServingModel
from template.predict_result import UnusablePredictionError
from template.predictor import Part, Predictor


class ApplyModel(beam.PTransform):
    """Predicts every row of every DataFrame of a PCollection.

    Each DataFrame of the result holds the key column(s) and what ``model.predict`` returned for
    its rows, side by side (``template.predict_result`` says what ``predict`` may return), with the
    index and attrs of its block. One DataFrame is one batch, so make it as large as suits the
    model. ``predict`` gets a DataFrame as it is, with the key column(s); the templates' own sources
    make ``template.blocks.Block``s, whose keys travel with the frame.

    An exception from ``predict`` fails the bundle, as in any DoFn, unless
    ``with_exception_handling`` is called.

    Args:
        model: what to predict with; loaded on the workers, once per process.
        key_column: the column that identifies a row, or a list of such columns.
        device: "auto", "cuda" or "cpu", see ``template.device``; or torch's names of devices, each
            of which gets a copy of the model.
        precision: "stored", or "bfloat16" or "float16" for torch's autocast around ``predict``, see
            ``template.compute``.
        model_metadata_pcoll: ``ModelMetadata`` side input of RunInference. Its ``model_id`` is the
            ``ModelFile.id`` of the model to use from then on. One that does not load, or does not
            predict the current model's columns, is refused, logged and counted; the current model
            stays; in a new process that is ``model``.
        reserved_columns: names that ``predict`` must not return, because a later step adds them.
        predict_timeout_sec: how long ``load_model`` and a call of ``predict`` may take before the
            process ends with the stacks of all its threads; None for no limit.
    """

    def __init__(
        self,
        model: BaseModel,
        key_column: str | Sequence[str],
        device: str | Sequence[str] = "auto",
        model_metadata_pcoll: PCollection[ModelMetadata] | None = None,
        reserved_columns: Sequence[str] = (),
        predict_timeout_sec: float | None = None,
        precision: str = STORED,
    ) -> None:
        super().__init__()
        self._predict_timeout_sec = predict_timeout_sec
        self._reserved_columns = tuple(reserved_columns)
        self._model = model
        self._key_columns = [key_column] if isinstance(key_column, str) else list(key_column)
        self._device = device
        self._precision = precision
        self._model_metadata_pcoll = model_metadata_pcoll
        self._handles_exceptions = False
        self._gives_up = False

    def with_exception_handling(self, *, gives_up: bool = False) -> ApplyModel:
        """Make the result ``(predictions, dead_letters)``; a bad row then fails nothing else.

        If ``predict`` raises, or returns fewer entries than rows, the block is halved until the
        rows without a prediction stand alone: they become dead letters, the others are predicted.
        An out-of-memory error is handled in the same way.

        Errors that halving cannot fix fail the bundle: a lost GPU, or a return value of an
        unusable type or size. After some blocks that failed completely and for one reason, no block
        is halved until a row succeeds; ``template.failures`` has the numbers.

        Args:
            gives_up: whether the bundle fails if many rows, of several splits or of the only one,
                are tried and none is predicted. Only for blocks of the templates' own sources.
        """
        self._handles_exceptions = True
        self._gives_up = gives_up
        return self

    def expand(self, blocks: PCollection) -> PCollection | tuple[PCollection, PCollection]:
        """Apply RunInference to the blocks."""
        handler = BlockModelHandler(
            self._model,
            PredictSettings(
                key_columns=tuple(self._key_columns),
                reserved_columns=self._reserved_columns,
                device=self._device,
                precision=self._precision,
                timeout_sec=self._predict_timeout_sec,
                handles_exceptions=self._handles_exceptions,
                gives_up=self._gives_up,
            ),
        )
        results = blocks | "RunInference" >> RunInference(
            handler, model_metadata_pcoll=self._model_metadata_pcoll
        )
        routed = results | "Route" >> beam.ParDo(_RouteDoFn()).with_outputs(
            _RouteDoFn.DEAD_LETTERS, main="predictions"
        )
        if self._handles_exceptions:
            return routed["predictions"], routed[_RouteDoFn.DEAD_LETTERS]
        return routed["predictions"]


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """The settings for calls of a model; see ``ApplyModel``."""

    key_columns: tuple[str, ...]
    reserved_columns: tuple[str, ...] = ()
    device: str | Sequence[str] = "auto"
    precision: str = STORED
    timeout_sec: float | None = None
    handles_exceptions: bool = False
    gives_up: bool = False

    def make_copies(self, models: Sequence[BaseModel], model_id: str) -> Copies:
        """Return a predictor over the loaded copies of a model."""
        failures = Failures(gives_up=self.gives_up)
        return Copies([self._make_predictor(model, model_id, failures) for model in models])

    def _make_predictor(self, model: BaseModel, model_id: str, failures: Failures) -> Predictor:
        compute = Compute(model.device, self.precision)
        loaded = model.ensure_model()
        check_predict(model, loaded)
        compute.adopt(loaded)
        return Predictor(
            model,
            model_id=model_id,
            key_columns=self.key_columns,
            reserved_columns=self.reserved_columns,
            compute=compute,
            timeout_sec=self.timeout_sec,
            failures=failures,
            checks_precision=not compute.reaches(model, loaded),
        )

    def find_devices(self) -> Sequence[str]:
        """Return the names of the devices that each get a copy of the model.

        Raises:
            DeviceError: this worker does not have them.
        """
        if isinstance(self.device, str):
            return resolve_devices(self.device, self.precision)
        return self.device


class BlockModelHandler(ModelHandler["Block | pd.DataFrame", Part, ServingModel]):
    """Runs a BaseModel in RunInference; what it loads is the ``ServingModel`` of the process."""

    def __init__(self, model: BaseModel, settings: PredictSettings) -> None:
        super().__init__()
        self._model = model
        self._settings = settings
        self._file: ModelFile | None = None
        # Every thread has its own copy of this handler; the first one loads the model for all.
        self._shared = Shared()
        self._serving: ServingModel | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_serving": None}

    def load_model(self) -> ServingModel:
        """Load the launched model, or the one that ``update_model_path`` names."""
        if self._serving is None:
            self._serving = self._shared.acquire(self._make_serving_model)
        self._serving.load(self._file)
        return self._serving

    def _make_serving_model(self) -> ServingModel:
        settings = self._settings
        return ServingModel(
            self._model, settings.find_devices, settings.timeout_sec, settings.make_copies
        )

    def update_model_path(self, model_path: str | None = None) -> None:
        """Record the id of the next model to load."""
        if model_path:
            self._file = ModelFile.from_id(model_path)

    def should_skip_batching(self) -> bool:
        """Take each block as one batch."""
        return True

    def get_num_bytes(self, batch: Block | pd.DataFrame) -> int:
        """Return the bytes of a block, for RunInference's metrics."""
        return frame_bytes(batch.frame if isinstance(batch, Block) else batch)

    def run_inference(
        self,
        batch: Block | pd.DataFrame,
        model: ServingModel,
        inference_args: Mapping[str, Any] | None = None,
    ) -> list[Part]:
        """Predict a block with the current model."""
        block = batch if isinstance(batch, Block) else self._make_block(batch)
        return model.predict(block, halves=self._settings.handles_exceptions)

    def _make_block(self, frame: pd.DataFrame) -> Block:
        key_columns = self._settings.key_columns
        missing = [column for column in key_columns if column not in frame]
        if missing:
            raise UnusablePredictionError(
                f"key_column {missing[0]!r}: the DataFrame has no such column, but "
                f"{', '.join(map(str, frame.columns))}"
            )
        return Block.of_frame(frame, key_columns)


@beam.typehints.with_output_types(pd.DataFrame, dead_letters=DeadLetter)
class _RouteDoFn(beam.DoFn):
    """Counts predictions and dead letters, and separates them."""

    DEAD_LETTERS = "dead_letters"

    def process(self, element: pd.DataFrame | DeadLetter) -> Iterator[Any]:
        if isinstance(element, DeadLetter):
            count_dead_letter(element.error)
            yield TaggedOutput(self.DEAD_LETTERS, element)
        else:
            PREDICTIONS.inc(len(element))
            yield element
