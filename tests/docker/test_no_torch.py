"""An image without torch, for another framework: docker/README.md's recipe for ONNX Runtime."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import struct
import subprocess

import pytest

from launcher.image.engines.buildah import Buildah
from tests.docker import standins
from tests.docker.project import NAME
from tests.support import BIN, PROJECT_ROOT, run

pytestmark = [pytest.mark.buildah, pytest.mark.slow, pytest.mark.wide]

FLOAT = 1
_BLOCK = re.compile(r"<!-- recipe: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


def field(number: int, value: int | str | bytes) -> bytes:
    """Return one field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def build_onnx(weights: list[float]) -> bytes:
    """Return an ONNX model that maps x (n, 2) to the product with two weights (n, 1).

    https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
    """

    def tensor(name: str, width: int) -> bytes:
        shape = field(1, field(2, "n")) + field(1, field(1, width))
        return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))

    node = field(1, "x") + field(1, "w") + field(2, "y") + field(4, "MatMul")
    values = struct.pack(f"<{len(weights)}f", *weights)
    initial = field(1, len(weights)) + field(1, 1) + field(2, FLOAT) + field(8, "w")
    graph = field(1, node) + field(2, "scorer") + field(5, initial + field(9, values))
    graph += field(11, tensor("x", len(weights))) + field(12, tensor("y", 1))
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


@pytest.fixture(scope="module")
def recipe(project, tmp_path_factory):
    """Follow the page, and return the folder and the output of each command."""
    blocks = dict(_BLOCK.findall((PROJECT_ROOT / "docker" / "README.md").read_text()))
    root = tmp_path_factory.mktemp("recipe")
    for name in ("docker", "template"):
        shutil.copytree(PROJECT_ROOT / name, root / name)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(PROJECT_ROOT / name, root)
    os.utime(root / "pyproject.toml", (0, 0))  # make must not install into the environment
    (root / ".venv").symlink_to(BIN.parent)
    commands = blocks.pop("commands").replace("\\\n", "").splitlines()
    for name, text in {
        **blocks,
        "scorer/scorer/__init__.py": "",
        "scorer/requirements.in": "onnxruntime\n",
        "scorer/rows.csv": "age,income\n1,10\n2,20\n3,30\n",
    }.items():
        standins.write(root / name, text)
    (root / "scorer" / "model.onnx").write_bytes(build_onnx([1.0, 0.5]))
    return root, [run_make(shlex.split(command), root, project) for command in commands]


def run_make(command: list[str], root, project) -> str:
    """Run a command of the page; add to a build what this machine requires."""
    if "image" in command:
        base, *others = project.build_args.items()
        flags = [f"--build-arg={name}={value}" for name, value in others]
        flags += [f"--ca-bundle={standins.find_ca_bundle()}"]
        flags += [f"--volume={folder}" for folder in project.volumes]
        own = (f"BASE={base[1]}", f"PIP_CONF={project.pip_conf}", f"ARGS={shlex.join(flags)}")
        command = [*command, *own, "ENGINE=buildah", "TAG=no-torch", f"IMAGE={NAME}"]
    elif "image-test" in command:
        command = [part if part[:5] != "ARGS=" else f"{part} --no-size" for part in command]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_recipe_builds_an_image_whose_model_predicts(recipe):
    _, (lock, build, test) = recipe
    assert "+ onnxruntime" in lock
    assert "+ torch" not in lock
    assert f"Built {NAME}:no-torch." in build
    assert ", Beam 2.77.0, torch none, CUDA none" in test
    assert "16 predictions through Beam equal those of Python alone" in test
    assert "scorer.model:Scorer predicted 3 of 3 rows." in test


def test_a_model_file_predicts_without_a_class(recipe):
    root, _ = recipe
    done = run(
        *(str(BIN / "flexpack"), "image", "test", "--no-size", f"--image={NAME}:no-torch"),
        *("--engine=buildah", "--model-path=scorer/model.onnx", "--input=scorer/rows.csv"),
        "--parameters=feature_columns=age,income",
        env=os.environ,
        cwd=root,
        timeout_sec=600,
    )
    assert "model.onnx predicted 3 of 3 rows." in done.stdout


ASK = """
import logging
logging.basicConfig(level="INFO")
from template.device import DeviceError, resolve_devices
print(*resolve_devices("auto"))
try:
    resolve_devices("cuda")
except DeviceError as error:
    print(error)
"""


def test_a_gpu_that_is_requested_and_not_there_is_an_error_without_torch_too(recipe):
    device, error = Buildah().run_python(f"{NAME}:no-torch", ASK, timeout_sec=60).splitlines()
    assert device == "cpu"
    assert error.startswith("--device cuda: this worker has no usable GPU: NVIDIA's driver is not")
    assert "NVIDIA driver: none found; torch: not installed" in error
