"""Google's own clients, unchanged, against the running service."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from launcher.emulator.runtime.events import Importance, MessageEvent, MetricsEvent
from tests.launcher.emulator.service.conftest import SPEC_PATH, Local


def test_google_api_python_client(local: Local, endpoint: str) -> None:
    import googleapiclient.discovery
    import googleapiclient.errors
    import httplib2

    dataflow = googleapiclient.discovery.build(
        "dataflow",
        "v1b3",
        http=httplib2.Http(timeout=10),
        client_options={"api_endpoint": endpoint},
        static_discovery=True,
    )
    locations = dataflow.projects().locations()
    where = {"projectId": "p", "location": "europe-west1"}
    parameter: dict[str, Any] = {
        "jobName": "j",
        "containerSpecGcsPath": SPEC_PATH,
        "parameters": {"input": "gs://i/i", "output": "gs://o/o"},
    }
    launch = locations.flexTemplates().launch(body={"launchParameter": parameter}, **where)
    job_id = launch.execute()["job"]["id"]
    jobs = locations.jobs()
    assert jobs.get(jobId=job_id, view="JOB_VIEW_ALL", **where).execute()["id"] == job_id
    assert dataflow.projects().jobs().aggregated(projectId="p").execute()["jobs"]

    for number in range(5):
        local.record(job_id, MessageEvent(Importance.BASIC, str(number)))
    texts = []
    request = jobs.messages().list(jobId=job_id, pageSize=2, **where)
    while request is not None:
        answer = request.execute()
        texts += [message["messageText"] for message in answer["jobMessages"]]
        request = jobs.messages().list_next(request, answer)
    assert texts == list("01234")

    with pytest.raises(googleapiclient.errors.HttpError) as refused:
        locations.flexTemplates().launch(
            body={"launchParameter": {**parameter, "jobName": "k", "parameters": {}}}, **where
        ).execute()
    assert refused.value.resp.status == 400
    assert "input: Missing required parameter" in refused.value.reason

    cancel = jobs.update(jobId=job_id, body={"requestedState": "JOB_STATE_CANCELLED"}, **where)
    assert cancel.execute() == {"type": "JOB_TYPE_BATCH"}
    job = jobs.get(jobId=job_id, **where).execute()
    assert job["currentState"] == "JOB_STATE_CANCELLING"


def test_google_cloud_dataflow_client(local: Local, endpoint: str) -> None:
    dataflow = pytest.importorskip("google.cloud.dataflow_v1beta3")
    from google.api_core import exceptions
    from google.auth.credentials import AnonymousCredentials

    options: dict[str, Any] = {
        "credentials": AnonymousCredentials(),
        "transport": "rest",
        "client_options": {"api_endpoint": endpoint.rstrip("/")},
    }
    where = {"project_id": "p", "location": "europe-west1"}
    templates = dataflow.FlexTemplatesServiceClient(**options)

    def launch(**parameter: Any) -> Any:
        return templates.launch_flex_template(
            dataflow.LaunchFlexTemplateRequest(
                launch_parameter=dataflow.LaunchFlexTemplateParameter(
                    job_name="j",
                    container_spec_gcs_path=SPEC_PATH,
                    environment=dataflow.FlexTemplateRuntimeEnvironment(
                        max_workers=3,
                        ip_configuration=dataflow.WorkerIPAddressConfiguration.WORKER_IP_PRIVATE,
                    ),
                    **parameter,
                ),
                **where,
            )
        )

    template = dataflow.TemplatesServiceClient(**options).get_template(
        dataflow.GetTemplateRequest(gcs_path=SPEC_PATH, **where)
    )
    assert template.template_type == dataflow.GetTemplateResponse.TemplateType.FLEX
    assert [parameter.name for parameter in template.metadata.parameters] == [
        "input",
        "output",
        "size",
    ]

    with pytest.raises(exceptions.BadRequest, match="input: Missing required parameter"):
        launch(parameters={"output": "gs://o/o"})
    launched = launch(parameters={"input": "gs://i/i", "output": "gs://o/o"}).job
    job_id = launched.id
    assert launched.name == "j"
    (launch,) = local.runner.launched
    assert launch.runtime_environment["maxWorkers"] == 3
    assert launch.runtime_environment["ipConfiguration"] == "WORKER_IP_PRIVATE"

    jobs = dataflow.JobsV1Beta3Client(**options)
    job = jobs.get_job(dataflow.GetJobRequest(job_id=job_id, view=2, **where))
    assert job.current_state == dataflow.JobState.JOB_STATE_QUEUED
    assert [job.id for job in jobs.list_jobs(dataflow.ListJobsRequest(**where))] == [job_id]
    aggregated = jobs.aggregated_list_jobs(dataflow.ListJobsRequest(project_id="p"))
    assert [job.id for job in aggregated] == [job_id]

    for number in range(5):
        local.record(job_id, MessageEvent(Importance.BASIC, str(number)))
    messages = dataflow.MessagesV1Beta3Client(**options).list_job_messages(
        dataflow.ListJobMessagesRequest(job_id=job_id, page_size=2, **where)
    )
    found = [(message.message_text, message.message_importance) for message in messages]
    basic = dataflow.JobMessageImportance.JOB_MESSAGE_BASIC
    assert found == [(str(number), basic) for number in range(5)]

    name = {"origin": "user", "name": "rows_read", "context": {"namespace": "flexpack"}}
    local.record(job_id, MetricsEvent([{"name": name, "scalar": 7}]))
    metrics = dataflow.MetricsV1Beta3Client(**options).get_job_metrics(
        dataflow.GetJobMetricsRequest(job_id=job_id, **where)
    )
    (update,) = metrics.metrics
    assert (update.name.name, update.scalar) == ("rows_read", 7)

    wanted = dataflow.Job(requested_state=dataflow.JobState.JOB_STATE_CANCELLED)
    jobs.update_job(dataflow.UpdateJobRequest(job_id=job_id, job=wanted, **where))
    cancelling = jobs.get_job(dataflow.GetJobRequest(job_id=job_id, **where))
    assert cancelling.current_state == dataflow.JobState.JOB_STATE_CANCELLING


def test_google_auth_finds_credentials_at_once(client_env: dict[str, str]) -> None:
    program = (
        "import logging; logging.basicConfig(level=logging.WARNING)\n"
        "import google.auth, google.auth.transport.requests as transport\n"
        "credentials, project = google.auth.default()\n"
        "credentials.refresh(transport.Request())\n"
        "headers = {}\n"
        "credentials.before_request(transport.Request(), 'GET', 'http://localhost', headers)\n"
        "print(project, credentials.token, credentials.universe_domain)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=client_env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["p", "local-dataflow", "googleapis.com"], done.stderr
    assert done.stderr == ""
