"""Kills processes of jobs and of the local Dataflow, over and over: ``make test-kill``.

Each round kills one process with signal 9 at a random moment, in batch and in streams: a worker,
the executor, the launcher, the local Dataflow. In the end every row must be present exactly once. A
stream whose executor was killed may predict a message twice, but must lose none. No process and no
temporary folder may be left over.
"""

import argparse
import collections
import json
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from launcher.jobs.records import JobState
from tests.endurance.rig import Rig, kill, wait_until

WORKER, EXECUTOR, LAUNCHER = "worker_boot.py", "launcher.emulator.executor", "template/main.py"
ROUNDS = ("batch worker", "stream worker", "batch executor", "stream executor", "batch launcher",
          "batch emulator")  # fmt: skip
_NEEDLES = {"worker": WORKER, "executor": EXECUTOR, "launcher": LAUNCHER, "emulator": WORKER}
_ROWS, _MESSAGES = 2000, 300


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    failed, kills = 0, collections.Counter()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="flexpack-kill-") as folder:
        rig = Rig(Path(folder))
        try:
            for number in range(options.kills):
                name = ROUNDS[number % len(ROUNDS)]
                try:
                    outcome = play(rig, name, rng)
                except Exception:
                    failed += 1
                    outcome = traceback.format_exc()
                kills[name] += 1
                print(f"{number + 1:4} {name:16} {outcome}", flush=True)
        finally:
            rig.close()
    seconds = time.monotonic() - started
    print(f"{sum(kills.values())} kills in {seconds:.0f} s ({dict(kills)}), {failed} failed")
    sys.exit(1 if failed else 0)


def play(rig, name, rng):
    """Run one round; return a description of what happened.

    Raises:
        AssertionError: a row is missing or duplicated, or something is left over.
    """
    kind, victim = name.split()
    return play_batch(rig, victim, rng) if kind == "batch" else play_stream(rig, victim, rng)


def play_batch(rig, victim, rng):
    lines = ["number", *map(str, range(_ROWS))]
    source = rig.upload("rows.csv", "\n".join(lines))
    output = f"out-{rng.randrange(10**9)}"
    parameters = {
        "input": source,
        "output": rig.path(f"{output}/rows"),
        "model_class": "tests.endurance.models:SlowModel",
        "batch_size": "100",
    }
    job = rig.launch("batch", parameters)
    needle = _NEEDLES[victim]
    pids = wait_until(
        lambda: job.find(needle) or rig.find_descendants(needle), f"no {victim} of {job.id}"
    )
    time.sleep(rng.uniform(0, 3))
    if victim == "emulator":
        kill(rig.info.pid)
        wait_until(lambda: not job.find(""), "processes outlive the local Dataflow")
        rig.start()
    else:
        kill(rng.choice(pids))
    state = job.wait()
    outcome = f"{job.id} {state.name}"
    # Beam retries the work of a dead worker; without its executor or launcher a batch job fails.
    assert victim != "worker" or state is JobState.DONE, f"{outcome}: {job.texts()}"
    assert_nothing_left(job)
    if state is not JobState.DONE:
        again = rig.launch("batch", parameters)
        assert again.wait() is JobState.DONE, again.texts()
        assert_nothing_left(again)
        outcome += f", then {again.id} DONE"
    blobs = list(rig.bucket.list_blobs(prefix=f"{output}/rows-"))
    rows = [
        json.loads(line)
        for blob in blobs
        if blob.name.endswith(".jsonl")
        for line in blob.download_as_bytes().splitlines()
    ]
    squares = sorted(row["square"] for row in rows)
    assert squares == [number * number for number in range(_ROWS)], f"{outcome}: {len(rows)} rows"
    return outcome


def play_stream(rig, victim, rng):
    from tests.pubsub_client import Topic

    names = (f"kill-{rng.randrange(10**9)}-{end}" for end in ("in", "out"))
    images, predictions = (Topic(name) for name in names)
    job = rig.launch(
        "streaming",
        {
            "input_subscription": images.subscription,
            "output_topic": predictions.path,
            "model_class": "tests.endurance.models:SlowModel",
            "batch_size": "20",
        },
    )
    images.publish((b'{"number": %d}' % number, {}) for number in range(_MESSAGES))
    predictions.receive_until(lambda received: len(received) >= 20)
    (pid, *_) = job.find(_NEEDLES[victim])
    time.sleep(rng.uniform(0, 1))
    kill(pid)
    predictions.receive_until(
        lambda received: len({each.json["square"] for each in received}) == _MESSAGES
    )
    assert job.drain() is JobState.DRAINED, job.texts()
    assert_nothing_left(job)
    twice = len(predictions.received) - _MESSAGES
    # A bundle's predictions are published when it is done, so a worker's death does not repeat any.
    assert victim == "executor" or not twice, f"{twice} messages came twice"
    return f"{job.id} DRAINED, {twice} of {_MESSAGES} messages twice, none lost"


def assert_nothing_left(job):
    wait_until(lambda: not job.find_left(), f"left of {job.id}: {job.find_left()}", 20)


if __name__ == "__main__":
    main()
