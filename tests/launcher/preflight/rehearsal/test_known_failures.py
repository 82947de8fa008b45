"""Each failure that the rehearsal catches, really launched, on a separate local Dataflow.

A test is named after the failure's id in ``launcher/jobs/failures.json``.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil

import pytest

from launcher.cli import main
from launcher.emulator.pubsub import find_program
from launcher.errors import InputError
from launcher.package.metadata import build_template_metadata
from launcher.package.spec import build_container_spec, format_spec
from launcher.preflight.rehearsal.messages import read_messages
from template.parameters import STREAMING as STREAMING_KIND

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


def test_a_sound_template_passes(rehearse, capsys):
    """There are no findings, and the measurements are reported."""
    root = rehearse.project.root
    flags = ["--rehearse", f"--project-root={root}", f"--parameters=input={root / 'lines.txt'}"]
    location = f"--template-file-gcs-location={root / 'spec.json'}"
    assert main(["check", location, *flags, "--parameters=output=gs://my-bucket/out"]) == 0
    reported = capsys.readouterr().out
    assert "rehearsal-" not in reported
    assert re.search(
        r"Rehearsed: the launcher took [\d.]+ s, its slowest import \w+ [\d.]+ s, the job's graph "
        r"has \d+ kB, its largest step is '.+' with \d+ kB\.\n",
        reported,
    ), reported


def test_launch_timeout(rehearse):
    """Downloads before the pipeline is built; without a network, it waits forever."""
    rehearse.project.replace(
        "main.py",
        "import argparse\n",
        """
import argparse, socket, time
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
    shown = found.partition("The launcher's last lines:\n")[2]
    assert "unrecognized arguments: --" in shown


def test_graph_too_big_and_unequal_shapes(rehearse):
    """Two failures of one step: the launcher meets the first, and a worker the second."""
    rehearse.project.replace(
        "steps.py",
        "    def process",
        "    model = None\n\n"
        "    def __init__(self):\n"
        "        self.model = __import__('os').urandom(3_000_000)\n\n"
        "    def process",
    )
    rehearse.project.replace(
        "steps.py",
        "yield line.upper()",
        "raise RuntimeError('stack expects each tensor to be equal size, but got [3] and [4]')",
    )
    found = rehearse()
    assert "ParDo(Step)" in found["rehearsal-step"]
    assert " MB to every worker" in found["rehearsal-step"]
    assert "load it in setup" in found["rehearsal-step"]
    assert "stack expects each tensor to be equal size" in found.get("rehearsal-run", ""), found
    assert "Bring all of them to the same shape" in found["rehearsal-run"]


STREAMING = {
    "input_subscription": "projects/my-project/subscriptions/images",
    "output_topic": "projects/my-project/topics/predictions",
}
needs_pubsub = pytest.mark.skipif(
    find_program() is None, reason="Google's Pub/Sub emulator is not installed"
)


@pytest.fixture
def rehearse_streaming(project, garments):
    spec = build_container_spec(image="local/i:1", metadata=build_template_metadata(STREAMING_KIND))
    project.write("spec.json", format_spec(spec))
    project.given.clear()

    def rehearse(*flags, **parameters):
        return project.check(
            *("--rehearse", "--entry-file=template/main.py", "--project-root=.", *flags),
            **STREAMING | {"model_path": str(garments.weights)} | parameters,
        )

    return rehearse


@pytest.mark.slow
@needs_pubsub
def test_a_sample_of_messages_goes_through_a_streaming_template(
    project, rehearse_streaming, garments
):
    """Three messages can be predicted, one cannot; the job's outputs are not looked up."""
    images = gzip.decompress(garments.images.read_bytes())[16:]
    pixels = [list(images[start : start + 784]) for start in range(0, 3 * 784, 784)]
    lines = [json.dumps({"image": each}) for each in pixels]
    project.write("messages.jsonl", "\n".join([*lines, '{"this": "is no image"}']))
    found = rehearse_streaming(
        f"--sample={project.root / 'messages.jsonl'}",
        model_update_pattern="gs://my-bucket/models/*.pth",
        dead_letter_topic="projects/my-project/topics/dead",
    )
    reported = {code for code in found if code.startswith("rehearsal")}
    assert reported - {"rehearsal-slow"} == {"rehearsal-dead-letters"}  # a busy machine is slow
    reported = found["rehearsal-dead-letters"]
    assert "1 of 4 rows of the sample could not be predicted; one of them: ValueError:" in reported


@needs_pubsub
def test_without_messages_only_the_launcher_of_a_streaming_template_is_rehearsed(
    rehearse_streaming,
):
    found = rehearse_streaming()
    codes = {code for code in found if code.startswith("rehearsal")}
    assert codes - {"rehearsal-slow"} == {"rehearsal-sample"}  # a busy machine is slow
    assert "Name some with --sample" in found["rehearsal-sample"]


def test_without_pubsub_only_the_launcher_of_a_streaming_template_is_rehearsed(
    rehearse_streaming, monkeypatch, project
):
    """The launcher fails at once here; the test above follows one to its end."""
    project.write("one.jsonl", "{}")
    project.write("main.py", "raise SystemExit('no pipeline')")
    bare = [folder for folder in ("/usr/sbin", "/sbin") if not shutil.which("java", path=folder)]
    monkeypatch.setenv("PATH", os.pathsep.join(bare))
    found = rehearse_streaming(
        *(f"--sample={project.root / 'one.jsonl'}", f"--project-root={project.root}"),
        f"--entry-file={project.root / 'main.py'}",
    )
    codes = {code for code in found if code.startswith("rehearsal")}
    assert codes - {"rehearsal-slow"} == {"rehearsal-launch", "rehearsal-sample"}
    assert "no pipeline" in found["rehearsal-launch"]
    assert "is not installed" in found["rehearsal-sample"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--sample=x.jsonl"], "--sample: needs --rehearse"),
        (["--rehearse", "--sample=x.jsonl"], "--sample: holds messages, for a streaming template"),
    ],
)
def test_a_sample_that_nobody_reads_is_refused(project, capsys, flags, message):
    arguments = ["check", "--project-root", str(project.root), *flags]
    arguments += ["--template-file-gcs-location", str(project.root / "spec.json")]
    arguments += [f"--parameters={name}={value}" for name, value in project.given.items()]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_messages_are_lines_or_whole_files(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"n": 1}\n\n{"n": 2}\n')
    (tmp_path / "b.png").write_bytes(b"\x89PNG\nrest")
    paths = [str(tmp_path / name) for name in ("a.jsonl", "b.png")]
    assert read_messages(paths) == [b'{"n": 1}', b'{"n": 2}', b"\x89PNG\nrest"]
    (tmp_path / "empty.jsonl").write_bytes(b"\n")
    with pytest.raises(InputError, match="is empty"):
        read_messages([str(tmp_path / "empty.jsonl")])
    with pytest.raises(InputError, match="No such file"):
        read_messages([str(tmp_path / "missing.jsonl")])


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
