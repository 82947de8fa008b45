"""A GPU for the prediction step only, as a resource hint in the pipeline."""

from __future__ import annotations

import shutil

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from launcher import Accelerator
from launcher.accelerators.catalogue import encode_resource_hint
from template.batch import build_batch_pipeline
from template.options import PredictConfig

HINT = encode_resource_hint(Accelerator("nvidia-l4"))


def test_only_the_prediction_step_asks_for_the_gpu(tmp_path):
    (tmp_path / "rows.csv").write_text("a\n1\n")
    options = PipelineOptions(
        [
            f"--input={tmp_path}/rows.csv",
            f"--output={tmp_path}/out",
            f"--model_path={tmp_path}/m.pth",
            "--model_class=template.models.fashion_mnist:FashionMnistModel",
            f"--prediction_accelerator={HINT}",
        ]
    )
    pipeline = beam.Pipeline(options=options)
    build_batch_pipeline(pipeline, PredictConfig.from_options(options))
    components = pipeline.to_runner_api().components
    shutil.rmtree(pipeline.local_tempdir)  # Only running a pipeline removes the folder.
    with_gpu = {
        name
        for name, environment in components.environments.items()
        if HINT.encode() in environment.resource_hints.values()
    }
    assert with_gpu
    steps = {
        transform.unique_name
        for transform in components.transforms.values()
        if transform.environment_id in with_gpu
    }
    assert steps
    assert {step.partition("/")[0] for step in steps} == {"Predict"}
