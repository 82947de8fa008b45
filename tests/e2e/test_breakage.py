"""Failing launches, and what the user sees."""

from __future__ import annotations

import os
import signal

import pytest

from launcher.emulator import daemon
from tests.support import BIN, PROJECT, open_storage, run


@pytest.fixture(scope="module")
def spec(lake, emulator_env):
    path = f"{lake.root}/templates/breakage.json"
    run("flexpack", "build", path, "--image", "local/flexpack", env=emulator_env)
    return path


@pytest.fixture
def launch(lake, emulator_env, spec, staged_images, staged_weights):
    """Run the template with other parameters, and expect that exit status."""

    def launch(job_name, *flags, status, template=spec, **parameters):
        given = {
            "input": staged_images,
            "model_path": staged_weights,
            "output": f"{lake.root}/breakage/{job_name}",
        } | parameters
        return run(
            *("flexpack", "run", job_name, "--template-file-gcs-location", template, "--wait"),
            *("--staging-location", f"{lake.root}/staging", *flags),
            *(f"--parameters={name}={value}" for name, value in given.items() if value),
            env=emulator_env,
            status=status,
        )

    return launch


def test_wrong_parameters_are_named_at_once(launch, emulator_env):
    done = launch("wrong", status=2, ouput="x", device="gpu", batch_size="0", model_path=None)

    for expected in ("ouput", "did you mean 'output'?", "device", "batch_size", "model_path"):
        assert expected in done.stderr
    assert "Traceback" not in done.stderr
    jobs = run("flexpack", "jobs", "list", "--name", "wrong", env=emulator_env).stdout
    assert "JOB_STATE" not in jobs


def test_missing_spec(launch, lake):
    done = launch("no-spec", status=2, template=f"{lake.root}/templates/nothing.json")

    assert "templates/nothing.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_image(launch, lake, emulator_env):
    spec = f"{lake.root}/templates/unknown-image.json"
    image = "europe-west1-docker.pkg.dev/p/r/i:1"
    run("flexpack", "build", spec, "--image", image, env=emulator_env)

    done = launch("unknown-image", status=1, template=spec)

    assert image in done.stdout
    assert "images.toml" in done.stdout


def test_input_that_matches_nothing(launch, lake):
    pattern = f"{lake.root}/nothing/*.png"
    refused = launch("no-input", status=2, input=pattern)
    assert f"object-missing: --parameters input={pattern}: no object matches" in refused.stderr
    done = launch("no-input", "--ignore=object-missing", status=1, input=pattern)

    assert f"{lake.root}/nothing/*.png" in done.stdout
    assert "no file matches" in done.stdout


def test_output_that_cannot_be_written(launch):
    output = "gs://no-such-bucket-here/rows"
    done = launch("no-output", "--ignore=bucket-missing", status=1, output=output)

    assert "no-such-bucket-here" in done.stdout
    assert "cannot be written" in done.stdout


def test_weights_of_another_network(launch, lake, garments, tmp_path):
    import torch

    state = torch.load(garments.weights, weights_only=True)
    state["linear_relu_stack.4.weight"] = torch.zeros(7, 512)
    torch.save(state, tmp_path / "other.pth")
    weights = lake.upload("models/other.pth", (tmp_path / "other.pth").read_bytes())

    done = launch("other-weights", status=1, model_path=weights)

    assert "linear_relu_stack.4.weight is (7, 512), not (10, 512)" in done.stdout


def test_gpu_that_is_absent(launch):
    done = launch("no-gpu", "--ignore=gpu-missing", status=1, device="cuda")

    assert "this worker has no usable GPU" in done.stdout
    assert "torch: 2.13.0" in done.stdout


def test_bad_rows_do_not_fail_the_job(launch, lake, emulator_env, image_set):
    content = image_set.images.read_bytes()
    lake.upload("mixed/whole-idx3-ubyte.gz", content)
    lake.upload("mixed/cut-idx3-ubyte.gz", content[: len(content) // 2])
    lake.upload("mixed/text.png", b"no image at all")

    done = launch("mixed", status=0, input=f"{lake.root}/mixed/*")

    assert "2 dead letters" in done.stdout
    letters = {
        letter["source"].rpartition("/")[2].partition(" ")[0]: letter["error"]
        for letter in lake.read_rows("breakage/mixed-errors")
    }
    assert set(letters) == {"cut-idx3-ubyte.gz", "text.png"}
    assert "are missing" in letters["cut-idx3-ubyte.gz"]


def test_killed_emulator_comes_back(tmp_path, lake, staged_images):
    data_dir = tmp_path / "emulator"
    first = daemon.start_detached(
        daemon.EmulatorOptions(port=0, storage_port=0, data_dir=data_dir, images=None)
    )
    path = os.pathsep.join([str(BIN), os.environ["PATH"]])
    base = dict(os.environ) | {"PATH": path}
    env = base | daemon.shell_variables(first, project=PROJECT)
    flags = (
        *("--staging-location", "gs://survivor/staging", "--ignore=object-missing"),
        *("--parameters=input=gs://survivor/x.csv", "--parameters=output=gs://survivor/o"),
        "--parameters=model_path=gs://survivor/m",
        "--parameters=model_class=template.models.fashion_mnist:FashionMnistModel",
    )
    try:
        open_storage(first).create_bucket("survivor")
        run("flexpack", "build", "gs://survivor/t.json", "--image", "local/flexpack", env=env)
        run(
            *("flexpack", "run", "interrupted", "--template-file-gcs-location"),
            *("gs://survivor/t.json", *flags, "--async"),
            env=env,
        )
        os.kill(first.pid, signal.SIGKILL)

        second = daemon.start_detached(
            daemon.EmulatorOptions(port=0, storage_port=0, data_dir=data_dir, images=None)
        )

        env = base | daemon.shell_variables(second, project=PROJECT)
        listed = run("flexpack", "jobs", "list", env=env).stdout
        assert "interrupted" in listed
        assert "JOB_STATE_FAILED" in listed
        printed = run(
            *("flexpack", "run", "second-try", "--template-file-gcs-location"),
            *("gs://survivor/t.json", *flags, "--wait"),
            env=env,
            status=1,
        )
        assert "gs://survivor/x.csv" in printed.stdout
    finally:
        daemon.stop(data_dir)
