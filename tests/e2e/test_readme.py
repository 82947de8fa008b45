"""The sessions of the README and of the other pages, run as a reader would run them.

``<!-- session: NAME -->`` before a console block makes its ``$`` lines part of a shell session of
that name; ``fails`` after the name says that they exit with an error. ``<!-- run: NAME -->``
before a block of code has it written to that file and run. ``<!-- shown: NAME -->`` shows a part of
a file that ``flexpack init`` writes. ``<!-- shell: NAME -->`` names a block of commands without
their output. All of it happens in a copy of the project.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from launcher.emulator import daemon
from launcher.emulator.pubsub import find_program
from launcher.package.metadata import DOCUMENTS
from launcher.package.scaffold import Scaffold, build_files
from tests.support import BIN, PROJECT_ROOT, bare_environ

_BLOCK = re.compile(
    r"<!-- (?P<kind>session|shown|run|shell): (?P<name>\S+)(?P<fails> fails)? -->\n"
    r"```\w+\n(?P<content>.*?)```",
    re.DOTALL,
)
_PORTS = (9100, 9101, 9102)  # the defaults, which the README's commands use
_TIMEOUT_SEC = 300


@dataclasses.dataclass(frozen=True)
class Block:
    kind: str
    name: str
    fails: bool
    content: str

    @property
    def commands(self) -> list[str]:
        """The commands of a block, with the lines that continue them."""
        prompt = r"\$ " if self.kind == "session" else ""
        return re.findall(rf"^{prompt}((?:.*\\\n)*.+)$", self.content, re.MULTILINE)


def read_blocks() -> list[Block]:
    return [
        Block(found["kind"], found["name"], bool(found["fails"]), found["content"])
        for found in _BLOCK.finditer(read_documents())
    ]


def read_documents() -> str:
    """Return all pages as one text: sessions begin in the README and continue in the others."""
    return "\n".join((PROJECT_ROOT / name).read_text() for name in DOCUMENTS)


def build_script(blocks: list[Block]) -> str:
    """Return a bash script that runs the blocks and stops at the first unexpected result."""
    lines = ["set -euo pipefail", "HERE=$PWD"]
    for block in blocks:
        if block.kind == "run":
            lines.append(f'python "$HERE/{block.name}"')
        if block.kind == "session":
            lines += [f"! {{ {each}\n}}" if block.fails else each for each in block.commands]
    return "\n".join(lines) + "\n"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A copy of the project's files with the environment that runs this test."""
    for port in _PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port}, which the README's commands use, is taken")
    copy = tmp_path / "flexpack"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT_ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT_ROOT / name, copy / name)
    (copy / ".venv").symlink_to(BIN.parent)
    (copy / ".venv/.ready").touch()
    try:
        yield copy
    finally:
        for data_dir in copy.rglob(".flexpack"):
            daemon.stop(data_dir)


def run_session(*names: str, project: Path, with_files: bool = False) -> str:
    """Run sessions as one, with the README's files if needed; return its output."""
    blocks = [
        block
        for block in read_blocks()
        if block.name in names or (with_files and block.kind == "run")
    ]
    for block in blocks:
        if block.kind == "run":
            (project / block.name).write_text(block.content)
    return run_script(build_script(blocks), project)


def run_script(script: str, project: Path) -> str:
    """Run a bash script in a shell without a cloud account; return its output."""
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=project, env=bare_environ(), text=True, timeout=_TIMEOUT_SEC, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_demo(project):
    printed = run_session("demo", project=project)

    assert "JOB_STATE_DONE" in printed
    assert "1,000 read, 1,000 predicted, 0 dead-lettered" in printed
    accuracy = re.search(r"accuracy +(0\.\d+)", printed)
    assert accuracy is not None
    assert float(accuracy[1]) >= 0.9
    sheet = project / "demo-output/contact-sheet.png"
    assert sheet.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.skipif(find_program() is None, reason="Google's Pub/Sub emulator is not installed")
def test_demo_streaming(project):
    printed = run_session("streaming", project=project)

    assert "JOB_STATE_DRAINED" in printed
    assert "2,000 published = 1,996 predicted + 4 dead letters + 0 lost" in printed


@pytest.mark.gcloud
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_own_model(project):
    names = ("churn", "churn-stream") if find_program() else ("churn",)
    printed = run_session(*names, project=project, with_files=True)

    assert "The model is churn.model:ChurnModel. Next:" in printed
    assert "c007  ValueError: column 'age': 'unknown' is not a number" in printed
    assert "Ran 3 tests in" in printed
    assert "200 rows read, 199 predictions, 1 dead letter" in printed
    assert "did you mean 'model_path'?" in printed
    assert "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:latest" in printed
    assert "RowCounts(rows_read=200, predictions=199, dead_letters=1)" in printed


@pytest.mark.gcloud
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_in_a_project(project, garments):
    """The local Dataflow stands in for the project, and its own image for the one that is built."""
    (block,) = (block for block in read_blocks() if block.kind == "shell")
    script = [
        "set -euo pipefail",
        "source .venv/bin/activate",
        "flexpack emulator start --detach --port=0",
        'eval "$(flexpack emulator env)"',
    ]
    for command in block.commands:
        if command.startswith("make run"):
            script.append(f"gcloud storage cp {garments.images} gs://my-bucket/in/")
            script.append(f"gcloud storage cp {garments.weights} gs://my-bucket/fashion.pth")
        if not command.startswith(("gcloud auth", "gcloud services", "gcloud artifacts")):
            script.append(command)
    printed = run_script("\n".join(script), project)

    assert "spec   gs://my-bucket/templates/batch.json" in printed
    assert "spec   gs://my-bucket/templates/streaming.json" in printed
    assert "1,000 rows read, 1,000 predictions, 0 dead letters" in printed


@pytest.mark.realdata
def test_demo_on_real_images(project, fashion_mnist):
    done = subprocess.run(
        ["make", "demo", f"INPUT={fashion_mnist.images}", f"LABELS={fashion_mnist.labels}",
         f"MODEL={fashion_mnist.weights}"],
        cwd=project, text=True, timeout=_TIMEOUT_SEC, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert "accuracy       0.457 (457 of 1000)" in done.stdout


def test_the_shown_model_is_the_one_that_init_writes():
    (shown,) = (block for block in read_blocks() if block.kind == "shown")
    files = build_files(
        Scaffold(name="churn", kind="table", requirement="", bin_folder=PROJECT_ROOT)
    )
    assert files[shown.name].endswith(f"\n\n{shown.content}")


def test_a_model_with_more_than_weights(tmp_path):
    """The class that the template's page shows, with a folder as described there."""
    page = (PROJECT_ROOT / "template/README.md").read_text()
    (code,) = (each for each in re.findall(r"```python\n(.*?)```", page, re.S) if "plans" in each)
    names: dict[str, Any] = {}
    exec(code, names)
    network = torch.nn.Linear(2, 1)
    torch.jit.script(network).save(tmp_path / "network.pt")
    (tmp_path / "plans.json").write_text('{"basic": 0, "pro": 1}')
    found = names["PlanModel"](str(tmp_path)).predict(
        pd.DataFrame({"age": [30.0, 40.0], "plan": ["pro", "basic"]})
    )
    with torch.inference_mode():
        torch.testing.assert_close(found, network(torch.tensor([[30.0, 1], [40, 0]])))


def test_every_console_block_is_a_session():
    sessions = sum(block.kind == "session" for block in read_blocks())
    assert read_documents().count("```console") == sessions


def test_links_lead_to_files_and_headings():
    for name in DOCUMENTS:
        page = PROJECT_ROOT / name
        for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            linked = page if not path else page.parent / path
            assert linked.exists(), f"{name}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.+)$", linked.read_text().lower(), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", each).replace(" ", "-") for each in titles}
                assert anchor in anchors, f"{name}: {target}"
