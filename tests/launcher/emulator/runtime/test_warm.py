"""Warm processes stage and print the same as new ones, and leave nothing behind."""

from __future__ import annotations

import base64
import bz2
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2

from launcher.emulator import daemon
from launcher.emulator.runtime import leash, warm_parent
from launcher.emulator.runtime.images import ImageRegistry
from launcher.emulator.runtime.job_runner import JobRunner
from launcher.emulator.runtime.warm import WarmProcesses, can_be_warm
from tests.launcher.emulator.runtime.conftest import Bench, Journal
from tests.launcher.emulator.runtime.test_processes import eventually, is_gone
from tests.processes import find_descendants
from tests.support import open_storage

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has warm processes")

KIT = "local/flexpack"
OWN_MODEL = """
import numpy as np
import os
import pandas as pd
import sys
from template.model import BaseModel

print("imported by", sys.argv[0].rpartition("/")[2], flush=True)

class OwnModel(BaseModel):
    def load_model(self, path):
        return path

    def predict(self, df):
        pages = os.environ.get("THP_MEM_ALLOC_ENABLE")
        print("predicts in", os.getcwd(), "as", os.environ["WORKER_ID"], "with huge pages:", pages)
        return pd.DataFrame({"draw": np.random.randint(0, 1 << 30, len(df))})
"""
BROKEN_MODEL = """
def dig(depth):
    return 1 / 0 if depth == 0 else dig(depth - 1)

dig(2)
"""


@pytest.fixture(scope="module")
def warm(
    bench: Bench, registry: ImageRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bench, WarmProcesses, Path]]:
    """A bench whose runner has warm processes but is otherwise the same."""
    (bench.templates / "own_model.py").write_text(OWN_MODEL)
    (bench.templates / "broken_model.py").write_text(BROKEN_MODEL)
    bench.store.write("staging", "in/rows.csv", b"a,b\n1,2\n3,4\n", content_type="text/csv")
    folder = tmp_path_factory.mktemp("warm")
    processes = WarmProcesses(folder)
    runner = JobRunner(
        store=bench.store,
        images=registry,
        endpoints=bench.endpoints,
        report=bench.journals.record,
        runs_dir=bench.runs_dir,
        warm=processes,
    )
    yield replace(bench, runner=runner), processes, folder / "warm.log"
    runner.close()
    processes.close()


def launch(bench: Bench, job_id: str, **changes: Any) -> Journal:
    """Launch the batch template, under the same name in every bench."""
    parameters = {
        "input": "gs://staging/in/rows.csv",
        "output": "gs://staging/out/rows",
        "model_path": "gs://staging/in/rows.csv",
        "model_class": "own_model:OwnModel",
    }
    return bench.run(
        job_id,
        job_id,
        image=KIT,
        parameters=parameters | changes,
        runtime_environment={"sdkContainerImage": KIT, "numWorkers": 2},
    )


def level(data: bytes, job_id: str) -> bytes:
    """Return what was staged, without ids, times and addresses, which differ between two jobs."""
    data = data.replace(job_id.encode(), b"JOB")
    data = re.sub(rb"test-job\.\d+\.\d+", b"test-job.TIME", data)
    data = re.sub(rb"\b20\d{18}-\d{4}\b", b"REQUEST-ID", data)
    data = re.sub(rb"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", b"UUID", data)
    data = re.sub(rb"object at 0x[0-9a-f]+", b"object", data)
    # In a pickle, a datetime of ten bytes followed by its offset.
    return re.sub(rb"(?<=datetime\x94\x93\x94C\n)\x07.{9}", b"TIME", data, flags=re.DOTALL)


def read_job(bench: Bench, job_id: str) -> dict[str, Any]:
    """Return the staged job."""
    text = bench.store.read("staging", f"here/template_launches/{job_id}/job_object")
    job: dict[str, Any] = json.loads(level(text, job_id))
    options = job["environment"]["sdkPipelineOptions"]["options"]
    del options["pipelineProtoHash"]  # The proto holds the time, and its maps may be in any order.
    return job


def read_pipeline(bench: Bench, journal: Journal, job_id: str) -> dict[str, tuple[bytes, bytes]]:
    """Return the components of the staged pipeline, and what is pickled in them."""
    assert journal.job is not None
    url = journal.job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
    data = bench.store.read("staging", url.removeprefix("gs://staging/"))
    components = beam_runner_api_pb2.Pipeline.FromString(data).components
    functions = {}
    for name, transform in components.transforms.items():
        if transform.spec.urn == common_urns.primitives.PAR_DO.urn:
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            functions[name] = bz2.decompress(base64.b64decode(payload.do_fn.payload))
            payload.do_fn.payload = b""
            transform.spec.payload = payload.SerializeToString(deterministic=True)
    return {
        f"{kind.name} {name}": (
            level(component.SerializeToString(deterministic=True), job_id),
            level(functions.get(name, b""), job_id),
        )
        for kind, found in components.ListFields()
        for name, component in found.items()
    }


def read_console(bench: Bench, job_id: str) -> str:
    """Return the launcher's console output without the job's id and the time."""
    console = bench.console_logs(job_id).replace(job_id, "JOB")
    return re.sub(r"\d\d\d\d/\d\d/\d\d \d\d:\d\d:\d\d\.\d+|test-job\.\d+\.\d+", "TIME", console)


def test_a_warm_job_is_the_one_that_a_cold_start_makes(
    bench: Bench, warm: tuple[Bench, WarmProcesses, Path]
) -> None:
    cold_job, warm_job = "job-cold", "job-warm"
    cold, hot = launch(bench, cold_job), launch(warm[0], warm_job)
    for journal in (cold, hot):
        assert journal.states[-1] == "JOB_STATE_DONE", journal.texts()
        place = f"predicts in {bench.templates} as worker-1"
        assert f"{place} with huge pages: 1" in journal.texts(), "set by an import"
    assert read_job(bench, cold_job) == read_job(bench, warm_job)
    pipeline = read_pipeline(bench, cold, cold_job)
    assert pipeline == read_pipeline(bench, hot, warm_job)
    assert len([functions for _, functions in pipeline.values() if functions]) > 10
    assert read_console(bench, cold_job) == read_console(bench, warm_job)
    assert "imported by main.py" in read_console(bench, warm_job)
    assert "Traceback" not in warm[2].read_text()
    for job_id in (cold_job, warm_job):
        staged = {path.name for path in (bench.runs_dir / job_id / "staged").iterdir()}
        assert "submission_environment_dependencies.txt" not in staged


@pytest.mark.parametrize(
    "parameters",
    [{"model_class": "broken_model:Model"}, {"output": ""}],
    ids=["its model's module raises", "a parameter is missing"],
)
def test_a_launcher_that_fails_prints_the_same(
    bench: Bench, warm: tuple[Bench, WarmProcesses, Path], parameters: dict[str, str]
) -> None:
    consoles = []
    for kind, where in (("cold", bench), ("warm", warm[0])):
        job_id = f"fails-{kind}-{sorted(parameters)[0]}"
        assert launch(where, job_id, **parameters).states[-1] == "JOB_STATE_FAILED"
        consoles.append(read_console(bench, job_id))
    assert consoles[0] == consoles[1]
    assert "warm_parent" not in consoles[1]


def test_a_change_of_what_was_imported_renews_the_parent(
    bench: Bench, registry: ImageRegistry, warm: tuple[Bench, WarmProcesses, Path]
) -> None:
    processes = warm[1]
    env = registry.find(KIT).process_env(bench.endpoints)
    never = threading.Event()
    first = processes.prepare(registry.find(KIT), env, never)
    assert first is not None
    assert processes.prepare(registry.find(KIT), env, never) is first
    file = Path(leash.__file__)
    os.utime(file)
    second = processes.prepare(registry.find(KIT), env, never)
    assert second is not None
    assert second is not first


@pytest.mark.parametrize(
    ("name", "value"), [("OMP_NUM_THREADS", "1"), ("PYTHONHASHSEED", "7"), ("HOME", "/nowhere")]
)
def test_a_variable_that_is_read_early_makes_it_refuse(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_parent, "check_threads", lambda: None)
    parent = warm_parent.Parent(leash.__file__)
    parent.note_imports()
    env = dict(os.environ)
    parent.check({**env, "TMPDIR": "/elsewhere", "FLEX_TEMPLATE_PYTHON_PY_FILE": "main.py"})
    with pytest.raises(warm_parent.RefusedError, match=f"the image sets {name}"):
        parent.check({**env, name: value})


@pytest.mark.parametrize("name", ["json.py", "sitecustomize.py", "pytest/__init__.py"])
def test_a_module_that_comes_before_an_imported_one_makes_it_refuse(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_parent, "check_threads", lambda: None)
    parent = warm_parent.Parent(leash.__file__)
    parent.note_imports()
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    (tmp_path / "json").mkdir()  # a folder of files, which hides no module
    (tmp_path / "churn.py").touch()
    parent.check(env)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(warm_parent.RefusedError, match=re.escape(str(tmp_path))):
        parent.check(env)


def test_a_thread_makes_it_refuse() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    with pytest.raises(warm_parent.RefusedError, match="threads"):
        warm_parent.fork()
    ended.set()
    thread.join()


def test_only_images_that_are_this_environment_are_warm(
    registry: ImageRegistry, templates: Path
) -> None:
    kit = registry.find(KIT)
    assert can_be_warm(kit)
    assert can_be_warm(replace(kit, python=Path(sys.executable).with_name("python3")))
    assert not can_be_warm(replace(kit, python=Path("/usr/bin/python3")))
    assert not can_be_warm(replace(kit, root=templates))
    assert not can_be_warm(replace(kit, env={**kit.env, "OMP_NUM_THREADS": "1"}))
    assert not can_be_warm(registry.find("test/pipeline.py"))


def test_nothing_outlives_a_daemon_that_is_killed(tmp_path: Path) -> None:
    info = daemon.start_detached(daemon.EmulatorOptions(port=0, data_dir=tmp_path / "data"))
    bucket = open_storage(info).create_bucket("warm-bucket")
    bucket.blob("rows.csv").upload_from_string("a,b\n1,2\n")
    parameter = {
        "jobName": "outlives",
        "containerSpec": {"image": KIT, "sdkInfo": {"language": "PYTHON"}},
        "environment": {
            "sdkContainerImage": KIT,
            "stagingLocation": "gs://warm-bucket/staging",
        },
        "parameters": {
            "input": "gs://warm-bucket/rows.csv",
            "output": "gs://warm-bucket/out/rows",
            "model_path": "gs://warm-bucket/rows.csv",
        },
    }
    requests.post(
        f"{info.dataflow_endpoint}v1b3/projects/p/locations/us-central1/flexTemplates:launch",
        json={"launchParameter": parameter},
        timeout=60,
    ).raise_for_status()

    def find(*parts: str) -> list[int]:
        commands = find_descendants(info.pid).items()
        return [pid for pid, command in commands if any(part in command for part in parts)]

    # Each, except the worker, has a leash that shows the same command.
    programs = ("template/main.py", "launcher.emulator.executor", "worker_boot.py")
    assert eventually(lambda: len(find(*programs)) >= 5)
    assert len(find("warm_parent.py")) == 2
    pids = find("")
    os.kill(info.pid, signal.SIGKILL)
    assert all(eventually(lambda pid=pid: is_gone(pid)) for pid in pids)
