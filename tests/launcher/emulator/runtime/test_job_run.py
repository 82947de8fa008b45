"""Jobs from launch to end on real Beam: one launch, whose job also runs in other ways."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from launcher.emulator.runtime.temp import temp_dir_of
from launcher.emulator.runtime.worker_count import count_workers
from tests.launcher.emulator.runtime.conftest import Bench, Journal
from tests.launcher.emulator.runtime.test_processes import eventually, is_gone

LAUNCHED = ["JOB_STATE_PENDING", "JOB_STATE_RUNNING"]


@pytest.fixture(scope="module")
def deeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder whose files control what the pipeline does at number 7."""
    return tmp_path_factory.mktemp("deeds")


@pytest.fixture(scope="module")
def troubled(bench: Bench, deeds: Path) -> Journal:
    """A launch that ends well, though one bundle raises and one worker is killed."""
    (deeds / "deed").write_text("raise_once_then_die_once")
    parameters = {"output": "gs://staging/out/result", "folder": str(deeds)}
    return bench.run("pipeline.py", "troubled", parameters=parameters)


@pytest.fixture
def job(troubled: Journal) -> dict[str, Any]:
    """The job object of that launch, to be submitted directly."""
    assert troubled.job is not None
    return copy.deepcopy(dict(troubled.job))


def submit(bench: Bench, job: Mapping[str, Any], job_id: str) -> None:
    bench.runner.execute(job_id, job)


def results(bench: Bench) -> dict[int, int]:
    """Return the worker's process id by number."""
    lines = bench.store.read("staging", "out/result-00000-of-00001").decode().splitlines()
    pairs = [tuple(map(int, line.split())) for line in lines]
    assert sorted(number for number, _ in pairs) == list(range(10))
    return dict(pairs)


def test_a_launched_job_is_done(bench: Bench, troubled: Journal) -> None:
    assert troubled.states == [*LAUNCHED, "JOB_STATE_DONE"]
    assert results(bench)
    basic = troubled.texts("JOB_MESSAGE_BASIC")
    assert "Starting 1 workers in " in basic
    assert "Finished operation Numbers/Impulse+" in basic


def test_the_first_operations_begin_before_there_are_workers(troubled: Journal) -> None:
    lines = troubled.texts().splitlines()
    first = [
        "Executing wait step start3",
        next(line for line in lines if line.startswith("Executing operation Numbers/Impulse")),
        "Starting worker pool setup.",
        "Starting 1 workers in us-central1...",
        "Workers have started successfully.",
    ]
    assert [line for line in lines if line in first] == first


def test_a_job_that_has_ended_has_no_temporary_folder(troubled: Journal) -> None:
    assert eventually(lambda: not temp_dir_of("troubled").exists())


def test_an_exception_and_a_killed_worker_are_survived_and_reported(troubled: Journal) -> None:
    errors = troubled.texts("JOB_MESSAGE_ERROR")
    assert errors.count("Traceback") == 2
    for error in (
        "ValueError: seven is too much this time [while running 'Count']\n(attempt 1 of 4)",
        "ValueError: five is too much this time [while running 'Total']\n(attempt 1 of 4)",
    ):
        assert error in errors
    warnings = troubled.texts("JOB_MESSAGE_WARNING")
    assert "Worker worker-1 was killed by signal 9 (SIGKILL)" in warnings
    assert "(attempt 2 of 4). A new worker takes its place." in warnings


def test_failed_attempts_are_not_counted(troubled: Journal) -> None:
    for tentative in (False, True):
        assert troubled.metric("seen", namespace="tests", tentative=tentative) == 10
        sizes = {"count": 10, "sum": 45, "min": 0, "max": 9, "mean": 4.5}
        assert troubled.metric("sizes", namespace="tests", tentative=tentative) == sizes
        for output in ("Numbers/Map(decode)-out0", "Count-out0", "Format-out0"):
            found = troubled.metric("ElementCount", output_user_name=output, tentative=tentative)
            assert found == 10


def test_the_step_of_a_metric_is_a_transform_of_the_proto(bench: Bench, troubled: Journal) -> None:
    from apache_beam.portability.api import beam_runner_api_pb2

    steps = {
        update["name"]["context"]["step"]
        for update in troubled.metrics
        if update["name"]["origin"] == "user"
    }
    assert len(steps) == 2
    pipeline = beam_runner_api_pb2.Pipeline.FromString(
        (bench.runs_dir / "troubled" / "pipeline.pb").read_bytes()
    )
    names = {pipeline.components.transforms[step].unique_name for step in steps}
    assert names == {"Count", "Total"}


def test_state_is_put_back_before_the_next_attempt(troubled: Journal) -> None:
    totals = {"count": 10, "sum": 55, "min": 1, "max": 10, "mean": 5.5}
    assert troubled.metric("totals") == totals


def test_log_entries_of_workers_are_messages(troubled: Journal) -> None:
    assert ("JOB_MESSAGE_WARNING", "seven is here [Count]") in troubled.messages
    assert "Metadata" not in troubled.texts("JOB_MESSAGE_WARNING")


def test_what_workers_print_are_messages(bench: Bench, troubled: Journal) -> None:
    printed = [text for importance, text in troubled.messages if importance.endswith("DETAILED")]
    # At each of three attempts, one of them by a worker that was killed at once.
    assert printed.count("seven is printed") == printed.count("an odd byte \\xe9") == 3
    log = bench.runs_dir / "troubled" / "worker-1.log"
    assert b"seven is printed\nan odd byte \xe9\n" in log.read_bytes()


def test_a_submitted_job_runs_on_two_workers(
    bench: Bench, deeds: Path, job: dict[str, Any]
) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("a machine of one core has one worker")
    (deeds / "deed").write_text("nothing")
    job["environment"]["sdkPipelineOptions"]["options"]["num_workers"] = 2.0
    submit(bench, job, "submitted")
    journal = bench.journals.wait("submitted")
    assert journal.states == [*LAUNCHED, "JOB_STATE_DONE"], journal.texts()
    assert journal.job is None
    assert len(set(results(bench).values())) == 2
    assert journal.metric("seen") == 10


def test_an_exception_fails_the_job_and_is_reported_once(
    bench: Bench, deeds: Path, job: dict[str, Any]
) -> None:
    (deeds / "deed").write_text("fail")
    submit(bench, job, "failing")
    journal = bench.journals.wait("failing")
    assert journal.states == [*LAUNCHED, "JOB_STATE_FAILED"]
    errors = [text for importance, text in journal.messages if importance == "JOB_MESSAGE_ERROR"]
    assert len(errors) == 2
    assert 'raise ValueError("seven is too much")' in errors[0]
    assert journal.texts().count("Traceback") == 1
    assert errors[1].startswith("Workflow failed. Causes: Shuffle/")
    assert "the job failed because a work item has failed 4 times" in errors[1].lower()
    assert errors[1].endswith("Root cause: ValueError: seven is too much [while running 'Count']")


def test_a_worker_that_ends_with_the_stacks_of_its_threads_leaves_them_all(
    bench: Bench, deeds: Path, job: dict[str, Any]
) -> None:
    (deeds / "deed").write_text("hang")
    submit(bench, job, "hanging")
    journal = bench.journals.wait("hanging")
    assert journal.states == [*LAUNCHED, "JOB_STATE_FAILED"]
    errors = [text for importance, text in journal.messages if importance == "JOB_MESSAGE_ERROR"]
    assert len(errors) == 2
    how, _, stacks = errors[0].partition(" (attempt 4 of 4). Its last output:\n")
    assert stacks.startswith("Timeout (0:00:00.2")
    assert "in hang\n" in stacks
    log = (bench.runs_dir / "hanging" / f"{how.split()[1]}.log").read_text(errors="replace")
    assert stacks.count("Thread 0x") == log.count("Thread 0x") > 3
    assert errors[1].endswith(f"Root cause: {how}: {stacks.splitlines()[0]}")


@pytest.fixture
def sleeping(bench: Bench, deeds: Path, job: dict[str, Any]) -> Iterator[tuple[str, list[int]]]:
    """A job that sleeps at number 7, and the process ids of its worker and its executor."""
    (deeds / "deed").write_text("sleep")
    (deeds / "pids").unlink(missing_ok=True)
    job_id = f"sleeping-{os.urandom(4).hex()}"
    submit(bench, job, job_id)
    bench.journals.wait_for(job_id, lambda journal: "seven is here" in journal.texts())
    assert eventually(lambda: (deeds / "pids").exists() and (deeds / "pids").read_text() != "")
    yield job_id, [int(pid) for pid in (deeds / "pids").read_text().split()]
    bench.runner.cancel(job_id)


def test_a_running_job_shows_what_it_has_counted_and_can_be_cancelled(
    bench: Bench, sleeping: tuple[str, list[int]]
) -> None:
    job_id, pids = sleeping
    journal = bench.journals.wait_for(
        job_id,
        lambda journal: any(update["name"]["name"] == "seen" for update in journal.metrics),
    )
    assert journal.metric("seen") == 0
    assert 1 <= journal.metric("seen", tentative=True) <= 10
    bench.runner.cancel(job_id)
    assert all(eventually(lambda pid=pid: is_gone(pid)) for pid in pids)
    assert journal.states == LAUNCHED


def test_an_executor_that_is_killed_fails_the_job(
    bench: Bench, sleeping: tuple[str, list[int]]
) -> None:
    job_id, (worker, executor) = sleeping
    os.kill(executor, signal.SIGKILL)
    journal = bench.journals.wait(job_id)
    assert journal.states == [*LAUNCHED, "JOB_STATE_FAILED"]
    assert "the executor ended with exit status 137" in journal.texts("JOB_MESSAGE_ERROR")
    assert eventually(lambda: is_gone(worker))


def test_a_worker_image_that_is_not_known_fails_the_job(bench: Bench, job: dict[str, Any]) -> None:
    pool = job["environment"]["workerPools"][0]
    pool["sdkHarnessContainerImages"][0]["containerImage"] = "eu.gcr.io/p/unknown:1"
    submit(bench, job, "unknown-worker-image")
    journal = bench.journals.wait("unknown-worker-image")
    assert journal.states == ["JOB_STATE_PENDING", "JOB_STATE_FAILED"]
    errors = journal.texts("JOB_MESSAGE_ERROR")
    assert "Unable to pull container image due to error: eu.gcr.io/p/unknown:1" in errors
    assert '["eu.gcr.io/p/unknown:1"]' in errors


def test_a_worker_that_cannot_start_fails_the_job(bench: Bench, job: dict[str, Any]) -> None:
    from apache_beam.portability.api import beam_runner_api_pb2

    image = "test/does-not-start"
    proto = (bench.runs_dir / "troubled" / "pipeline.pb").read_bytes()
    pipeline = beam_runner_api_pb2.Pipeline.FromString(proto)
    payload = beam_runner_api_pb2.DockerPayload(container_image=image)
    for environment in pipeline.components.environments.values():
        environment.payload = payload.SerializeToString()
    bench.store.write("staging", "other.pb", pipeline.SerializeToString())
    job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"] = "gs://staging/other.pb"
    job["environment"]["workerPools"][0]["sdkHarnessContainerImages"] = [{"containerImage": image}]
    submit(bench, job, "does-not-start")
    journal = bench.journals.wait("does-not-start")
    assert journal.states == [*LAUNCHED, "JOB_STATE_FAILED"]
    texts = journal.texts()
    assert texts.count("ended with exit status 3 (attempt ") == 4
    assert texts.count("Its last output:\nno Beam here") == 2
    assert texts.count("It ended as before.") == 2
    assert "The job failed because a work item has failed 4 times" in texts


def test_a_pipeline_that_is_not_there_fails_the_job(bench: Bench, job: dict[str, Any]) -> None:
    job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"] = "gs://staging/nothing"
    submit(bench, job, "no-pipeline")
    journal = bench.journals.wait("no-pipeline")
    assert journal.states == ["JOB_STATE_PENDING", "JOB_STATE_FAILED"]
    assert "gs://staging/nothing, which does not exist" in journal.texts()


def test_a_pipeline_that_cannot_be_read_fails_the_job(bench: Bench, job: dict[str, Any]) -> None:
    bench.store.write("staging", "broken.pb", b"this is no pipeline")
    job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"] = "gs://staging/broken.pb"
    submit(bench, job, "broken-pipeline")
    journal = bench.journals.wait("broken-pipeline")
    assert journal.states == ["JOB_STATE_PENDING", "JOB_STATE_FAILED"]
    assert "DecodeError" in journal.texts("JOB_MESSAGE_ERROR")


def test_without_an_image_the_workers_have_this_environment_and_a_warning(
    bench: Bench, deeds: Path
) -> None:
    parameters = {"output": "gs://staging/out/stock", "folder": str(deeds)}
    journal = bench.run("pipeline.py", "stock", parameters=parameters, runtime_environment={})
    assert journal.states == [*LAUNCHED, "JOB_STATE_FAILED"]
    assert "ModuleNotFoundError: No module named 'deeds'" in journal.texts("JOB_MESSAGE_ERROR")
    assert "set sdk_container_image" in journal.texts("JOB_MESSAGE_WARNING")


@pytest.mark.parametrize(
    ("options", "cores", "workers"),
    [
        ({}, 8, 1),
        ({"num_workers": 3.0}, 8, 3),
        ({"max_num_workers": 2.0}, 8, 2),
        ({"num_workers": 1.0, "max_num_workers": 5.0}, 8, 1),
        ({"num_workers": 100.0}, 4, 4),
    ],
)
def test_the_number_of_workers(options: dict[str, float], cores: int, workers: int) -> None:
    assert count_workers(options, cores=cores) == workers
