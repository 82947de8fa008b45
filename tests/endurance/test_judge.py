"""The soak test reports everything that grows, and nothing else."""

from tests.endurance.soak import judge

STEADY = {"files": 40, "job memory": 300 << 20, "pubsub memory": 400 << 20, "disk": 1 << 20}


def samples(**last):
    names = {name.replace("_", " "): value for name, value in last.items()}
    return [STEADY] * 20 + [STEADY | names] * 10


def test_what_is_steady_passes():
    assert judge(samples(job_memory=320 << 20, files=45)) == []


def test_what_grows_is_named():
    problems = judge(samples(job_memory=500 << 20, files=400))
    assert problems == [
        "files grew from 40 to 400",
        "job memory grew from 300.0 MiB to 500.0 MiB",
    ]


def test_pubsub_and_the_disk_are_reported_alone():
    assert judge(samples(pubsub_memory=4 << 30, disk=1 << 30)) == []
