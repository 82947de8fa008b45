"""Every kind of file as it is tried and as a stream uses it, against the plain library."""

import json
import re

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from template.blocks import KEY
from template.inference import ApplyModel
from template.messages import Message, Messages
from template.options import choose_model_class
from template.sources.messages import DecodeMessages, MessageSettings
from template.trial.run import try_rows
from tests.template.models.kind_files import FRAME, FRAMEWORKS, SUFFIXES, save

COLLECTED = []


def collect(frame):
    COLLECTED.append(frame.to_dict("records"))


@pytest.fixture(params=SUFFIXES)
def saved(request, tmp_path):
    if framework := FRAMEWORKS.get(request.param):
        pytest.importorskip(framework)
    return save(request.param, tmp_path)


def test_messages_of_a_stream(inspect, saved):
    model = inspect(saved.path, saved.opts).model
    records = FRAME[["visits", "age", "income"]].assign(id=range(len(FRAME))).to_dict("records")
    messages = [
        Message(json.dumps(record).encode(), {}, str(number), 0.0)
        for number, record in enumerate(records)
    ]
    settings = MessageSettings(columns=tuple(model.columns), images=model.images.declared)
    COLLECTED.clear()
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    # Batches of 5 and 4 messages, because a stream has batches of every size.
    batches = [Messages(messages[:5]), Messages(messages[5:])]
    blocks, _ = pipeline | beam.Create(batches) | DecodeMessages(settings)
    rows, _ = blocks | ApplyModel(model, KEY, device="cpu").with_exception_handling()
    _ = rows | beam.Map(collect)
    pipeline.run().wait_until_finish()
    found = {row["key"]: row[saved.column] for frame in COLLECTED for row in frame}
    assert len(found) == len(FRAME)
    predicted = np.array([found[str(number)] for number in range(len(FRAME))])
    np.testing.assert_allclose(predicted, saved.wanted, rtol=0, atol=1e-6)


def test_flexpack_try(saved, tmp_path, capsys):
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    flags = [f"--input={tmp_path}/rows.csv", f"--model_path={saved.path}"]
    assert try_rows([*flags, f"--model_opts={json.dumps(saved.opts)}"], 20) == 0
    out = capsys.readouterr().out
    assert "9 predicted, 0 dead letters" in out
    rows = [line for line in out.splitlines() if line.startswith("rows.csv#")]
    shown = [[float(each) for each in re.findall(r"-?\d+\.\d+", row[10:])] for row in rows]
    np.testing.assert_allclose(np.squeeze(shown), saved.wanted, rtol=1e-3, atol=1e-3)


def test_a_newer_file_replaces_one_in_a_stream(saved, tmp_path):
    """Each process loads the model itself, without the launch that inspected the first."""
    class_ = choose_model_class(None, str(saved.path))
    model = class_(str(saved.path), saved.opts)
    model.inspect()
    columns = list(model.columns)
    newer = class_(str(saved.path), saved.opts)
    newer.model_version, newer.columns, newer._images = "2", columns, model.images.declared
    predicted = newer.predict(FRAME)[saved.column]
    np.testing.assert_allclose(predicted, saved.wanted, rtol=0, atol=1e-6)
    newer = class_(str(saved.path), saved.opts)
    newer.model_version, newer.columns = "2", columns[:2]
    with pytest.raises(ValueError, match=r"takes .*visits.*the job's model takes age .*income"):
        newer.ensure_model()
