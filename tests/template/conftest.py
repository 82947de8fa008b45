"""Runs the real batch pipeline on Beam's in-process runner, over files that the tests make."""

import argparse
import copy
import functools
import gzip
import json
import struct
import weakref
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pytest
import torch
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import userstate

from template.batch import build_batch_pipeline
from template.models.fashion_mnist import FashionMnistModel
from template.models.fashion_mnist_network import FashionMnistNetwork
from template.options import PredictConfig
from template.verdict import RunFailedError


@pytest.fixture(scope="session", autouse=True)
def _beam_inspects_a_dofn_once():
    """Save a fifth of the cost of a small job: Beam inspects each method of a DoFn eight times."""
    find_specs = userstate.get_dofn_specs
    found: dict[int, tuple] = {}

    def find_specs_once(dofn):
        known, specs = found.get(id(dofn), (None, None))
        if known is None or known() is not dofn:
            specs = find_specs(dofn)
            found[id(dofn)] = weakref.ref(dofn), specs
        return specs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(userstate, "get_dofn_specs", find_specs_once)
        yield


@functools.cache
def _parse_flags(view, flags):
    return vars(view(list(flags))._visible_options)


def _view_as(options, view):
    """Return a view of options as Beam does, which parses the flags for each of 200 views."""
    viewed = view.__new__(view)
    parsed = copy.deepcopy(_parse_flags(view, tuple(options._flags)))
    vars(viewed).update(
        _flags=options._flags,
        _visible_options=argparse.Namespace(**parsed),
        _all_options=options._all_options,
    )
    for name, value in parsed.items():
        options._all_options.setdefault(name, value)
    return viewed


@dataclass(frozen=True)
class Outcome:
    """What a job left behind: rows of the result files, dead letters, counters, names of the files.

    ``record`` is the run's, ``failure`` the text of the exception that the job ended with.
    """

    predictions: list
    dead_letters: list
    counters: dict
    files: list
    record: dict
    failure: str | None

    def by_key(self):
        assert len({row["key"] for row in self.predictions}) == len(self.predictions)
        return {row["key"]: row for row in self.predictions}


@pytest.fixture
def predict(tmp_path, weights, monkeypatch):
    """Run a job over ``input``; checks that every row read is predicted or dead-lettered.

    Unless ``max_dead_letter_share`` is given, no share of dead letters fails it.
    """

    def run(input, **settings):
        output = tmp_path / "out" / "result"
        config = PredictConfig(
            **{
                "input": str(input),
                "input_format": "auto",
                "key_column": None,
                "output": str(output),
                "output_format": "jsonl",
                "model_path": str(weights),
                "model_class": FashionMnistModel,
                "batch_size": 1024,
                "device": "cpu",
                "max_dead_letter_share": 1,
                **settings,
            }
        )
        monkeypatch.setattr(PipelineOptions, "view_as", _view_as)
        pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
        build_batch_pipeline(pipeline, config)
        record_file = output.parent / f"{output.name}-run.json"
        failure = None
        try:
            result = pipeline.run()
        except RunFailedError as error:
            failure = str(error)
            counters = _counts(record_file)
        else:
            result.wait_until_finish()
            counters = dict.fromkeys(_counts(record_file), 0)
            for counter in result.metrics().query()["counters"]:
                if counter.key.metric.name in counters:
                    counters[counter.key.metric.name] += counter.committed
            assert counters == _counts(record_file)
        record = json.loads(record_file.read_text())
        files = sorted(set(output.parent.iterdir()) - {record_file})
        assert sorted(each["path"] for each in record["output_files"]) == [
            str(file) for file in files if file.name.startswith(f"{output.name}-")
        ]
        del counters["unread_files"]
        predictions = [row for file in files if "-errors-" not in file.name for row in _rows(file)]
        dead_letters = [row for file in files if "-errors-" in file.name for row in _rows(file)]
        assert counters["rows_read"] == counters["predictions"] + counters["dead_letters"]
        assert counters["dead_letters"] == len(dead_letters)
        if settings.get("output_format", "jsonl") == "jsonl":
            assert counters["predictions"] == len(predictions)
        names = [file.name for file in files]
        return Outcome(predictions, dead_letters, counters, names, record, failure)

    return run


def _counts(record_file):
    return json.loads(record_file.read_text())["counts"]


def _rows(file):
    if file.suffix != ".jsonl":
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Weights of an untrained network."""
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(FashionMnistNetwork().state_dict(), path)
    return path


@pytest.fixture
def images():
    """A function that draws images."""

    def draw(count, shape=(28, 28), seed=0):
        return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)

    return draw


@pytest.fixture
def write_idx(tmp_path):
    """A function that writes an array as IDX; ``cut`` bytes are removed from the stored file."""

    def write(array, name="x-images-idx3-ubyte", *, cut=0, magic=None, extra=b""):
        codes = {"uint8": 0x08, "int8": 0x09, "float32": 0x0D}
        header = magic or bytes([0, 0, codes[array.dtype.name], array.ndim])
        data = header + struct.pack(f">{array.ndim}I", *array.shape)
        data += array.astype(array.dtype.newbyteorder(">")).tobytes() + extra
        if name.endswith(".gz"):
            data = gzip.compress(data, mtime=0)
        path = tmp_path / name
        path.write_bytes(data[: len(data) - cut])
        return path

    return write


@pytest.fixture
def expected(weights):
    """A function that classifies images with plain torch: (class_index, score) for each."""
    network = FashionMnistNetwork()
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()

    def classify(array):
        with torch.no_grad():
            scores = network(torch.from_numpy(array.reshape(-1, 784)).float() / 255).softmax(1)
        top, index = scores.max(1)
        return list(zip(index.tolist(), top.tolist(), strict=True))

    return classify
