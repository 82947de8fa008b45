"""Our own client meets the faults of the running emulator: which calls it repeats."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from launcher import (
    ApiError,
    Dataflow,
    LaunchConfig,
    LaunchFlexTemplateRequest,
    LaunchUncertain,
    build_launch_request,
)
from launcher.emulator.daemon import EmulatorInfo
from tests.contract.conftest import Faults
from tests.support import PROJECT, open_storage

LAUNCH = "dataflow.projects.locations.flexTemplates.launch"
GET = "dataflow.projects.locations.jobs.get"
LIST = "dataflow.projects.locations.jobs.list"
MESSAGES = "dataflow.projects.locations.jobs.messages.list"
# Nothing runs for long, because the image is unknown and the job fails when it pulls it.
SPEC = '{"image": "test/unknown", "sdkInfo": {"language": "PYTHON"}}'

_numbers = itertools.count()


@pytest.fixture(scope="module")
def spec_path(emulator: EmulatorInfo) -> str:
    bucket = open_storage(emulator).create_bucket("flexpack-retries")
    bucket.blob("spec.json").upload_from_string(SPEC)
    return f"gs://{bucket.name}/spec.json"


@pytest.fixture
def naps() -> list[float]:
    """The sleeps that the client under test requests, recorded instead of slept."""
    return []


@pytest.fixture
def dataflow(emulator: EmulatorInfo, naps: list[float]) -> Dataflow:
    return Dataflow(
        PROJECT,
        "us-central1",
        endpoint=emulator.dataflow_endpoint,
        timeout_sec=2,
        sleep=naps.append,
    )


@pytest.fixture
def request_of(spec_path: str) -> Callable[[str], LaunchFlexTemplateRequest]:
    def build(name: str) -> LaunchFlexTemplateRequest:
        return build_launch_request(
            LaunchConfig(
                job_name=name,
                template_file_gcs_location=spec_path,
                project=PROJECT,
                region="us-central1",
                launch_id=name,
            )
        )

    return build


@pytest.mark.parametrize(
    ("fault", "fields", "times_met"),
    [
        ("drop-after", {}, 1),
        # The second one never strikes, because nothing is repeated.
        ("drop-after", {"count": 2}, 1),
        ("503-after", {}, 1),
        ("delay-after", {"delaySec": 2.5}, 1),  # Longer than the client waits.
        ("drop", {}, 1),
        ("drop", {"count": 2}, 2),
        ("503", {"count": 2}, 2),
        ("429", {"count": 2}, 2),
    ],
)
def test_a_launch_that_loses_its_answer_launches_once(
    dataflow: Dataflow,
    faults: Faults,
    request_of: Callable[[str], LaunchFlexTemplateRequest],
    fault: str,
    fields: dict[str, float],
    times_met: int,
) -> None:
    name = f"retried-{next(_numbers)}"
    faults.queue(LAUNCH, fault, **fields)

    job = dataflow.launch(request_of(name))

    assert [listed.id for listed in dataflow.list(name=name)] == [job.id]
    assert faults.met() == [fault] * times_met


def test_what_cannot_be_found_out_is_not_repeated(
    dataflow: Dataflow,
    faults: Faults,
    request_of: Callable[[str], LaunchFlexTemplateRequest],
) -> None:
    faults.queue(LAUNCH, "drop-after")
    # The client lists before its launch, and after it three times.
    faults.queue(LIST, "delay", delaySec=0)
    faults.queue(LIST, "503", count=3)

    with pytest.raises(LaunchUncertain, match="It is unknown whether"):
        dataflow.launch(request_of("uncertain"))

    assert faults.met() == ["drop-after", "delay", "503", "503", "503"]
    assert len(dataflow.list(name="uncertain")) == 1


def test_reads_are_repeated_a_few_times(
    dataflow: Dataflow,
    faults: Faults,
    naps: list[float],
    request_of: Callable[[str], LaunchFlexTemplateRequest],
) -> None:
    job = dataflow.launch(request_of("read"))
    faults.queue(GET, "drop")
    faults.queue(GET, "429")
    faults.queue(MESSAGES, "503")

    assert dataflow.get(job.id).name == "read"
    assert dataflow.messages(job.id)

    assert faults.met() == ["drop", "429", "503"]
    assert len(naps) == 3
    faults.queue(GET, "503", count=4)
    with pytest.raises(ApiError, match="503 UNAVAILABLE: The service is currently unavailable"):
        dataflow.get(job.id)
    assert faults.met()[3:] == ["503"] * 3


def test_cloud_storage_meets_faults_too(emulator: EmulatorInfo, faults: Faults) -> None:
    bucket = open_storage(emulator).create_bucket("flexpack-storage-faults")
    faults.queue("storage.objects.insert", "503")
    faults.queue("storage.objects.get", "drop")
    faults.queue("storage.objects.get", "429")
    blob = bucket.blob("a")

    blob.upload_from_string("kept", if_generation_match=0)
    assert blob.download_as_bytes() == b"kept"

    assert faults.met() == ["503", "drop", "429"]
