"""Projects that ``flexpack init`` wrote: tried, tested and run, side by side on one emulator."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from launcher.emulator import daemon
from tests.support import BIN, bare_environ, open_storage, run

_READ = {"table": (200, 199), "image": (31, 30), "text": (60, 59)}


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder outside the kit, and the variables of a shell without a cloud account."""
    env = bare_environ()
    env.pop("PYTHONPATH", None)
    env["PATH"] = os.pathsep.join([str(BIN), env["PATH"]])
    return tmp_path_factory.mktemp("outside"), env


@pytest.fixture
def make(outside, emulator):
    """Run a target of a project's Makefile, against the tests' own emulator."""

    def make(project: Path, *arguments: str, status: int = 0):
        place = f"EMULATOR=--data-dir {emulator.data_dir}"
        return run("make", *arguments, place, env=outside[1], cwd=project, status=status)

    return make


@pytest.mark.parametrize("kind", _READ)
def test_from_init_to_predictions(kind, outside, make, emulator):
    folder, env = outside
    name = f"my_{kind}"
    done = run("flexpack", "init", name, "--kind", kind, env=env, cwd=folder)
    model = f"{name}.model:My{kind.capitalize()}Model"
    assert f"The model is {model}. Next:\n  cd {name}\n" in done.stdout
    assert "of the sample." in done.stdout

    tried = make(folder / name, "try", "ROWS=1000").stdout
    rows, predicted = _READ[kind]
    assert f"{rows} rows: {predicted} predicted, 1 dead letter\n" in tried

    tested = make(folder / name, "test").stderr
    assert "Ran 3 tests in" in tested

    printed = make(folder / name, "run", f"JOB_NAME=first-{kind}").stdout
    assert f"{rows} rows read, {predicted} predictions, 1 dead letter" in printed
    assert "\n  predictions   gcloud storage cat 'gs://" in printed
    shown = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert len(shown) == 5
    projects = {each["name"]: each["folder"] for each in daemon.list_projects(emulator)}
    assert projects[name] == str(folder / name)

    again = run("flexpack", "init", name, env=env, cwd=folder, status=2)
    assert again.stderr == (
        f"flexpack: NAME '{name}': is there already, and nothing is overwritten\n"
    )


def test_in_the_cloud_for_which_the_local_dataflow_stands(outside, make, emulator):
    """The Makefile's other way: templates in a bucket, from an image that already exists."""
    folder, env = outside
    if not (folder / "my_table").exists():
        run("flexpack", "init", "my_table", env=env, cwd=folder)
    open_storage(emulator).create_bucket("cloud-bucket")
    daemon.register_project(emulator, "my_table", folder / "my_table", BIN / "python")
    place = ("PROJECT=my-project", "REGION=europe-west1", "BUCKET=gs://cloud-bucket")
    cloud = env | daemon.shell_variables(emulator, project="other")
    cwd = folder / "my_table"
    made = run("make", "template", *place, "IMAGE=local/my_table", env=cloud, cwd=cwd).stdout
    assert "spec   gs://cloud-bucket/my_table/templates/batch.json\n" in made
    printed = run("make", "run", *place, "JOB_NAME=in-the-cloud", env=cloud, cwd=cwd).stdout
    assert "Launched in-the-cloud in europe-west1." in printed
    assert "200 rows read, 199 predictions, 1 dead letter" in printed
    assert "register" not in printed


def test_an_image_that_no_project_stands_for(outside, make):
    folder, env = outside
    if not (folder / "my_table").exists():
        run("flexpack", "init", "my_table", env=env, cwd=folder)
    makefile = folder / "my_table/Makefile"
    makefile.write_text(makefile.read_text().replace("--image local/my_table", "--image local/my"))
    failed = make(folder / "my_table", "run", "JOB_NAME=strange", status=2)
    said = failed.stdout + failed.stderr
    assert "no project 'my' is registered here; did you mean 'local/my_" in said
    assert f"local/my_table ({folder / 'my_table'})" in said
