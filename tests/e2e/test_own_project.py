"""Projects that ``flexpack init`` wrote: tried, tested and run, side by side on one emulator."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from launcher.emulator import daemon
from launcher.emulator.pubsub import find_program
from tests.support import BIN, bare_environ, open_storage, run
from tests.template.models.hugging_face_folders import SIZES, save_folder
from tests.template.models.kind_files import save

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


# The README's session is that of a table.
@pytest.mark.parametrize("kind", [pytest.param("table", marks=pytest.mark.wide), "image", "text"])
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

    weights = _keep_weights_in_a_folder(folder / name) if kind == "text" else "data/model.pth"
    weights = f"WEIGHTS={weights}"
    printed = make(folder / name, "run", f"JOB_NAME=first-{kind}", weights).stdout
    assert f"{rows} rows read, {predicted} predictions, 1 dead letter" in printed
    assert "\n  predictions   gcloud storage cat 'gs://" in printed
    assert f'/flexpack emulator env --data-dir {emulator.data_dir})"\n' in printed
    shown = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert len(shown) == 5
    projects = {each["name"]: each["folder"] for each in daemon.list_projects(emulator)}
    assert projects[name] == str(folder / name)

    if kind == "image" and find_program() is not None:
        streamed = make(folder / name, "run-stream", f"JOB_NAME=stream-{kind}").stdout
        said = f"{rows} messages: {predicted} predicted, 1 dead-lettered, 0 without an answer\n"
        assert said in streamed

    again = run("flexpack", "init", name, env=env, cwd=folder, status=2)
    assert again.stderr == (
        f"flexpack: NAME '{name}': already exists, and nothing is overwritten\n"
    )


def _keep_weights_in_a_folder(project: Path) -> str:
    """Let the model read its weights from a folder; return the folder, as a user may write it."""
    (project / "data/bundle").mkdir()
    shutil.copy(project / "data/model.pth", project / "data/bundle/net.pth")
    model = project / project.name / "model.py"
    text = model.read_text().replace("download_file_to_localfs", "download_to_localfs")
    model.write_text(text.replace("torch.load(file,", 'torch.load(f"{file}/net.pth",'))
    return "data/bundle/"


def test_files_that_are_not_there(outside, make):
    """A typo never overwrites the user's data, and nothing is launched without its input."""
    folder, env = outside
    run("flexpack", "init", "typos", env=env, cwd=folder)
    sample = folder / "typos/data/sample.csv"
    sample.write_text("customer,age,visits,spent\nmine,30,2,10\n")
    mine = sample.read_text()
    for setting in ("WEIGHTS=mien.pth", "INPUT=mien.csv"):
        failed = make(folder / "typos", "try", setting, status=2)
        assert failed.stderr.startswith(f"{setting}: no such file\n")
    (folder / "typos/other.csv").write_text("id,age,visits\nmine,30,2\n")
    tested = make(folder / "typos", "test", "INPUT=other.csv", status=2).stderr
    assert "2 != 0 : --input 'other.csv': no column 'customer', which key_column names" in tested
    assert "apache_beam" not in tested
    failed = make(folder / "typos", "run", "INPUT=data/mien*.csv", status=2)
    assert "FILE 'data/mien*.csv': no such file" in failed.stderr
    assert "Built" not in failed.stdout
    assert "Launched" not in failed.stdout
    (folder / "typos/data/model.pth").unlink()
    failed = make(folder / "typos", "try", status=2)
    assert failed.stderr.startswith("WEIGHTS=data/model.pth: no such file\n")
    program = run(BIN / "python", "make_sample.py", env=env, cwd=folder / "typos", status=1)
    assert "sample.csv: exists already, and nothing is overwritten\n" in program.stderr
    assert sample.read_text() == mine
    sample.unlink()
    make(folder / "typos", "try")
    assert sample.read_text() != mine


def test_in_the_cloud_for_which_the_local_dataflow_stands(outside, make, emulator):
    """The Makefile's other method: templates in a bucket, from an image that already exists."""
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


@pytest.mark.parametrize(
    "kind",
    [
        "table",
        pytest.param("pictures", marks=pytest.mark.wide),
        pytest.param("folder", marks=pytest.mark.wide),
    ],
)
def test_from_a_model_file_to_predictions(kind, outside):
    """No class is written by hand, and ``make test`` passes as it is."""
    folder, env = outside
    path, options, columns = MODEL_FILES[kind](folder)
    name = f"file_{kind}"
    flags = [f"--parameters={each}" for each in options]
    done = run("flexpack", "init", name, "--checkpoint", path, *flags, env=env, cwd=folder)
    assert f"The model is {name}.model:File{kind.capitalize()}Model, a" in done.stdout
    project = folder / name
    tried = run("make", "try", env=env, cwd=project).stdout
    assert tried.split("\n")[0].split() == ["key", *columns]
    assert "3 rows: 3 predicted, 0 dead letters\n" in tried
    assert "Ran 2 tests in" in run("make", "test", env=env, cwd=project).stderr


def _save_estimator(folder: Path) -> tuple[Path, list[str], list[str]]:
    saved = save("joblib", folder)
    return saved.path, ["trusted=true", "method=predict"], ["prediction"]


def _save_network_of_pictures(folder: Path) -> tuple[Path, list[str], list[str]]:
    layers = torch.nn.AvgPool2d(16), torch.nn.Flatten(), torch.nn.Linear(12, 2)
    torch.jit.script(torch.nn.Sequential(*layers)).save(folder / "pets.pt")
    options = ["image_size=32", "class_names=cat,dog", "softmax=true"]
    return folder / "pets.pt", options, ["label", "score"]


def _save_folder(folder: Path) -> tuple[Path, list[str], list[str]]:
    path = folder / "sentiment"
    save_folder(path, "BertForSequenceClassification", num_labels=3, **SIZES)
    return path, [], ["label", "score"]


MODEL_FILES = {
    "table": _save_estimator, "pictures": _save_network_of_pictures, "folder": _save_folder
}  # fmt: skip
