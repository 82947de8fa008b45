"""ApplyModel: predictions for a PCollection of DataFrames, on Beam's RunInference.

RunInference brings its metrics, the sharing of one loaded model between the threads of a process
and model updates while a job runs; a whole block is one batch of it, and nothing is batched anew.
https://beam.apache.org/documentation/ml/about-ml/
"""

from __future__ import annotations

import copy
import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pandas as pd
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, ModelMetadata, RunInference
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.utils.shared import Shared

from template.blocks import MODEL_ID, Block, frame_bytes
from template.dead_letters import DEAD_LETTERS, PREDICTIONS, DeadLetter, describe
from template.device import (
    is_device_failure,
    is_out_of_memory,
    release_memory,
    resolve_device,
)
from template.model import BaseModel
from template.model_swap import ModelFile
from template.predict_result import UnusablePredictionError, join_predictions

_log = logging.getLogger(__name__)

MODELS_REFUSED = Metrics.counter("flexpack", "models_refused")
_SAMPLE_ROWS = 4


class ApplyModel(beam.PTransform):
    """Predicts every row of every DataFrame of a PCollection.

    Each DataFrame of the result holds the key column(s) and what ``model.predict`` returned for
    its rows, side by side (``template.predict_result`` says what ``predict`` may return), with the
    index and attrs of its block. One DataFrame is one batch: make them as large as the model likes.
    ``predict`` gets a DataFrame as it is, with the key column(s); the templates' own sources make
    ``template.blocks.Block``s, whose keys travel beside the frame.

    An exception from ``predict`` fails the bundle, as in any DoFn, unless
    ``with_exception_handling`` is called.

    Args:
        model: what to predict with; loaded on the workers, once per process.
        key_column: the column that identifies a row, or a list of such columns.
        device: "auto", "cuda" or "cpu", see ``template.device``.
        model_metadata_pcoll: ``ModelMetadata`` side input of RunInference. Its ``model_id`` is
            the ``ModelFile.id`` of the model to use from then on. One that does not load, or does
            not predict the columns of the present model, is refused, logged and counted; the
            present one stays, and in a process that has none yet it is ``model``.
        reserved_columns: names that ``predict`` must not return, because a later step adds them.
    """

    def __init__(
        self,
        model: BaseModel,
        key_column: str | Sequence[str],
        device: str = "auto",
        model_metadata_pcoll: PCollection[ModelMetadata] | None = None,
        reserved_columns: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._reserved_columns = tuple(reserved_columns)
        self._model = model
        self._key_columns = [key_column] if isinstance(key_column, str) else list(key_column)
        self._device = device
        self._model_metadata_pcoll = model_metadata_pcoll
        self._handles_exceptions = False

    def with_exception_handling(self) -> ApplyModel:
        """Make the result ``(predictions, dead_letters)``; one bad row then fails nothing.

        Where ``predict`` raises, or returns a wrong number of entries, the block is halved until
        the rows that make it raise stand alone: they become dead letters, the others are
        predicted. An out-of-memory error is met in the same way. What halving cannot cure fails
        the bundle: a lost GPU, or a return value of an unusable type.
        """
        self._handles_exceptions = True
        return self

    def expand(self, blocks: PCollection) -> PCollection | tuple[PCollection, PCollection]:
        """Apply RunInference to the blocks."""
        handler = _BlockModelHandler(
            self._model,
            self._key_columns,
            self._device,
            self._handles_exceptions,
            self._reserved_columns,
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


class _Present:
    """The model that predicts in this process now, and some rows that it has predicted.

    A model that is loaded before there are such rows is compared with ``earlier`` on the first
    ones, and ``refused`` then.
    """

    model: BaseModel | None = None
    sample: Block | None = None
    earlier: BaseModel | None = None
    refused: BaseModel | None = None


class _BlockModelHandler(
    ModelHandler["Block | pd.DataFrame", "pd.DataFrame | DeadLetter", BaseModel]
):
    """Runs a BaseModel in RunInference; the model that it loads is the BaseModel itself."""

    def __init__(
        self,
        model: BaseModel,
        key_columns: Sequence[str],
        device: str,
        handles_exceptions: bool,
        reserved_columns: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._given = self._model = model
        self._key_columns = list(key_columns)
        self._device = device
        self._handles_exceptions = handles_exceptions
        self._reserved_columns = tuple(reserved_columns)
        # Every thread has its own copy of this handler; whichever is first loads for all of them.
        self._shared = Shared()
        self._present: _Present | None = None

    def _find_present(self) -> _Present:
        if self._present is None:
            self._present = self._shared.acquire(_Present)
        return self._present

    def load_model(self) -> BaseModel:
        present = self._find_present()
        earlier = None
        try:
            model = self._load(self._model)
            earlier = self._find_earlier(present)
            if earlier is not None and present.sample is not None:
                self._check_like(earlier, model, present.sample)
        except Exception as error:
            if self._model is self._given:
                raise
            model = self._load(self._given) if present.model is None else present.model
            _refuse(self._model, model, error)
        else:
            _log.info("model %s serves", _model_id(model))
            present.earlier = earlier if present.sample is None else None
        present.model = model
        return model

    def _find_earlier(self, present: _Present) -> BaseModel | None:
        """Return what a new model has to be like; None for the model that is launched."""
        if present.model is not None:
            return present.earlier or present.model
        if self._model is self._given:
            return None
        try:
            return self._load(self._given)
        except Exception as error:
            release_memory()
            _log.warning(
                "model %s is compared with none, because %s does not load: %s",
                _model_id(self._model),
                _model_id(self._given),
                describe(error),
            )
            return None

    def _load(self, given: BaseModel) -> BaseModel:
        model = copy.copy(given)
        model.device = resolve_device(self._device)
        model.ensure_model()
        # What the imports and the model hold lives as long as the process. Unfrozen, the garbage
        # collector walks it again and again: 5 % of the CPU time of a small model.
        gc.freeze()
        return model

    def _check_like(self, earlier: BaseModel, model: BaseModel, sample: Block) -> None:
        """Check on some rows that a new model predicts what the one before it does."""
        now, then = (self._predict(sample, each) for each in (earlier, model))
        if list(now.columns) != list(then.columns):
            raise UnusablePredictionError(
                f"predict returned the columns {', '.join(then.columns)}, "
                f"not {', '.join(now.columns)}"
            )

    def _check_late(self, model: BaseModel, earlier: BaseModel, sample: Block) -> None:
        """Check a model that was loaded before there were rows, on the first that tell."""
        try:
            self._predict(sample, earlier)
        except Exception as error:
            _log.info("no rows to compare models on, the next may do: %s", describe(error))
            return
        present = self._find_present()
        present.earlier = None
        try:
            self._check_like(earlier, model, sample)
        except Exception as error:
            _refuse(model, earlier, error)
            present.model, present.refused = earlier, model

    def update_model_path(self, model_path: str | None = None) -> None:
        if model_path:
            file = ModelFile.from_id(model_path)
            self._model = copy.copy(self._model)
            self._model.model_path, self._model.model_version = file.path, file.version

    def should_skip_batching(self) -> bool:
        return True

    def get_num_bytes(self, batch: Block | pd.DataFrame) -> int:
        return frame_bytes(batch.frame if isinstance(batch, Block) else batch)

    def run_inference(
        self,
        batch: Block | pd.DataFrame,
        model: BaseModel,
        inference_args: Mapping[str, Any] | None = None,
    ) -> list[pd.DataFrame | DeadLetter]:
        block = batch if isinstance(batch, Block) else self._make_block(batch)
        present = self._find_present()
        earlier = present.earlier
        if earlier is not None and model is present.model:
            self._check_late(model, earlier, block.take(0, _SAMPLE_ROWS))
        if model is present.refused and present.model is not None:
            model = present.model
        if self._handles_exceptions:
            parts = list(self._predict_or_halve(block, model))
        else:
            parts = [self._predict(block, model)]
        if present.sample is None and len(parts) == 1 and isinstance(parts[0], pd.DataFrame):
            present.sample = block.take(0, _SAMPLE_ROWS)
        if len(parts) > 1:
            _log.warning("predict failed on a block of %d rows, which was halved", len(batch))
        return parts

    def _make_block(self, frame: pd.DataFrame) -> Block:
        missing = [column for column in self._key_columns if column not in frame]
        if missing:
            raise UnusablePredictionError(
                f"key_column {missing[0]!r}: the DataFrame has no such column, but "
                f"{', '.join(map(str, frame.columns))}"
            )
        return Block.of_frame(frame, self._key_columns)

    def _predict(self, block: Block, model: BaseModel) -> pd.DataFrame:
        # A copy: predict may change its argument, and a halved block is predicted again.
        rows = block.frame.copy()
        predictions = join_predictions(
            block.beside, len(block), model.predict(rows), self._reserved_columns
        )
        predictions.index = block.index
        predictions.attrs = {**block.attrs, MODEL_ID: _model_id(model)}
        return predictions

    def _predict_or_halve(
        self, block: Block, model: BaseModel
    ) -> Iterator[pd.DataFrame | DeadLetter]:
        try:
            predictions = self._predict(block, model)
        except Exception as error:
            if isinstance(error, UnusablePredictionError) or is_device_failure(error):
                raise
            failure = describe(error)
            out_of_memory = is_out_of_memory(error)
        else:
            yield predictions
            return
        # Past the handler the traceback is gone, and with it the tensors of the failed batch.
        if not len(block):
            return
        if len(block) == 1:
            key = ", ".join(str(block.beside[column][0]) for column in self._key_columns)
            yield DeadLetter.of_row(block, key, failure)
            return
        if out_of_memory:
            release_memory()
        half = len(block) // 2
        for start, stop in ((0, half), (half, len(block))):
            yield from self._predict_or_halve(block.take(start, stop), model)


def _refuse(model: BaseModel, serving: BaseModel, error: Exception) -> None:
    MODELS_REFUSED.inc()
    _log.error(
        "model %s is refused, %s keeps serving: %s",
        _model_id(model),
        _model_id(serving),
        describe(error),
    )


def _model_id(model: BaseModel) -> str:
    return ModelFile(model.model_path, model.model_version).id


@beam.typehints.with_output_types(pd.DataFrame, dead_letters=DeadLetter)
class _RouteDoFn(beam.DoFn):
    """Counts predictions and dead letters, and parts them."""

    DEAD_LETTERS = "dead_letters"

    def process(self, element: pd.DataFrame | DeadLetter) -> Iterator[Any]:
        if isinstance(element, DeadLetter):
            DEAD_LETTERS.inc()
            yield TaggedOutput(self.DEAD_LETTERS, element)
        else:
            PREDICTIONS.inc(len(element))
            yield element
