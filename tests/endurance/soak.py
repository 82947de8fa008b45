"""A stream under constant load with a model that changes every minute: ``make soak``.

Every message must be predicted, and memory, files and descriptors of the local Dataflow and of the
job must not grow from the second third to the last. Pub/Sub's memory is reported but not judged: it
keeps acknowledged messages.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from launcher.jobs.records import JobState
from tests.endurance.rig import Rig

_MOST_GROWTH = 1.15
_ROOM_BYTES, _ROOM_COUNT = 30 << 20, 20
_SAMPLE_SEC = 2.0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=int, default=200, help="messages a second")
    parser.add_argument("--model-sec", type=float, default=60, help="between two models")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flexpack-soak-") as folder:
        rig = Rig(Path(folder))
        try:
            problems = soak(rig, options)
        finally:
            rig.close()
    for problem in problems:
        print(f"FAILED: {problem}")
    sys.exit(1 if problems else 0)


def soak(rig, options):
    """Publish for the given minutes; return the problems."""
    from tests.pubsub_client import Topic

    messages, predictions = Topic("soak-in"), Topic("soak-out")
    rig.upload("models/0.json", b'{"version": 0}')
    job = rig.launch(
        "streaming",
        {
            "input_subscription": messages.subscription,
            "output_topic": predictions.path,
            "model_class": "tests.endurance.models:VersionedModel",
            "model_path": rig.path("models/0.json"),
            "model_update_pattern": rig.path("models/*.json"),
        },
    )
    seen, versions, done = {}, set(), threading.Event()
    receiver = threading.Thread(target=receive, args=(predictions, seen, versions, done))
    messages.publish([(b'{"number": 0}', {})])
    receiver.start()
    while not seen:
        time.sleep(0.1)  # The workers are there.
    samples, published, models = [], 1, 0
    started = time.monotonic()
    ends = started + 60 * options.minutes
    sampled = started
    while (now := time.monotonic()) < ends:
        due = 1 + int((now - started) * options.rate)
        messages.publish((b'{"number": %d}' % number, {}) for number in range(published, due))
        published = max(published, due)
        if now - started > (models + 1) * options.model_sec:
            models += 1
            rig.upload(f"models/{models}.json", json.dumps({"version": models}).encode())
        if now >= sampled:
            sampled = now + _SAMPLE_SEC
            samples.append(sample(rig, job))
        time.sleep(0.1)
    give_up = time.monotonic() + 120
    while len(seen) < published and time.monotonic() < give_up:
        time.sleep(0.2)
    state = job.drain()
    done.set()
    receiver.join(60)
    lost, twice = published - len(seen), sum(count > 1 for count in seen.values())
    print(f"{published:,} messages in {options.minutes:g} minutes: {lost} lost, {twice} twice; "
          f"{len(versions)} of {models + 1} models predicted; {state.name}")  # fmt: skip
    problems = [f"{lost} messages lost"] if lost else []
    if state is not JobState.DRAINED:
        problems.append(f"the job is {state.name}: {job.texts()[-3:]}")
    if len(versions) < models:
        problems.append(f"only {len(versions)} of {models + 1} models predicted")
    return [*problems, *judge(samples)]


def receive(topic, seen, versions, done):
    while not done.is_set():
        topic.received.clear()
        again = time.monotonic() + 1
        topic.receive_until(lambda received, again=again: received or time.monotonic() > again)
        for each in topic.received:
            row = each.json
            number = row["number"]
            seen[number] = seen.get(number, 0) + 1
            versions.add(row["version"])


def sample(rig, job):
    """Return the current memory, files and descriptors of processes and folder, by name."""
    groups = {"emulator": [rig.info.pid], "job": job.find(""), "pubsub": find_pubsub(rig.info)}
    files = sum(1 for path in rig.data_dir.rglob("*") if "storage" not in path.parts)
    found = {"files": files, "disk": sum(_size(path) for path in rig.data_dir.rglob("*"))}
    for name, pids in groups.items():
        found[f"{name} memory"] = sum(_memory(pid) for pid in pids)
        found[f"{name} descriptors"] = sum(_descriptors(pid) for pid in pids)
    return found


def judge(samples):
    """Compare the second third of the samples with the last; print a table, return what grew."""
    third = len(samples) // 3
    problems = []
    for name in samples[0]:
        before, after = (
            statistics.median(each[name] for each in part)
            for part in (samples[third : 2 * third], samples[2 * third :])
        )
        is_bytes = name.endswith(("memory", "disk"))
        shown = [
            f"{value / 2**20:,.1f} MiB" if is_bytes else f"{value:,.0f}"
            for value in (before, after)
        ]
        print(f"  {name:20} {shown[0]:>14} -> {shown[1]:>14}")
        room = _ROOM_BYTES if is_bytes else _ROOM_COUNT
        judged = not name.startswith("pubsub") and name != "disk"
        if judged and after > before * _MOST_GROWTH + room:
            problems.append(f"{name} grew from {shown[0]} to {shown[1]}")
    return problems


def find_pubsub(info):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().decode().split("\0")
            if (
                "-jar" in words
                and f"--port={info.pubsub_port}" in words
                and "leash" not in words[3]
            ):
                found.append(int(process.name))
    return found


def _memory(pid):
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
    return 0


def _descriptors(pid):
    with contextlib.suppress(OSError):
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return 0


def _size(path):
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


if __name__ == "__main__":
    main()
