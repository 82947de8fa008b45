"""Each failure that checks of a template's files catch: tests make the mistake and find it.

A test is named after the failure's id in ``launcher/jobs/failures.json``.
"""

from __future__ import annotations

import pytest

L4 = "--accelerator=nvidia-l4:1"


def test_launch_timeout(project):
    project.replace("Dockerfile", "ENV ", "ENV FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE=/r.txt ")
    found = project.check()["image-launch-installs"]
    assert found.startswith("ERROR")
    assert "FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE=/r.txt" in found


def test_silent_cpu(project):
    found = project.check(device="cuda")["gpu-missing"]
    assert found.startswith("ERROR --parameters device=cuda: the job requests no accelerator")
    project.write(
        "main.py",
        """
        from apache_beam.ml.inference.pytorch_inference import PytorchModelHandlerTensor
        handler = PytorchModelHandlerTensor(state_dict_path="m", device="GPU")
        """,
    )
    assert "main.py:3: PytorchModelHandlerTensor" in project.check()["entry-silent-cpu"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("beam_python3.11_sdk:2.77.0", "beam_python3.11_sdk:2.73.0", "Beam is 2.73.0 in apache"),
        ("beam_python3.11_sdk:2.77.0", "beam_python3.14_sdk:2.77.0", "3.14 in apache"),
        ("pip install --no-deps", "pip install apache-beam==2.66.0 --no-deps", "2.66.0 in apache"),
    ],
)
def test_versions_differ(project, old, new, message):
    project.replace("Dockerfile", old, new)
    found = project.check()["image-versions"]
    assert found.startswith("ERROR")
    assert message in found


@pytest.mark.parametrize(
    "line",
    [
        "options.view_as(GoogleCloudOptions).job_name = 'mine'",
        "cloud = options.view_as(GoogleCloudOptions); cloud.project = 'mine'",
        "options = PipelineOptions(runner='DirectRunner')",
    ],
)
def test_job_file_missing(project, line):
    project.write("main.py", line)
    found = project.check()["entry-options"]
    assert found.startswith("ERROR main.py:1: sets ")
    project.replace("Dockerfile", "ENV FLEX_TEMPLATE_PYTHON_PY_FILE=", "ENV OTHER=")
    assert "could not determine py file" in project.check()["image-entry-file"]


def test_without_the_variable_the_entry_file_is_looked_for(project):
    project.write("main.py", "options = PipelineOptions(runner='DirectRunner')")
    project.replace("Dockerfile", "ENV FLEX_TEMPLATE_PYTHON_PY_FILE=", "ENV OTHER=")
    assert set(project.check()) == {"entry-options", "image-entry-file"}


def test_wrong_entrypoint(project):
    project.replace("Dockerfile", 'ENTRYPOINT ["/opt/apache/beam/boot"]', "")
    assert "no ENTRYPOINT" in project.check()["image-entrypoint"]
    project.write(
        "Dockerfile",
        (project.root / "Dockerfile").read_text()
        + 'ENTRYPOINT ["/opt/google/dataflow/python_template_launcher"]',
    )
    assert "would crash at the flag --logging_endpoint" in project.check()["image-entrypoint"]
    project.replace("Dockerfile", "COPY --from=launcher", "COPY --from=launcher /x /y\n# ")
    assert "which the launcher VM starts" in project.check()["image-launcher"]
    project.replace("Dockerfile", "COPY --from=beam", "# COPY")
    assert "cannot be the workers' image" in project.check()["image-boot"]


def test_hidden_environment(project):
    project.replace("Dockerfile", "RUN pip", "RUN python -m venv /venv && /venv/bin/pip")
    found = project.check()["image-environment"]
    assert found.startswith("ERROR")
    assert "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1" in found
    project.replace("Dockerfile", "ENV ", "ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 ")
    assert project.check() == {}
    project.write(
        "Dockerfile",
        (project.root / "Dockerfile")
        .read_text()
        .replace("RUN_PYTHON_SDK", "OTHER")
        .replace("python -m venv /venv && /venv/bin/pip", "apt-get install -y python3 && pip")
        .replace("FROM python:3.11-slim-bookworm", "FROM debian:bookworm-slim"),
    )
    assert "ensurepip" in project.check()["image-environment"]


STREAMING = """
import apache_beam as beam
from apache_beam.ml.inference.base import RunInference
from apache_beam.ml.inference.pytorch_inference import PytorchModelHandlerTensor

def build(pipeline):
    handler = PytorchModelHandlerTensor(state_dict_path="gs://b/m")
    return pipeline | beam.io.ReadFromPubSub("s") | RunInference(handler)
"""


def test_streaming_batch_of_one(project):
    project.write("main.py", "from steps import build\n")
    project.write("steps.py", STREAMING)
    assert "steps.py:7" in project.check()["entry-stream-batches"]


def test_poison_record(project):
    project.write("main.py", STREAMING)
    assert "one bad record stalls the pipeline forever" in project.check()["entry-poison"]
    project.replace("main.py", "RunInference(handler)", "R(handler).with_exception_handling()")
    assert "entry-poison" not in project.check()


def test_main_session(project):
    project.write("main.py", "import apache_beam as beam\nclass Parse(beam.DoFn):\n    pass\n")
    assert "main.py:2: class Parse is defined in the entry file" in project.check()["entry-defines"]


def test_strict_parser(project):
    project.write("main.py", "import argparse\nargparse.ArgumentParser().parse_args()\n")
    found = project.check()["entry-parse-args"]
    assert found.startswith("ERROR main.py:2: parse_args() exits with status 2")


def test_metrics_in_launcher(project):
    project.write(
        "main.py",
        """
        import apache_beam as beam
        result = beam.Pipeline().run()
        result.wait_until_finish()
        print(result.metrics().query())
        """,
    )
    found = project.check()
    assert found["entry-after-run"].startswith("ERROR main.py:5: calls metrics()")
    assert found["entry-waits"].startswith("WARNING main.py:4: waits for the job")


def test_modules_of_the_package_that_nothing_imports_by_name(project):
    package = project.root / "fashion"
    (project.root / "main.py").rename(project.write("fashion/main.py", ""))
    (package / "__init__.py").touch()
    entry_file = f"--entry-file={package / 'main.py'}"
    project.write("fashion/models/good.py", "import json, torch\nfrom fashion import main\n")
    before = project.check(entry_file)
    assert "entry-import" not in before
    project.write("fashion/models/broken.py", "import json\nimport no_such_package\n")
    found = project.check(entry_file)["entry-import"]
    assert found.startswith("WARNING")
    assert "fashion/models/broken.py:2: imports 'no_such_package'" in found
    project.write("fashion/models/broken.py", "def predict(:\n")
    assert "fashion/models/broken.py: invalid syntax" in project.check(entry_file)["entry-syntax"]


def test_wrong_architecture(project):
    project.replace("Dockerfile", "FROM python", "FROM --platform=linux/arm64 python")
    found = project.check()["image-platform"]
    assert found.startswith("ERROR")
    assert "Build with --platform linux/amd64" in found


def test_package_conflict(project):
    project.write("requirements.txt", REQUIREMENTS_IN_CONFLICT)
    found = project.check()
    assert "protobuf 4.21.0, but apache-beam 2.77.0 requires" in found["lock-conflict"]
    assert "not pinned to one version: pandas>=2" in found["lock-unpinned"]
    assert "strip_trailing_zero" in found["lock-advisory"]


REQUIREMENTS_IN_CONFLICT = """
apache-beam==2.77.0
protobuf==4.21.0
pandas>=2
setuptools==75.0
packaging==21.3
"""


def test_metadata_broken(project):
    parameters = [
        {"name": "topic", "label": "", "help_text": "h"},
        {"name": "n", "label": "N", "helpText": "h", "regexes": ["^\\d+$"], "defaultValue": "x"},
        {"name": "k", "label": "K", "helpText": "h", "isOptional": True, "regexes": ["a|b"]},
        {"name": "region", "label": "R", "helpText": "h", "isOptional": True},
    ]
    project.change_spec(lambda spec: spec["metadata"].update(parameters=parameters, nmae="x"))
    found = project.check()
    assert "the REST API writes 'helpText'" in found["spec-snake-case"]
    assert "label is empty" in found["metadata-empty"]
    assert "defaultValue 'x' does not match its own regex" in found["metadata-default"]
    assert "Write [0-9] for \\d" in found["metadata-regex-dialect"]
    assert "Write ^(a|b)$." in found["metadata-regex-anchor"]
    assert "the service sets this option itself" in found["metadata-reserved"]
    assert "metadata.nmae: no such field; did you mean 'name'?" in found["spec-field-unknown"]


def test_memory_leak(project):
    project.replace("requirements.txt", "2.77.0", "2.71.0")
    assert "keep every error" in project.check()["lock-advisory"]


def test_deadlock(project):
    project.write("requirements.txt", "grpcio==1.62.1\n")
    found = project.check()["lock-advisory"]
    assert found.startswith("ERROR")
    assert "deadlocks Beam's workers" in found


def test_graph_too_big(project):
    project.write("main.py", "import torch\nMODEL = torch.load('m.pth')\n")
    assert "main.py:2: loads a model when the launcher starts" in project.check()["entry-model"]


def test_nothing_runs(project):
    project.write("main.py", "def main():\n    pass\n")
    found = project.check()["entry-never-runs"]
    assert found.startswith("ERROR main.py:1: nothing calls main()")


def test_flags_swallowed(project):
    project.write(
        "main.py",
        """
        import argparse
        from apache_beam.options.pipeline_options import PipelineOptions
        parser = argparse.ArgumentParser()
        parser.add_argument("--project_id")
        args, rest = parser.parse_known_args()
        PipelineOptions(rest)
        """,
    )
    found = project.check()["entry-swallows"]
    assert "the launcher's flag --project, which argparse takes for --project_id" in found


def test_child_always_asked(project):
    child = {"name": "b", "label": "B", "helpText": "h", "parentName": "batch_size"}
    project.change_spec(lambda spec: spec["metadata"]["parameters"].append(child))
    assert "the service always requires it" in project.check(b="1")["metadata-child"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_encoding(project, encoding):
    text = '{"name": "W\u00f6rter", "parameters": []}'
    (project.root / "metadata.json").write_bytes(text.encode(encoding))
    assert "gcloud reads only UTF-8" in project.check()["file-encoding"]
    dockerfile = (project.root / "Dockerfile").read_text()
    (project.root / "metadata.json").unlink()
    (project.root / "Dockerfile").write_bytes(f"# \u00e9\n{dockerfile}".encode(encoding))
    assert set(project.check()) == ({"file-encoding"} if encoding == "utf-16" else set())
    locks = (project.root / "requirements.txt").read_text()
    (project.root / "requirements.txt").write_bytes(f"# \u00e9\n{locks}".encode(encoding))
    assert "lock-unpinned" not in project.check()
    (project.root / "main.py").write_bytes("NAME = '\u00e9'\n".encode(encoding))
    found = project.check().get("entry-syntax", "")
    assert found.startswith("ERROR main.py") == (encoding != "utf-8-sig")
