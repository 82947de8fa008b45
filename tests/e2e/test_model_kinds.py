"""Models without a class in Cloud Storage folders, in batch and streaming jobs."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest

from launcher.emulator.pubsub import find_program
from tests.streaming_job import Job
from tests.support import run
from tests.template.models.kind_files import FRAME, FRAMEWORKS, save

_TOLERANCE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(scope="module")
def specs(lake, emulator_env):
    paths = {name: f"{lake.root}/templates/kinds-{name}.json" for name in ("batch", "streaming")}
    for name, path in paths.items():
        run(
            "flexpack",
            "build",
            path,
            "--template",
            name,
            "--image=local/flexpack",
            env=emulator_env,
        )
    return paths


@pytest.fixture
def upload(lake, tmp_path):
    """Put a model of a kind into a Cloud Storage folder; return it and the folder."""

    def upload(kind):
        if framework := FRAMEWORKS.get(kind):
            pytest.importorskip(framework)
        saved = save(kind, tmp_path)
        lake.upload(f"kinds/{kind}/{saved.path.name}", saved.path.read_bytes())
        lake.upload(f"kinds/{kind}/README.md", b"notes")
        return saved, f"{lake.root}/kinds/{kind}"

    return upload


@pytest.mark.parametrize(
    "kind",
    [
        "onnx",
        pytest.param("ubj", marks=pytest.mark.wide),
        "joblib",
        pytest.param("exported", marks=pytest.mark.wide),
    ],
)
def test_a_batch_job(lake, emulator_env, specs, upload, kind):
    saved, folder = upload(kind)
    table = lake.upload(f"kinds/{kind}.csv", FRAME.to_csv(index_label="id").encode())
    done = run(
        *("flexpack", "run", f"kind-{kind}", "--template-file-gcs-location", specs["batch"]),
        *("--wait", "--staging-location", f"{lake.root}/staging"),
        *(f"--parameters=input={table}", "--parameters=key_column=id"),
        *(f"--parameters=output={lake.root}/kind-{kind}/rows", f"--parameters=model_path={folder}"),
        f"--parameters=model_opts={json.dumps(saved.opts)}",
        env=emulator_env,
    )
    assert "9 rows read, 9 predictions, 0 dead letters" in done.stdout
    rows = {row["key"]: row[saved.column] for row in lake.read_rows(f"kind-{kind}/rows-0")}
    found = np.array([rows[str(number)] for number in range(len(FRAME))])
    np.testing.assert_allclose(found, saved.wanted, **_TOLERANCE)


@pytest.mark.skipif(find_program() is None, reason="Google's Pub/Sub emulator is not installed")
@pytest.mark.parametrize("kind", ["onnx", pytest.param("ubj", marks=pytest.mark.wide)])
def test_a_stream(lake, emulator_env, specs, upload, monkeypatch, kind):
    from tests.pubsub_client import Topic

    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator_env["PUBSUB_EMULATOR_HOST"])
    rows, predictions = Topic(f"{kind}-in"), Topic(f"{kind}-out")
    saved, folder = upload(kind)
    printed = run(
        *("flexpack", "run", f"stream-{kind}", "--async"),
        *("--template-file-gcs-location", specs["streaming"]),
        *("--staging-location", f"{lake.root}/staging"),
        f"--parameters=input_subscription={rows.subscription}",
        f"--parameters=output_topic={predictions.path}",
        f"--parameters=dead_letter_output={lake.root}/stream-{kind}/dead",
        *(f"--parameters=model_path={folder}", "--parameters=key_column=id"),
        f"--parameters=model_opts={json.dumps(saved.opts)}",
        env=emulator_env,
    ).stdout
    job = Job(re.search(r"job id +(\S+)", printed)[1], emulator_env)
    try:
        records = FRAME.assign(id=FRAME.index.astype(str)).to_dict("records")
        rows.publish([(json.dumps(record).encode(), {}) for record in records])
        received = predictions.receive_until(lambda received: len(received) == len(FRAME))
        by_key = {each.json["key"]: each.json[saved.column] for each in received}
        found = np.array([by_key[str(number)] for number in range(len(FRAME))])
        np.testing.assert_allclose(found, saved.wanted, **_TOLERANCE)
    finally:
        job("cancel")


_INSPECT = """
import json, sys
from template.model_options import make_model
from template.options import choose_model_class
for path in sys.argv[1:]:
    try:
        model = make_model(choose_model_class(None, path), path, {"feature_columns": "a,b,c"})
        model.inspect()
        print(type(model).__name__)
    except ValueError as error:
        print(error)
"""


def test_folders_that_are_not_what_they_seem(lake, emulator_env, upload, tmp_path):
    saved, folder = upload("torchscript")
    content = saved.path.read_bytes()
    onnx = save("onnx", tmp_path).path.read_bytes()
    both = lake.upload("kinds/both", content)  # an object, and a folder of its name
    lake.upload("kinds/both/model.onnx", onnx)
    lake.upload("kinds/marked/", b"")  # as consoles make a folder
    lake.upload("kinds/damaged/model.pt", content[:-100])
    lake.upload("kinds/two/a.onnx", onnx)
    lake.upload("kinds/two/b.pt", content)
    lake.upload("kinds/inner/deep/model.onnx", onnx)
    names = ("marked", "nothing", "damaged", "two", "inner")
    paths = [
        folder,
        f"{folder}/",
        both,
        f"{both}/",
        *(f"{lake.root}/kinds/{name}" for name in names),
    ]
    printed = run(sys.executable, "-c", _INSPECT, *paths, env=emulator_env).stdout.splitlines()
    found = dict(zip(paths, printed, strict=True))
    assert found[folder] == found[f"{folder}/"] == "TorchScriptModel"
    assert found[both] == "TorchScriptModel"
    assert found[f"{both}/"] == "OnnxModel"
    for name, message in {
        "marked": "no such file or folder",
        "nothing": "no such file or folder",
        "damaged": "damaged",
        "two": "is a folder of 2 models: a.onnx, b.pt. Name one of them",
        "inner": "OnnxModel",
    }.items():
        assert message in found[f"{lake.root}/kinds/{name}"], name
