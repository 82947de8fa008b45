"""The wheel without extras is a launcher that needs neither a checkout nor Beam nor torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.image.context import find_context_files, read_context
from tests.support import PROJECT_ROOT, run

pytestmark = pytest.mark.slow

_TIMEOUT_SEC = 300


def run_pip(*arguments: str) -> str:
    return subprocess.run(
        [*arguments, "--quiet", "--disable-pip-version-check"],
        check=True, capture_output=True, text=True, timeout=_TIMEOUT_SEC,
    ).stdout  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the project's own files, without other files in its folder."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if not name.startswith("tests/") and (PROJECT_ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT_ROOT / name, folder / "source" / name)
    run_pip(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", f"--wheel-dir={folder}"),
        str(folder / "source"),
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and only what the wheel requires."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=_TIMEOUT_SEC)
    run_pip(str(folder / "bin/python"), "-m", "pip", "install", str(wheel))
    return folder


@pytest.fixture
def flexpack(environment: Path, tmp_path: Path, emulator_env: dict[str, str]):
    """Run the wheel's command in an empty folder, pointed at the local Dataflow."""
    path = os.pathsep.join([str(environment / "bin"), os.defpath])
    env = {name: value for name, value in emulator_env.items() if name != "PYTHONPATH"}

    def call(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        command = str(environment / "bin/flexpack")
        return run(command, *arguments, env=env | {"PATH": path}, status=status, cwd=tmp_path)

    return call


def test_it_holds_neither_beam_nor_torch(environment):
    installed = {path.name for path in environment.glob("lib/python*/site-packages/*")}
    assert {"launcher", "template", "googleapiclient"} <= installed
    assert not {"apache_beam", "torch", "numpy", "starlette", "docker", "metadata"} & installed


def test_it_builds_launches_and_follows(flexpack, lake, staged_images, staged_weights):
    spec = f"{lake.root}/templates/wheel.json"
    flexpack("build", spec, "--image", "local/flexpack")

    done = flexpack(
        *("run", "by-wheel", "--template-file-gcs-location", spec, "--wait"),
        *("--staging-location", f"{lake.root}/staging"),
        *("--parameters", f"input={staged_images}"),
        *("--parameters", f"model_path={staged_weights}"),
        *("--parameters", f"output={lake.root}/by-wheel/rows"),
    )

    assert "1,000 rows read, 1,000 predictions, 0 dead letters" in done.stdout
    assert "by-wheel" in flexpack("jobs", "list").stdout


def test_it_checks_its_own_files_in_an_empty_folder(flexpack, environment):
    printed = flexpack("check").stdout

    assert printed.startswith("0 ERROR, 0 WARNING; checked ")
    assert f"{environment}" in printed
    for name in ("docker/Dockerfile", "locks/cu130/beam.txt", "template/main.py", "batch.json"):
        assert name in printed


def test_an_image_is_built_from_the_same_files_as_in_a_checkout(flexpack, environment):
    (kit,) = environment.glob("lib/python*/site-packages/launcher/kit_files")

    assert find_context_files(kit) == find_context_files(PROJECT_ROOT)
    context = read_context(kit, (), {})
    assert context.hash == read_context(PROJECT_ROOT, (), {}).hash
    tag = f"0-t{context.hash[:7]}"
    assert flexpack("image", "tag").stdout == f"localhost/flexpack:{tag}\n"


@pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed")
def test_an_image_build_reaches_the_engine(flexpack):
    done = flexpack(
        *("image", "build", "--engine=buildah", "--flavour=cpu"),
        *("--build-arg=PYTHON_IMAGE=localhost/no-such-image", "--build-arg=BEAM_IMAGE=scratch"),
        "--build-arg=LAUNCHER_IMAGE=scratch",
        status=1,
    )
    assert "localhost/no-such-image" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "extra", "package"),
    [
        pytest.param(("emulator", "start"), "emulator", "starlette", id="emulator"),
        pytest.param(
            ("check", "--rehearse", "--template-file-gcs-location", "{spec}"),
            "emulator,template",
            "apache-beam",
            id="rehearsal",
        ),
    ],
)
def test_what_needs_an_extra_names_it_in_one_line(
    arguments, extra, package, flexpack, wheel, environment, lake
):
    spec = f"{lake.root}/templates/extra.json"
    flexpack("build", spec, "--image", "local/flexpack")

    done = flexpack(*(word.format(spec=spec) for word in arguments), status=1)

    assert done.stdout == ""
    assert package in done.stderr
    assert done.stderr.endswith(f" -m pip install 'flexpack[{extra}] @ file://{wheel}'\n")
    assert done.stderr.count("\n") == 1


def test_the_demo_names_its_extras(wheel, environment, tmp_path):
    python = str(environment / "bin/python")
    done = run(python, "-m", "launcher.demo.batch", env={}, status=1, cwd=tmp_path)

    assert done.stderr.startswith("demo: the demo needs the extras 'template' and 'emulator'")
    assert done.stderr.endswith(
        f"{python} -m pip install 'flexpack[template,emulator] @ file://{wheel}'\n"
    )


def test_the_api_is_typed(environment):
    for package in ("launcher", "template"):
        (marker,) = environment.glob(f"lib/python*/site-packages/{package}/py.typed")
        assert marker.read_text() == ""
