"""Jobs of models without a class."""

import json

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from template.model_options import make_model
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


@pytest.fixture
def open_model():
    """Return the model of a file, as a launch makes it, with the types of its columns."""

    def make(path, **opts):
        model = make_model(find_model_class(find_kind(str(path))), str(path), opts)
        model.inspect()
        return model, {column.name: column.type for column in model.columns}

    return make
