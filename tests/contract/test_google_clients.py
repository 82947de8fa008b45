"""Google's Python clients read all parts of a job that has really run."""

from __future__ import annotations

import googleapiclient.discovery
import httplib2
from google.auth.credentials import AnonymousCredentials
from google.cloud import dataflow_v1beta3 as dataflow

from tests.contract.conftest import GPU, REGION, Launched
from tests.support import PROJECT


def test_google_cloud_dataflow_client(launched: Launched) -> None:
    launched.end("count.py")
    job_id = launched.jobs["count.py"]
    endpoint = launched.local_dataflow.info.dataflow_endpoint.rstrip("/")
    options = {
        "credentials": AnonymousCredentials(),
        "transport": "rest",
        "client_options": {"api_endpoint": endpoint},
    }
    job_of = {"project_id": PROJECT, "location": REGION, "job_id": job_id}

    job = dataflow.JobsV1Beta3Client(**options).get_job(
        dataflow.GetJobRequest(view=dataflow.JobView.JOB_VIEW_ALL, **job_of)
    )
    assert job.current_state == dataflow.JobState.JOB_STATE_DONE
    assert GPU in job.environment.experiments
    (pool,) = job.environment.worker_pools
    assert (pool.machine_type, pool.disk_size_gb) == ("g2-standard-4", 123)
    assert job.environment.sdk_pipeline_options["options"]["region"] == REGION

    messages = dataflow.MessagesV1Beta3Client(**options).list_job_messages(
        dataflow.ListJobMessagesRequest(page_size=3, **job_of)
    )
    assert "Worker pool stopped." in [message.message_text for message in messages]
    metrics = dataflow.MetricsV1Beta3Client(**options).get_job_metrics(
        dataflow.GetJobMetricsRequest(**job_of)
    )
    rows = [update.scalar for update in metrics.metrics if update.name.name == "rows"]
    assert rows == [3, 3]


def test_google_api_python_client(launched: Launched) -> None:
    launched.end("count.py")
    locations = (
        googleapiclient.discovery.build(
            "dataflow",
            "v1b3",
            http=httplib2.Http(timeout=10),
            client_options={"api_endpoint": launched.local_dataflow.info.dataflow_endpoint},
            static_discovery=True,
        )
        .projects()
        .locations()
    )
    job_of = {"projectId": PROJECT, "location": REGION, "jobId": launched.jobs["count.py"]}
    job = locations.jobs().get(view="JOB_VIEW_ALL", **job_of).execute()
    assert job["currentState"] == "JOB_STATE_DONE"
    assert GPU in job["environment"]["experiments"]
    metrics = locations.jobs().getMetrics(**job_of).execute()["metrics"]
    assert [update["scalar"] for update in metrics if update["name"]["name"] == "rows"] == [3, 3]

    texts = []
    request = locations.jobs().messages().list(pageSize=3, **job_of)
    while request is not None:
        answer = request.execute()
        texts += [message["messageText"] for message in answer["jobMessages"]]
        request = locations.jobs().messages().list_next(request, answer)
    assert texts == launched.local_dataflow.texts(job_of["jobId"])
