"""A template for one model: its options are parameters, its class is not."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from launcher.emulator.pubsub import find_program
from tests.streaming_job import Job
from tests.support import run

MODEL = "tests.template.needs.option_models:EveryOption"


@pytest.fixture(scope="module")
def specs(lake, emulator_env):
    paths = {name: f"{lake.root}/templates/every-{name}.json" for name in ("batch", "streaming")}
    for name, path in paths.items():
        run(
            *("flexpack", "build", path, "--template", name, "--image=local/flexpack"),
            *("--model-class", MODEL),
            env=emulator_env,
        )
    return paths


@pytest.fixture(scope="module")
def table(lake):
    return lake.upload("tables/a.csv", b"b,a\nx,1\ny,two\n")


def flags_of(**parameters):
    return [f"--parameters={name}={value}" for name, value in parameters.items()]


def values_of(lake, prefix):
    return {row["key"]: row["options"] for row in lake.read_rows(prefix) if "options" in row}


def test_a_batch_job_has_the_defaults_that_no_launch_gives(lake, emulator_env, specs, table):
    batch = {"input": table, "model_path": table, "output": f"{lake.root}/every/rows"}
    done = run(
        *("flexpack", "run", "every", "--template-file-gcs-location", specs["batch"], "--wait"),
        *("--staging-location", f"{lake.root}/staging"),
        *flags_of(**batch, who="me", threshold="0.25", half="true"),
        env=emulator_env,
    )
    assert "2 rows read, 1 prediction, 1 dead letter" in done.stdout
    assert "1 x ValueError: column 'a': 'two' is not a number" in done.stdout
    assert values_of(lake, "every/rows-0") == {"a.csv#0": "[0.25, 5, 'small', True, None, 'me']"}
    record = json.loads(lake.bucket.blob("every/rows-run.json").download_as_bytes())
    assert record["parameters"]["model_class"] == MODEL


WRONG = {
    "threshold": ("1.5", "Threshold"),
    "top_k": ("0", "Top k"),
    "head": ("tiny", "Head"),
    "half": ("yes", "Half"),
    "note": ("A", "Note"),
}


@pytest.mark.gcloud
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_launches_it_and_is_refused_what_is_wrong(lake, emulator_env, specs, table):
    base = {"input": table, "model_path": table, "output": f"{lake.root}/by-gcloud-every/rows"}

    def launch(status, *flags, **parameters):
        return run(
            *("gcloud", "dataflow", "flex-template", "run", "every-gcloud"),
            *("--region=us-central1", "--format=json"),
            *(f"--template-file-gcs-location={specs['batch']}",),
            f"--staging-location={lake.root}/staging",
            *flags,
            *flags_of(**base, **parameters),
            env=emulator_env,
            status=status,
        )

    refused = launch(1, **{name: value for name, (value, _) in WRONG.items()}).stderr
    assert "INVALID_ARGUMENT: The template parameters are invalid" in refused
    for name in WRONG:
        assert re.search(rf"{name}: Parameter didn't match regex '\^.*\$'", refused), refused
    assert "who: Missing required parameter" in refused
    unknown = launch(1, who="me", model_class=MODEL).stderr
    assert "model_class: Unrecognized parameter" in unknown
    options = "--additional-pipeline-options=number_of_worker_harness_threads=2"
    replaced = Job(json.loads(launch(0, options, who="me").stdout)["job"]["id"], emulator_env)
    replaced.wait_for("JOB_STATE_FAILED")
    assert "the template is made for one model" in replaced.messages()
    job = Job(json.loads(launch(0, who="me", top_k="9").stdout)["job"]["id"], emulator_env)
    job.wait_for("JOB_STATE_DONE")
    assert values_of(lake, "by-gcloud-every/rows-0") == {
        "a.csv#0": "[0.5, 9, 'small', False, None, 'me']"
    }


def test_the_check_finds_every_wrong_option(emulator_env, specs, lake, table):
    checked = run(
        *("flexpack", "check", "--template-file-gcs-location", specs["batch"]),
        *flags_of(input=table, model_path=table, output=f"{lake.root}/never/rows"),
        *flags_of(**{name: value for name, (value, _) in WRONG.items()}),
        env=emulator_env,
        status=1,
    )
    for name, (value, _) in WRONG.items():
        assert f"--parameters {name}={value}" in checked.stdout
    assert "--parameters who: missing" in checked.stdout
    assert "A number from 0 to 1." in checked.stdout
    assert "model_class" not in checked.stdout


@pytest.mark.skipif(find_program() is None, reason="Google's Pub/Sub emulator is not installed")
def test_a_stream(lake, emulator_env, specs, table, monkeypatch):
    from tests.pubsub_client import Topic

    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator_env["PUBSUB_EMULATOR_HOST"])
    rows, predictions, dead_letters = (Topic(f"every-{name}") for name in ("in", "out", "dead"))
    printed = run(
        *("flexpack", "run", "every-stream", "--async"),
        *("--template-file-gcs-location", specs["streaming"]),
        *("--staging-location", f"{lake.root}/staging"),
        *flags_of(
            input_subscription=rows.subscription,
            output_topic=predictions.path,
            dead_letter_topic=dead_letters.path,
            model_path=table,
            who="a stream",
            top_k="2",
        ),
        env=emulator_env,
    ).stdout
    job = Job(re.search(r"job id +(\S+)", printed)[1], emulator_env)
    try:
        rows.publish([(b'{"a": 1, "b": 5}', {}), (b'{"b": 5}', {}), (b'{"a": 2}', {})])
        received = predictions.receive_until(lambda received: len(received) == 2)
        assert {each.json["a"] for each in received} == {1, 2}
        assert {each.json["options"] for each in received} == {
            "[0.5, 2, 'small', False, None, 'a stream']"
        }
        (dead,) = dead_letters.receive_until(lambda received: len(received) == 1)
        assert "no field 'a', which the model needs; its fields: b" in dead.json["error"]
    finally:
        job("cancel")
