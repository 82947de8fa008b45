"""A project with one mistake at a time, and the command that must find it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from launcher.cli import main
from launcher.package.metadata import build_template_metadata
from launcher.package.spec import build_container_spec, format_spec
from launcher.preflight.probes.checkpoint import main as load_checkpoint
from template.parameters import BATCH

IMAGE = "europe-docker.pkg.dev/my-project/images/fashion:1.0"
DOCKERFILE = """
FROM apache/beam_python3.11_sdk:2.77.0 AS beam
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:20230622_RC00 AS launcher
FROM python:3.11-slim-bookworm
COPY requirements.txt /template/
RUN pip install --no-deps -r /template/requirements.txt
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher \\
     /opt/google/dataflow/python_template_launcher
COPY main.py /template/
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/main.py \\
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64
ENTRYPOINT ["/opt/apache/beam/boot"]
"""
REQUIREMENTS = """
apache-beam==2.77.0
torch==2.13.0
nvidia-cuda-runtime==13.0.96
"""
MAIN = """
import sys
from apache_beam.options.pipeline_options import PipelineOptions

if __name__ == "__main__":
    PipelineOptions(sys.argv[1:])
"""
GOOD = {
    "input": "gs://my-bucket/images/*-idx3-ubyte.gz",
    "output": "gs://my-bucket/out/fashion",
    "model_path": "gs://my-bucket/fashion.pth",
}


class Project:
    """A template's project in a folder, correct until a test breaks it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capsys = capsys
        self.given = dict(GOOD)
        self.write("Dockerfile", DOCKERFILE)
        self.write("requirements.txt", REQUIREMENTS)
        self.write("main.py", MAIN)
        spec = build_container_spec(image=IMAGE, metadata=build_template_metadata(BATCH))
        self.write("spec.json", format_spec(spec))

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        (self.root / name).write_text(text.replace(old, new))

    def change_spec(self, change) -> None:
        path = self.root / "spec.json"
        spec = json.loads(path.read_text())
        change(spec)
        path.write_text(json.dumps(spec))

    def check(self, *flags: str, **parameters: str) -> dict[str, str]:
        """Run ``flexpack check`` and return message and remedy of each finding, by code."""
        given = self.given | parameters
        self._capsys.readouterr()
        status = main(
            [
                *("check", "--format", "json", "--project-root", str(self.root)),
                *("--template-file-gcs-location", str(self.root / "spec.json")),
                *(f"--parameters={name}={value}" for name, value in given.items()),
                *flags,
            ]
        )
        output = self._capsys.readouterr()
        assert output.err == ""
        findings = json.loads(output.out)
        assert status == any(finding["severity"] == "ERROR" for finding in findings)
        return {
            finding["code"]: f"{finding['severity']} {finding['message']} -> {finding['remedy']}"
            for finding in findings
        }


@pytest.fixture
def probed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load model files in this process: a new process would first import torch."""

    def run_probe(name: str, arguments: Sequence[str], **_: Any) -> Any:
        assert name == "checkpoint"
        path, model_class, parameters = arguments
        return json.loads(json.dumps(load_checkpoint(path, model_class, json.loads(parameters))))

    monkeypatch.setattr("launcher.preflight.checkpoint.run_probe", run_probe)


@pytest.fixture
def project(tmp_path, capsys, monkeypatch) -> Project:
    for name in ("CLOUDSDK_DATAFLOW_REGION", "CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    return Project(tmp_path, capsys)
