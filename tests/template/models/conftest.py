"""Jobs of models without a class."""

import json

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from template.models.kinds import find_kind
from template.options import PredictConfig, find_model_class


@pytest.fixture
def predict_file(predict):
    """Run a job over ``input`` whose model class is that of the file; return rows by key."""

    def run(path, input_, opts, **settings):
        class_ = find_model_class(find_kind(str(path)))
        return predict(
            input_, model_path=str(path), model_class=class_, model_opts=opts, **settings
        )

    return run


@pytest.fixture
def inspect():
    """Check a launch as its template does, and return the configuration."""

    def check(path, opts):
        flags = ["--input=a.csv", "--output=out/p", f"--model_path={path}"]
        options = PipelineOptions([*flags, f"--model_opts={json.dumps(opts)}"])
        return PredictConfig.from_options(options)

    return check
