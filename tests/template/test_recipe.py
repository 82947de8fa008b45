"""The recipe's own pipeline, unchanged except for its imports and the source of the images.

One DataFrame per batch of 100 images that holds a tensor in column ``value``, Reshuffle,
``ApplyModel(key_column="batch_id")``, and a model whose ``predict`` returns nothing.
"""

import logging
import uuid

import apache_beam as beam
import numpy as np
import pandas as pd
import pytest
import torch
from apache_beam.options.pipeline_options import PipelineOptions

from template.files import download_file_to_localfs
from template.inference import ApplyModel
from template.model import BaseModel
from template.models.fashion_mnist import CLASSES
from template.models.fashion_mnist_network import FashionMnistNetwork

logger = logging.getLogger(__name__)

device = "cpu"
BATCHES = 3
PREDICTED = []


class PytorchClassifierModel(BaseModel):
    """The recipe's model."""

    def load_model(self, path, **kwargs):
        model = FashionMnistNetwork()
        with download_file_to_localfs(self.model_path) as m_path:
            model.load_state_dict(torch.load(m_path))
            model = model.to(device)
            model.eval()
        return model

    def predict(self, x: pd.DataFrame):
        X = x["value"].iloc[0]
        X = X.to(device)
        model = self.ensure_model()
        with torch.no_grad():
            pred = model(X)
            predicted = CLASSES[pred[0].argmax(0)]
            logger.info(f'Prediction sample: "{predicted}"')
            PREDICTED.append((len(X), predicted))


class LoadBatchesDoFn(beam.DoFn):
    """The recipe's source: batches of 100 images as ToTensor makes them."""

    def process(self, element, *args, **kwargs):
        generator = np.random.default_rng(5)
        for _ in range(BATCHES):
            pixels = generator.integers(0, 256, (100, 1, 28, 28), dtype=np.uint8)
            X = torch.from_numpy(pixels).float() / 255
            yield pd.DataFrame([{"batch_id": str(uuid.uuid1()), "value": X}])


RESULTS = []


def collect(frame):
    RESULTS.append(frame)


@pytest.mark.parametrize("handles_exceptions", [False, True])
def test_the_recipe_runs(weights, handles_exceptions):
    PREDICTED.clear()
    RESULTS.clear()
    model = PytorchClassifierModel(model_path=str(weights))
    apply_model = ApplyModel(model=model, key_column="batch_id")
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    batches = (
        pipeline
        | "InitialImpulse" >> beam.Create(["impulse"])
        | "LoadBatches" >> beam.ParDo(LoadBatchesDoFn())
        | "ReshuffleWorkload" >> beam.Reshuffle()
    )
    if handles_exceptions:
        results, _ = batches | "Predict" >> apply_model.with_exception_handling()
    else:
        results = batches | "Predict" >> apply_model
    _ = results | beam.Map(collect)
    pipeline.run().wait_until_finish()
    assert [rows for rows, _ in PREDICTED] == [100] * BATCHES
    assert all(name in CLASSES for _, name in PREDICTED)
    assert [list(frame.columns) for frame in RESULTS] == [["batch_id"]] * BATCHES
    assert len({frame["batch_id"][0] for frame in RESULTS}) == BATCHES
