"""``flexpack jobs``: what it prints, where, and its exit status."""

from __future__ import annotations

import json

import pytest

from launcher.emulator.runtime.events import Importance

METRICS = [
    {
        "name": {"origin": "user", "name": name, "context": {"namespace": "flexpack", "step": "s"}},
        "scalar": value,
    }
    for name, value in (("rows_read", 1000), ("predictions", 998), ("dead_letters", 2))
] + [{"name": {"origin": "dataflow/v1b3", "name": "ElementCount"}, "scalar": 7}]
OPTIONS = {
    "input": "gs://b/in-*.csv",
    "model_path": "gs://b/m.pth",
    "batch_size": 1024,
    "region": "us-central1",
}
RECORD = {
    "job_name": "fashion",
    "times": {"finished": "2099-01-01T00:00:00+00:00"},
    "counts": {"unread_files": 0},
    "dead_letter_reasons": [{"reason": "ValueError: no number\n- try this", "count": 2}],
    "output_files": [
        {"kind": "predictions", "path": "p-00000-of-00001.jsonl"},
        {"kind": "dead_letters", "path": "p-errors-00000-of-00001.jsonl"},
    ],
}
ERROR = "Traceback\n  boom"


def test_wait_shows_progress_and_exits_by_the_outcome(flexpack, cloud):
    job_id = cloud.add_job("fashion", "DONE").id
    cloud.set_metrics(job_id, METRICS)

    status, out, err = flexpack("jobs", "wait", job_id)
    assert (status, err) == (0, "")
    assert "JOB_STATE_DONE\n" in out
    assert out.rstrip().endswith(": 1,000 rows read, 998 predictions, 2 dead letters")

    cloud.set_metrics(job_id, [METRICS[0], METRICS[2]])
    status, _, err = flexpack("jobs", "wait", job_id)
    assert status == 0
    assert "warning: nothing was predicted; every row is a dead letter" in err

    job_id = cloud.add_job("fashion", "FAILED").id
    cloud.add_message(job_id, ERROR, Importance.ERROR)
    status, out, err = flexpack("jobs", "wait", job_id)
    assert status == 1
    assert "ERROR: Traceback\n" in out
    assert "\n            boom\n" in out
    assert err == (
        f"flexpack: job {job_id} failed; its messages: flexpack jobs messages {job_id} "
        "--importance error --project my-project --region us-central1\n"
    )


def test_watch_takes_the_newest_active_job_and_prints_lines_into_a_pipe(flexpack, cloud):
    status, _, err = flexpack("jobs", "watch")
    assert status == 2
    assert err.startswith("flexpack: JOB: no job of my-project in us-central1 is active; 'flexpack")
    job_id = cloud.add_job("fashion", "DONE").id
    cloud.set_metrics(job_id, METRICS)
    status, out, _ = flexpack("jobs", "watch", job_id)
    assert status == 0
    assert out.rstrip().endswith(": 1,000 rows read, 998 predictions, 2 dead letters")


def test_wait_gives_up_in_time(flexpack, cloud):
    job_id = cloud.add_job("fashion").id
    status, _, err = flexpack("jobs", "wait", job_id, "--timeout-sec", "0")
    assert status == 1
    assert f"stop it with 'flexpack jobs cancel {job_id}'" in err


def test_list(flexpack, cloud):
    assert flexpack("jobs", "list") == (
        0,
        "No such jobs of my-project in us-central1.\n",
        "",
    )
    ids = [cloud.add_job("first", "DONE").id, cloud.add_job("second").id]

    _, out, _ = flexpack("jobs", "list")
    title, second, first = out.splitlines()
    assert title.split() == ["JOB_ID", "NAME", "STATE", "CREATED"]
    assert second.split()[:3] == [ids[1], "second", "JOB_STATE_RUNNING"]
    assert first.split()[:3] == [ids[0], "first", "JOB_STATE_DONE"]

    _, out, _ = flexpack("jobs", "list", "--format", "json", "--name", "first", "--limit", "1")
    assert [job["name"] for job in json.loads(out)] == ["first"]


def test_describe(flexpack, cloud, tmp_path):
    job_id = cloud.add_job(
        "fashion",
        "DONE",
        type="JOB_TYPE_BATCH",
        labels={"team": "ml"},
        environment={"sdkPipelineOptions": {"options": OPTIONS | {"output": str(tmp_path / "p")}}},
    ).id
    cloud.set_metrics(job_id, METRICS)
    (tmp_path / "p-run.json").write_text(json.dumps(RECORD))

    status, out, _ = flexpack("jobs", "describe", job_id)
    assert status == 0
    assert "type     batch\n" in out
    assert "labels   team=ml\n" in out
    assert out.endswith(
        "rows     1,000 read, 998 predictions, 2 dead letters\n"
        "given    input=gs://b/in-*.csv\n"
        f"         output={tmp_path}/p\n"
        "         model_path=gs://b/m.pth\n"
        f"  predictions   cat {tmp_path}/p-?????-of-?????.jsonl\n"
        f"  dead letters  cat {tmp_path}/p-errors-*.jsonl\n"
        "    2 x ValueError: no number\n"
        f"  record        cat {tmp_path}/p-run.json\n"
    )

    _, out, _ = flexpack("jobs", "describe", job_id, "--format", "json")
    assert json.loads(out)["currentState"] == "JOB_STATE_DONE"


@pytest.mark.parametrize("verb", ["describe", "wait"])
def test_a_job_that_is_not_there(flexpack, cloud, verb):
    assert flexpack("jobs", verb, "fashion") == (
        2,
        "",
        "flexpack: JOB 'fashion': there is no such job of my-project in us-central1; 'flexpack "
        "jobs list --project my-project --region us-central1' shows the ids and names, or "
        "name another --region\n",
    )


def test_messages(flexpack, cloud):
    job_id = cloud.add_job("fashion").id
    assert flexpack("jobs", "messages", job_id, "--importance", "error") == (
        0,
        "No messages of importance error or above.\n",
        "",
    )
    cloud.add_message(job_id, ERROR, Importance.ERROR)
    _, out, _ = flexpack("jobs", "messages", job_id)
    assert out.endswith("  ERROR     Traceback\n  boom\n")
    _, out, _ = flexpack("jobs", "messages", job_id, "--format", "json")
    (message,) = json.loads(out)
    assert message.keys() == {"id", "time", "messageText", "messageImportance"}
    assert message["time"] == "2026-11-22T13:00:01Z"
    assert (message["messageText"], message["messageImportance"]) == (ERROR, "JOB_MESSAGE_ERROR")


def test_metrics(flexpack, cloud):
    job_id = cloud.add_job("fashion").id
    assert flexpack("jobs", "metrics", job_id) == (0, "No metrics yet.\n", "")
    cloud.set_metrics(job_id, METRICS)
    _, out, _ = flexpack("jobs", "metrics", job_id)
    assert [line.split() for line in out.splitlines()] == [
        ["NAME", "NAMESPACE", "STEP", "VALUE"],
        ["dead_letters", "flexpack", "s", "2"],
        ["predictions", "flexpack", "s", "998"],
        ["rows_read", "flexpack", "s", "1,000"],
    ]
    _, out, _ = flexpack("jobs", "metrics", job_id, "--source", "service", "--format", "json")
    (metric,) = json.loads(out)
    assert (metric["name"]["name"], metric["scalar"]) == ("ElementCount", 7)


def test_drain_and_cancel(flexpack, cloud):
    job_id = cloud.add_job("fashion", type="JOB_TYPE_STREAMING").id
    status, out, _ = flexpack("jobs", "drain", job_id)
    assert (status, cloud.drained) == (0, [job_id])
    assert f"flexpack jobs wait {job_id}" in out
    status, out, _ = flexpack("jobs", "cancel", job_id, "--force")
    assert status == 0
    assert f"flexpack jobs wait {job_id}" in out
    states = [body["requestedState"] for body in cloud.updates]
    assert states == ["JOB_STATE_DRAINED", "JOB_STATE_CANCELLED"]
