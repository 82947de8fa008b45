"""Loads the console: first paint, 1,000 jobs, 100,000 log lines, and its memory.

``python -m tests.bench.load_console`` writes jobs with samples and messages into the folder of a
separate local Dataflow, starts it, and requests the console's pages. If Chromium is installed,
its first paint of each page is measured as well. Exits with 1 on any answer that is not the page.
"""

from __future__ import annotations

import http.client
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from launcher.emulator import daemon
from launcher.emulator.runtime.events import Importance
from launcher.emulator.runtime.states import JobState
from launcher.emulator.service.history import JobHistory
from launcher.emulator.service.job_store import JobStore
from tests.bench.load_emulator import resident_mib
from tests.browser import open_browser
from tests.processes import find_descendants

_JOBS = 1000
_LINES = 100_000
_ROUNDS = 9
_PLACE = {"project_id": daemon.DEFAULT_PROJECT, "region": "us-central1"}


def fill(data_dir: Path) -> str:
    """Write the jobs; return the id of the one with the log."""
    data_dir.mkdir(mode=0o700)
    jobs = JobStore(data_dir / "jobs.sqlite3")
    history = JobHistory(data_dir / "history.sqlite3")
    for number in range(_JOBS):
        name = f"job-{number:04}"
        document = {"type": "JOB_TYPE_BATCH", "environment": {}}
        record = jobs.create(**_PLACE, name=name, state=JobState.QUEUED, document=document)
        for state in (JobState.PENDING, JobState.RUNNING, JobState.DONE):
            jobs.transition(record.id, state)
        for rows in (0, 500, 1000):
            history.add_metrics(record.id, build_metrics(rows))
    # One statement, since nothing else uses the file: 100,000 transactions would take minutes.
    rank = list(Importance).index(Importance.DETAILED)
    with jobs._db:
        jobs._db.executemany(
            "INSERT INTO messages (job_id, time, importance, text) VALUES (?, ?, ?, ?)",
            (
                (record.id, jobs.now(), rank, f"Line {number}: row {number * 7} was predicted")
                for number in range(_LINES)
            ),
        )
    jobs.close()
    history.close()
    return record.id


def build_metrics(rows: int) -> list[Mapping[str, object]]:
    def name(text: str, **context: str) -> Mapping[str, object]:
        return {"origin": "user", "name": text, "context": {**context, "tentative": "true"}}

    counters = [{"name": name(each), "scalar": rows} for each in ("rows_read", "predictions")]
    count = {"name": name("ElementCount", output_user_name="Read-out0"), "scalar": rows}
    return [*counters, count]


def ask(info: daemon.EmulatorInfo, path: str, *, is_partial: bool) -> float:
    """Request a page; return the seconds, or exit with what went wrong."""
    connection = http.client.HTTPConnection("localhost", info.console_port or 0, timeout=60)
    began = time.perf_counter()
    connection.request("GET", path, headers={"HX-Request": "true"} if is_partial else {})
    answer = connection.getresponse()
    content = answer.read()
    elapsed = time.perf_counter() - began
    connection.close()
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status} {content[:500]!r}")
    return elapsed


def measure(info: daemon.EmulatorInfo, job_id: str) -> None:
    """Request every page, and print how long it took."""
    job = f"/jobs/us-central1/{quote(job_id)}"
    pages = {
        "first visit, which starts the console": ("/jobs", False),
        f"jobs, 100 of {_JOBS:,}": ("/jobs", False),
        "their refresh": ("/jobs", True),
        f"search among {_JOBS:,}": ("/jobs?q=0500", True),
        "filter by a state": ("/jobs?state=DONE", True),
        "a job": (job, False),
        "its refresh": (job, True),
        f"messages, 200 of {_LINES:,}": (f"{job}?tab=messages", True),
        f"text in {_LINES:,}": (f"{job}?tab=messages&text=Line+99999", True),
        f"text that none of {_LINES:,} has": (f"{job}?tab=messages&text=nothing", True),
        "an older page": (f"{job}?tab=messages&before=50000", True),
    }
    for number, (what, (path, is_partial)) in enumerate(pages.items()):
        rounds = _ROUNDS if number else 1
        times = [1000 * ask(info, path, is_partial=is_partial) for _ in range(rounds)]
        print(f"{what:40} {statistics.median(times):7.0f} ms", flush=True)
    if shutil.which("chromium") and shutil.which("chromedriver"):
        paint(info, {"jobs": "/jobs", "a job": job, "messages": f"{job}?tab=messages"})
    else:
        print("no first paint: Chromium and its driver are not installed")
    (console,) = (
        pid
        for pid, command in find_descendants(info.pid).items()
        if command.endswith("-m launcher.console") and "leash.py" not in command
    )
    print(
        f"resident: console {resident_mib(console):.0f} MiB, "
        f"local Dataflow {resident_mib(info.pid):.0f} MiB"
    )


def paint(info: daemon.EmulatorInfo, pages: Mapping[str, str]) -> None:
    """Print how long after navigation Chromium first painted the content of each page."""
    script = (
        "const done = arguments[0]; new PerformanceObserver((list) => {for (const entry of "
        "list.getEntries()) if (entry.name === 'first-contentful-paint') done(entry.startTime)})"
        ".observe({type: 'paint', buffered: true})"
    )
    with open_browser() as browser:
        for what, path in pages.items():
            times = []
            for _ in range(5):
                browser.open(f"{info.console_url}{path[1:]}")
                times.append(browser.run_async(script))
            print(f"{f'first contentful paint of {what}':40} {statistics.median(times):7.0f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="flexpack-load-") as folder:
        data_dir = Path(folder) / "data"
        job_id = fill(data_dir)
        options = daemon.EmulatorOptions(port=0, storage_port=0, pubsub_port=0, data_dir=data_dir)
        info = daemon.start_detached(options)
        try:
            measure(info, job_id)
        finally:
            daemon.stop(data_dir)


if __name__ == "__main__":
    main()
