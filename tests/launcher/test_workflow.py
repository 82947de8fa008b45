"""The one call that checks, launches, falls back, follows, verifies and diagnoses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher import (
    Accelerator,
    Fallback,
    InputError,
    JobFailed,
    LaunchConfig,
    Milestone,
    RunObserver,
    build_container_spec,
    build_template_metadata,
    run_template,
    upload_spec,
)
from launcher.emulator.runtime.events import Importance
from launcher.google.storage import find_blob
from launcher.workflow import plan_run
from template.parameters import BATCH
from tests.launcher.service import LAUNCH, Outcome

SPEC = "gs://my-bucket/templates/batch.json"


class Notes(RunObserver):
    """Records everything that it is given."""

    def __init__(self):
        self.events = []

    def on_findings(self, findings):
        self.events.append(("findings", [finding.code for finding in findings]))

    def on_unchecked(self, reason):
        self.events.append(("unchecked", type(reason).__name__))

    def on_launched(self, job, plan):
        self.events.append(("launched", plan.config.job_name))

    def on_job(self, job):
        self.events.append(("job", str(job.current_state)))

    def on_followed(self):
        self.events.append(("followed",))

    def on_fallback(self, shortage, plan, number, total):
        self.events.append(("fallback", shortage, plan.fallback.text, number, total))


@pytest.fixture
def config(cloud) -> LaunchConfig:
    upload_spec(build_container_spec(image="h/i:1", metadata=build_template_metadata(BATCH)), SPEC)
    for name in ("a.csv", "m.pth"):
        find_blob(f"gs://my-bucket/{name}", None).upload_from_string("")
    return LaunchConfig(
        job_name="fashion",
        template_file_gcs_location=SPEC,
        project="my-project",
        region="us-central1",
        parameters={
            "input": "gs://my-bucket/a.csv",
            "output": "gs://my-bucket/o",
            "model_path": "gs://my-bucket/m.pth",
        },
    )


def test_a_run_is_observed_from_check_to_end(config, service):
    service.outcomes.append(Outcome("DONE"))
    notes = Notes()
    result = run_template(config, observer=notes)
    assert notes.events == [
        ("findings", []),
        ("launched", "fashion"),
        ("job", "JOB_STATE_DONE"),
        ("followed",),
    ]
    assert result.job.current_state == "JOB_STATE_DONE"
    assert result.counts is not None
    assert [item.name for item in result.comparisons] == ["image"]
    assert result.plan.requested.sdk_container_image == "h/i:1"


def test_a_shortage_leads_to_the_next_plan(config, service):
    service.fault(LAUNCH, "no-capacity")
    service.outcomes.append(Outcome("DONE"))
    notes = Notes()
    gpu = replace(config, accelerator=Accelerator("nvidia-l4"))
    fallbacks = [Fallback.parse("region=europe-west4"), Fallback.parse("region=us-east1")]
    result = run_template(gpu, fallbacks=fallbacks, observer=notes)
    assert result.plan.config.region == "europe-west4"
    assert [job.region for job in service.jobs] == ["us-central1", "europe-west4"]
    (event,) = [event for event in notes.events if event[0] == "fallback"]
    assert event[1].startswith("No machines or GPUs are left in the zone or region: ")
    assert event[2:] == ("region=europe-west4", 2, 3)


def test_another_failure_is_diagnosed(config, service):
    service.outcomes.append(
        Outcome("FAILED", ["ModuleNotFoundError: No module named 'x'"], Importance.ERROR)
    )
    notes = Notes()
    with pytest.raises(JobFailed, match=r"Cause \(workers-lack-code\)") as caught:
        run_template(config, fallbacks=[Fallback.parse("region=us-east1")], observer=notes)
    assert caught.value.diagnosis.failure.id == "workers-lack-code"
    assert caught.value.__suppress_context__  # one traceback, with the reason only once
    assert caught.value.__cause__ is None
    assert notes.events[-1] == ("followed",)
    assert len(service.jobs) == 1


def test_an_error_launches_nothing(config, service):
    with pytest.raises(InputError, match="--parameters input: missing") as caught:
        run_template(replace(config, parameters={}))
    assert "--ignore CODE, in Python ignore=[CODE]." in str(caught.value)
    with pytest.raises(InputError, match="--ignore 'no-such'"):
        run_template(config, ignore=["no-such"])
    assert service.launch_calls == 0


def test_without_following_the_job_is_not_even_read(config, service):
    notes = Notes()
    result = run_template(config, until=None, observer=notes)
    assert notes.events[-1] == ("launched", "fashion")
    assert (result.counts, result.comparisons) == (None, None)
    assert service.calls[-1].verb == "POST"


@pytest.mark.parametrize("until", [None, Milestone.STAGED])
def test_fallbacks_need_a_job_that_is_followed(config, service, until):
    with pytest.raises(InputError, match="--fallback: cannot be combined with --async"):
        run_template(config, fallbacks=[Fallback.parse("region=x")], until=until)
    assert service.launch_calls == 0


def test_a_plan_is_the_request_of_each_launch_and_sends_nothing(config, service):
    first, second = plan_run(config, fallbacks=[Fallback.parse("region=us-east1")])
    assert (first.fallback, second.fallback.text) == (None, "region=us-east1")
    assert second.request.launch_parameter.job_name == "fashion-2"
    assert service.calls == []


def test_a_spec_that_may_not_be_read_is_launched_unchecked(config, service, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://localhost:1")
    notes = Notes()
    run_template(config, until=None, observer=notes)
    assert notes.events == [("unchecked", "StorageError"), ("launched", "fashion")]
