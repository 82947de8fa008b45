"""Real clients against a running emulator that knows the images of the contract's templates."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

from launcher.emulator import daemon
from launcher.emulator.service.discovery import load_discovery
from tests.contract.templates import SOURCES
from tests.support import PROJECT, bare_environ, open_storage, run_emulator

REGION = "europe-west1"
GPU = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
TERMINAL = ("JOB_STATE_DONE", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
_DEADLINE_SEC = 90
_MESSAGES = load_discovery().messages


@dataclass(frozen=True)
class LocalDataflow:
    """A running emulator, called by plain HTTP, with a bucket and a spec for every entry file."""

    info: daemon.EmulatorInfo
    env: Mapping[str, str]
    bucket: storage.Bucket

    @property
    def root(self) -> str:
        return f"gs://{self.bucket.name}"

    def spec_path(self, entry_file: str) -> str:
        return f"{self.root}/{entry_file}.json"

    def call(self, verb: str, path: str, body: object = None) -> Any:
        """Call the API below the project and region of the tests."""
        url = f"{self.info.dataflow_endpoint}v1b3/projects/{PROJECT}/locations/{REGION}/{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, method=verb)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def launch(self, name: str, entry_file: str, **parameter: Any) -> str:
        """Launch a template; return the id of its job."""
        launch = {
            "jobName": name,
            "containerSpecGcsPath": self.spec_path(entry_file),
            "environment": {"stagingLocation": f"{self.root}/staging"},
            **parameter,
        }
        job_id: str = self.call("POST", "flexTemplates:launch", {"launchParameter": launch})["job"][
            "id"
        ]
        return job_id

    def wait(self, job_id: str, *states: str) -> dict[str, Any]:
        """Wait until a job has ended, or is in one of the states; return the whole job."""
        deadline = time.monotonic() + _DEADLINE_SEC
        while True:
            job: dict[str, Any] = self.call("GET", f"jobs/{job_id}?view=JOB_VIEW_ALL")
            _MESSAGES.check("Job", job)
            if job["currentState"] in (states or TERMINAL):
                return job
            assert job["currentState"] not in TERMINAL, self.texts(job_id)
            assert time.monotonic() < deadline, job
            time.sleep(0.1)

    def texts(self, job_id: str, importance: str = "JOB_MESSAGE_DEBUG") -> list[str]:
        path = f"jobs/{job_id}/messages?minimumImportance={importance}"
        answer = self.call("GET", path)
        _MESSAGES.check("ListJobMessagesResponse", answer)
        return [message["messageText"] for message in answer.get("jobMessages", [])]

    def metrics(self, job_id: str) -> list[dict[str, Any]]:
        answer = self.call("GET", f"jobs/{job_id}/metrics")
        _MESSAGES.check("JobMetrics", answer)
        updates: list[dict[str, Any]] = answer["metrics"]
        return updates


@dataclass(frozen=True)
class Launched:
    """Jobs launched at the same time, by the name of their entry file."""

    jobs: Mapping[str, str]
    local_dataflow: LocalDataflow

    def end(self, entry_file: str) -> dict[str, Any]:
        return self.local_dataflow.wait(self.jobs[entry_file])

    def object(self, entry_file: str, name: str) -> str:
        path = f"staging/template_launches/{self.jobs[entry_file]}/{name}"
        text: str = self.local_dataflow.bucket.blob(path).download_as_text()
        return text


class Faults:
    """The faults of a running emulator, through its control API."""

    def __init__(self, dataflow_endpoint: str) -> None:
        self._url = f"{dataflow_endpoint}emulator/faults"

    def queue(self, method_id: str, fault: str, **fields: Any) -> None:
        body = json.dumps({"methodId": method_id, "fault": fault, **fields})
        self._call("POST", body.encode())

    def met(self) -> list[str]:
        """Return the faults that have struck, in the order in which they were queued."""
        return [fault["fault"] for fault in self._call("GET")["faults"] if fault["met"]]

    def clear(self) -> None:
        self._call("DELETE")

    def _call(self, verb: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self._url, body, method=verb)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(scope="session")
def local_dataflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDataflow]:
    folder = tmp_path_factory.mktemp("contract")
    for name, source in SOURCES.items():
        (folder / name).write_text(source)
    images = folder / "images.toml"
    images.write_text(
        "".join(
            f'["contract/{name}"]\nworkdir = "."\n'
            f'env = {{ FLEX_TEMPLATE_PYTHON_PY_FILE = "{name}" }}\n'
            for name in SOURCES
        )
    )
    with run_emulator(folder / "data", images=images) as info:
        bucket = open_storage(info).create_bucket("flexpack-contract")
        for name in SOURCES:
            spec = {"image": f"contract/{name}", "sdkInfo": {"language": "PYTHON"}}
            bucket.blob(f"{name}.json").upload_from_string(json.dumps(spec))
        yield LocalDataflow(
            info, bare_environ() | daemon.shell_variables(info, project=PROJECT), bucket
        )


@pytest.fixture(scope="session")
def launched(local_dataflow: LocalDataflow) -> Launched:
    environment = {
        "additionalExperiments": [GPU],
        "additionalPipelineOptions": ["dataflow_service_options=enable_prime"],
        "additionalUserLabels": {"team": "ml"},
        "diskSizeGb": 123,
        "machineType": "g2-standard-4",
        "maxWorkers": 3,
        "numWorkers": 2,
        "sdkContainerImage": "contract/count.py",
        "stagingLocation": f"{local_dataflow.root}/staging",
        "workerRegion": "europe-west4",
    }
    jobs = {
        "count.py": local_dataflow.launch(
            "count",
            "count.py",
            parameters={"output": f"{local_dataflow.root}/count/rows"},
            environment=environment,
        ),
        "asks_for_metrics.py": local_dataflow.launch("asks", "asks_for_metrics.py"),
        "overwrites_runner.py": local_dataflow.launch("overwrites", "overwrites_runner.py"),
        "overwrites_job_name.py": local_dataflow.launch("renames", "overwrites_job_name.py"),
        "wide.py": local_dataflow.launch(
            "wide",
            "wide.py",
            parameters={"output": f"{local_dataflow.root}/wide/out"},
            environment={
                "numWorkers": 2,
                "sdkContainerImage": "contract/wide.py",
                "stagingLocation": f"{local_dataflow.root}/staging",
            },
        ),
    }
    return Launched(jobs, local_dataflow)


@pytest.fixture(scope="session")
def direct_submission(
    local_dataflow: LocalDataflow, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[str]]:
    """A newly started process that submits pipelines with Beam's DataflowRunner."""
    program = Path(__file__).with_name("beam_program.py")
    endpoint = local_dataflow.info.dataflow_endpoint.rstrip("/")
    with subprocess.Popen(
        [sys.executable, program, endpoint, PROJECT, REGION, local_dataflow.root],
        # Beam leaves files in the temporary folder with every submission.
        env={**local_dataflow.env, "TMPDIR": str(tmp_path_factory.mktemp("beam"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def faults(emulator: daemon.EmulatorInfo) -> Iterator[Faults]:
    faults = Faults(emulator.dataflow_endpoint)
    yield faults
    faults.clear()
