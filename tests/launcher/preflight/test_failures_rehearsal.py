"""Each failure that the rehearsal catches: launched for real on a local Dataflow of its own.

A test is called after the failure's id in ``launcher/failures.json``.
"""

from __future__ import annotations

import json

import pytest

SPEC = {
    "image": "europe-docker.pkg.dev/p/r/i:1",
    "sdkInfo": {"language": "PYTHON"},
    "metadata": {
        "name": "Lines",
        "parameters": [
            {"name": "input", "label": "I", "helpText": "h", "paramType": "GCS_READ_FILE"},
            {"name": "output", "label": "O", "helpText": "h", "paramType": "GCS_WRITE_FILE"},
        ],
    },
    "defaultEnvironment": {"sdkContainerImage": "europe-docker.pkg.dev/p/r/i:1"},
}
MAIN = """
import argparse
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
import steps

parser = argparse.ArgumentParser()
parser.add_argument("--input")
parser.add_argument("--output")
known, rest = parser.parse_known_args()
pipeline = beam.Pipeline(options=PipelineOptions(rest))
lines = pipeline | beam.io.ReadFromText(known.input) | beam.ParDo(steps.Step())
_ = lines | beam.io.WriteToText(known.output)
pipeline.run()
"""
STEPS = """
import apache_beam as beam

class Step(beam.DoFn):
    def process(self, line):
        yield line.upper()
"""


@pytest.fixture
def rehearse(project):
    project.write("spec.json", json.dumps(SPEC))
    project.write("main.py", MAIN)
    project.write("steps.py", STEPS)
    project.write("lines.txt", "a\nb\n")

    def rehearse(*flags):
        found = project.check(
            *("--rehearse", *flags),
            **{"input": str(project.root / "lines.txt"), "output": "gs://my-bucket/out"},
        )
        return {code: text for code, text in found.items() if code.startswith("rehearsal-")}

    del project.given["model_path"]
    rehearse.project = project
    return rehearse


def test_a_sound_template_passes(rehearse):
    assert rehearse() == {}


def test_launch_timeout(rehearse):
    """Downloads while the pipeline is built: there is no network, and no end to the waiting."""
    rehearse.project.replace(
        "main.py",
        "pipeline.run()",
        """
import socket, time
try:
    socket.create_connection(("packages.example.com", 443), timeout=5)
except OSError:
    time.sleep(600)
""",
    )
    found = rehearse("--rehearse-timeout-sec=8")
    assert "the launcher staged no job within 8 s" in found["rehearsal-launch"]
    assert "packages.example.com:443" in found["rehearsal-network"]


def test_strict_parser(rehearse):
    rehearse.project.replace("main.py", "known, rest = parser.parse_known_args()", "")
    rehearse.project.replace(
        "main.py", "PipelineOptions(rest)", "PipelineOptions(vars(parser.parse_args()))"
    )
    found = rehearse()["rehearsal-launch"]
    assert "Call parse_known_args()" in found


def test_graph_too_big(rehearse):
    rehearse.project.replace(
        "steps.py",
        "    def process",
        "    model = None\n\n"
        "    def __init__(self):\n"
        "        self.model = __import__('os').urandom(3_000_000)\n\n"
        "    def process",
    )
    found = rehearse()["rehearsal-step"]
    assert "ParDo(Step)" in found
    assert " MB to every worker" in found
    assert "load it in setup" in found


def test_unequal_shapes(rehearse):
    rehearse.project.replace(
        "steps.py",
        "yield line.upper()",
        "raise RuntimeError('stack expects each tensor to be equal size, but got [3] and [4]')",
    )
    found = rehearse()
    assert "stack expects each tensor to be equal size" in found.get("rehearsal-run", ""), found
    assert "Bring all of them to one shape" in found["rehearsal-run"]


def test_poison_record(project, garments):
    """The kit's own template, on a sample in which one image is broken."""
    (project.root / "images").mkdir()
    (project.root / "images" / "broken.png").write_bytes(b"no image at all")
    found = project.check(
        *("--rehearse", "--entry-file=template/main.py", "--project-root=."),
        input=str(project.root / "images" / "*.png"),
        model_path=str(garments.weights),
    )
    assert "1 of 1 rows of the sample could not be predicted" in found["rehearsal-dead-letters"]
