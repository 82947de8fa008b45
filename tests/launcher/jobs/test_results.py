"""Where a job's results are, according to the record that it wrote."""

import json
from datetime import UTC, datetime

import pytest

from launcher.jobs.results import RunResults, find_results


@pytest.fixture
def find(dataflow, service, tmp_path):
    """Find the results of a job from the given record of its output."""

    def find(record, options=None):
        output = tmp_path / "p"
        if record is not None:
            (tmp_path / "p-run.json").write_text(json.dumps(record))
        given = {"output": str(output), "model_path": "m"} if options is None else options
        service.now = datetime(2026, 11, 29, 11, 59, 59, tzinfo=UTC)
        job = service.add_job(  # a second later
            "nightly",
            "DONE",
            environment={"sdkPipelineOptions": {"options": given}},
        )
        return find_results(dataflow, dataflow.get(job.id))

    return find


def record(**changes):
    return {
        "job_name": "nightly",
        "times": {"finished": "2026-11-29T12:00:09+00:00"},
        "counts": {"unread_files": 2},
        "dead_letter_reasons": [{"reason": "KeyError: 'a'", "count": 7}],
        "output_files": [
            {"kind": "predictions", "path": "x/p-00000-of-00001.csv"},
            {"kind": "dead_letters", "path": "x/p-errors-00000-of-00001.jsonl"},
        ],
    } | changes


def test_they_are_those_of_the_record(find, tmp_path):
    assert find(record()) == RunResults(
        predictions=f"{tmp_path}/p-?????-of-?????.csv",
        dead_letters=f"{tmp_path}/p-errors-*.jsonl",
        record=f"{tmp_path}/p-run.json",
        reasons=(("KeyError: 'a'", 7),),
        unread_files=2,
    )
    found = find(record(output_files=[]))
    assert (found.predictions, found.dead_letters) == (None, None)


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ({"temp_location": "gs://b/tmp/"}, "gs://b/tmp/dead-letters/letters-*.jsonl"),
        ({"temp_location": "gs://b", "dead_letter_output": "gs://b/l"}, "gs://b/l-*.jsonl"),
        ({"temp_location": "gs://b", "dead_letter_topic": "projects/p/topics/t"}, None),
    ],
    ids=["below the temp location", "a prefix", "a topic"],
)
def test_a_streams_files_of_dead_letters(find, options, pattern):
    found = find(None, {"input_subscription": "s", "output_topic": "t", **options})
    assert (found and found.dead_letters) == pattern


@pytest.mark.parametrize(
    ("written", "options"),
    [
        (None, None),
        (record(job_name="another"), None),
        (record(times={"finished": "2026-11-29T11:59:59+00:00"}), None),  # of an earlier run
        ({"a": 1}, None),
        ([], None),
        (record(), {}),
        (record(), {"output": "somewhere"}),
    ],
)
def test_without_a_record_of_this_job_nothing_is_said(find, written, options):
    assert find(written, options) is None
