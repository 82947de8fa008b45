"""A user's own project, from ``flexpack init`` to a job that runs in its image."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from launcher.emulator import daemon
from launcher.image.engines.buildah import Buildah
from tests.docker import standins
from tests.docker.project import NAME
from tests.support import BIN, PROJECT, bare_environ, open_storage, run, run_emulator

pytestmark = [pytest.mark.buildah, pytest.mark.slow]

# Importing the module uses the packages of the lock and the system packages.
NEEDS = """
import shutil
import iniconfig
assert shutil.which("bc")
"""
BUCKET = "flexpack-churn-tests"
REFERENCE = "europe-west1-docker.pkg.dev/my-project/flexpack/churn:1.0"


@dataclass(frozen=True)
class Churn:
    """A project of ``flexpack init``; its own Makefile builds its image."""

    root: Path
    variables: tuple[str, ...]

    def make(self, *words: str) -> str:
        env = {**bare_environ(), "PATH": f"{BIN}:{os.environ['PATH']}"}
        return run("make", *words, cwd=self.root, env=env, timeout_sec=900).stdout

    def build(self, tag: str) -> str:
        """Build the CPU flavour and return its reference."""
        printed = self.make("image", f"TAG={tag}", *self.variables)
        assert f"Built {NAME}:{tag}." in printed
        return f"{NAME}:{tag}"


@pytest.fixture(scope="module")
def churn(project, tmp_path_factory) -> Churn:
    folder = tmp_path_factory.mktemp("own")
    run(str(BIN / "flexpack"), "init", "churn", "--kind=table", cwd=folder, env=bare_environ())
    root = folder / "churn"
    for name, text in {
        "churn/__main__.py": "raise SystemExit('a program, which a test must not run')\n",
        "churn/tests/test_model.py": "import pytest\n",
        "churn/more.py": NEEDS,
        "requirements.in": "iniconfig\n",
        "system-packages.txt": "bc\n",
    }.items():
        standins.write(root / name, text)
    flags = [f"--build-arg={name}={value}" for name, value in project.build_args.items()]
    flags += [f"--ca-bundle={standins.find_ca_bundle()}"]
    flags += [f"--volume={folder}" for folder in project.volumes]
    own = ("FLAVOUR=cpu", "ENGINE=buildah", f"IMAGE={NAME}", f"PIP_CONF={project.pip_conf}")
    made = Churn(root, (*own, f"ARGS={shlex.join(flags)}"))
    assert "+ iniconfig" in made.make("lock", "FLAVOUR=cpu")
    return made


@pytest.fixture(scope="module")
def churn_image(churn) -> str:
    return churn.build("churn")


def test_its_model_predicts_in_the_image(churn, churn_image):
    done = run(
        *(str(BIN / "flexpack"), "image", "test", "--no-size", "--model-class"),
        *("churn.model:ChurnModel", "--model-path=data/model.pth", "--input=data/sample.csv"),
        cwd=churn.root,
        env=bare_environ(),
        timeout_sec=600,
    )
    assert f"Testing {churn_image} with buildah" in done.stdout
    assert "churn.model:ChurnModel predicted 199 of 200 rows." in done.stdout
    assert "WARNING image-model" in done.stdout  # of the sample's bad row
    text = (churn.root / "build" / "image" / "churn.cdx.json").read_text()
    assert {"iniconfig", "bc"} <= {found["name"] for found in json.loads(text)["components"]}


def test_it_shares_the_layers_below_and_a_change_of_it_is_one_layer(churn, churn_image, image):
    before = Buildah().read_config(churn_image).diff_ids
    without = Buildah().read_config(image).diff_ids
    same = [mine == other for mine, other in zip(before, without, strict=True)]
    # The system packages, and the layers above them.
    assert same.index(False) == len(same) - 8

    (churn.root / "churn" / "last.py").write_text("LAST = True\n")
    after = Buildah().read_config(churn.build("churn-changed")).diff_ids
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


@pytest.fixture
def emulator_with_churn(tmp_path, churn_image):
    images = tmp_path / "images.toml"
    images.write_text(f'["{REFERENCE}"]\noci = "{churn_image}"\n')
    with run_emulator(tmp_path / "data", images=images) as info:
        yield info


def test_launcher_and_workers_run_in_its_image(emulator_with_churn, churn):
    own = daemon.shell_variables(emulator_with_churn, project=PROJECT)
    env = {"PATH": f"{BIN}:/usr/bin:/bin", **own}
    bucket = open_storage(emulator_with_churn).create_bucket(BUCKET)
    for name in ("sample.csv", "model.pth"):
        bucket.blob(name).upload_from_filename(churn.root / "data" / name)
    spec = f"gs://{BUCKET}/batch.json"
    run("flexpack", "build", spec, f"--image={REFERENCE}", env=env)
    run(
        *("flexpack", "run", "oci-job", f"--template-file-gcs-location={spec}", "--wait"),
        f"--staging-location=gs://{BUCKET}/staging",
        f"--parameters=input=gs://{BUCKET}/sample.csv",
        f"--parameters=output=gs://{BUCKET}/out/predictions",
        f"--parameters=model_path=gs://{BUCKET}/model.pth",
        "--parameters=model_class=churn.model:ChurnModel",
        env=env,
    )
    rows = [
        json.loads(line)
        for blob in bucket.list_blobs(prefix="out/predictions-0")
        for line in blob.download_as_text().splitlines()
    ]
    assert len(rows) == 199
    assert {row["leaves"] for row in rows} == {True, False}
    # The staged graph names the folder of the packages in the image, which has no virtualenv.
    (console,) = [b for b in bucket.list_blobs(prefix="staging") if b.name.endswith("console_logs")]
    assert ".venv" not in console.download_as_text()
