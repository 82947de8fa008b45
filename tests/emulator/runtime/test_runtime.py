"""The limit of jobs that run at once, and the queue before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.emulator.images import ImageRegistry
from launcher.emulator.runtime import Runtime
from tests.emulator.runtime.conftest import Bench


@pytest.fixture
def narrow(bench: Bench, registry: ImageRegistry, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime that runs one job at once."""
    runtime = Runtime(
        store=bench.store,
        images=registry,
        endpoints=bench.endpoints,
        events=bench.journals,
        runs_dir=tmp_path,
        max_jobs=1,
    )
    yield runtime
    runtime.close()


def test_jobs_above_the_limit_wait_in_their_order(bench: Bench, narrow: Runtime) -> None:
    for number in range(4):
        narrow.launch(bench.order("slow.py", f"queue-{number}"))
    bench.journals.wait_for("queue-0", lambda journal: "process" in journal.texts())
    for number in range(1, 4):
        journal = bench.journals.wait_for(f"queue-{number}", lambda journal: journal.messages)
        (told,) = journal.messages
        assert told == (
            "JOB_MESSAGE_BASIC",
            "The local Dataflow runs no more than 1 jobs at once; this one waits for its turn.",
        )
    narrow.cancel("queue-1")  # Returns though queue-0 still runs.
    narrow.cancel("queue-0")
    bench.journals.wait_for("queue-2", lambda journal: "process" in journal.texts())
    assert len(bench.journals.wait_for("queue-1", lambda _: True).messages) == 1
    narrow.close()
    assert len(bench.journals.wait_for("queue-3", lambda _: True).messages) == 1
    with pytest.raises(RuntimeError):
        narrow.launch(bench.order("slow.py", "late"))
