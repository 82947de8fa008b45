"""Parts of the executor that work without a pipeline."""

from __future__ import annotations

import subprocess
import sys

from apache_beam.metrics import monitoring_infos
from apache_beam.portability.api import beam_runner_api_pb2, metrics_pb2

from launcher.emulator.executor.metrics import JobMetrics, MetricNames, Values, read_values
from launcher.emulator.executor.workers import restore_integers


def test_integers_come_back_from_a_struct() -> None:
    options = {"n": 2.0, "rate": 0.5, "flag": True, "list": [1.0, "1.0"], "map": {"k": 3.0}}
    restored = restore_integers(options)
    assert repr(restored) == repr(
        {"n": 2, "rate": 0.5, "flag": True, "list": [1, "1.0"], "map": {"k": 3}}
    )


def test_the_executor_ends_when_nobody_wants_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "launcher.emulator.executor"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == b""


def test_the_executor_imports_neither_the_template_nor_the_client() -> None:
    code = (
        "import sys, launcher.emulator.executor.job\n"
        "loaded = {name for name in sys.modules if name.startswith(('template', 'launcher.'))}\n"
        "print(*sorted(name for name in loaded if not name.startswith('launcher.emulator')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == ""


def test_the_emulator_does_not_import_beam() -> None:
    code = "import sys, launcher.emulator.runtime.job_runner; print('apache_beam' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"


def infos(step: str, seen: int, sizes: tuple[int, ...]) -> list[metrics_pb2.MonitoringInfo]:
    from apache_beam.metrics.cells import DistributionData

    data = DistributionData(sum(sizes), len(sizes), min(sizes), max(sizes))
    return [
        monitoring_infos.int64_user_counter("tests", "seen", seen, ptransform=step),
        monitoring_infos.int64_user_distribution("tests", "sizes", data, ptransform=step),
        monitoring_infos.int64_counter(monitoring_infos.ELEMENT_COUNT_URN, seen, pcollection="out"),
        monitoring_infos.int64_counter(monitoring_infos.ELEMENT_COUNT_URN, 99, pcollection="in"),
    ]


def read(seen: int, *sizes: int) -> Values:
    return read_values(infos("Step", seen, sizes), counted_elsewhere={"in"})


def rendered(metrics: JobMetrics) -> dict[tuple[str, bool], object]:
    return {
        (update["name"]["name"], "tentative" in update["name"]["context"]): update.get(
            "scalar", update.get("distribution")
        )
        for update in metrics.updates()
    }


def test_metrics_add_up_and_running_bundles_are_tentative() -> None:
    transform = beam_runner_api_pb2.PTransform(unique_name="Step", outputs={"None": "out"})
    components = beam_runner_api_pb2.Components(transforms={"ref_7": transform})
    metrics = JobMetrics(MetricNames(components))
    metrics.begin("a", lambda: read(1, 5))
    metrics.refresh()
    assert rendered(metrics) == {
        ("seen", False): 0,
        ("seen", True): 1,
        ("sizes", False): {"count": 0, "sum": 0, "min": 0, "max": 0, "mean": 0},
        ("sizes", True): {"count": 1, "sum": 5, "min": 5, "max": 5, "mean": 5},
        ("ElementCount", False): 0,
        ("ElementCount", True): 1,
    }
    metrics.commit("a", read(2, 5, 7))
    metrics.begin("b", lambda: read(3, 1, 2, 3))
    metrics.begin("c", lambda: read(10, 10))
    metrics.refresh()
    metrics.abandon("c")
    both = {"count": 5, "sum": 18, "min": 1, "max": 7, "mean": 3.6}
    assert rendered(metrics) == {
        ("seen", False): 2,
        ("seen", True): 5,
        ("sizes", False): {"count": 2, "sum": 12, "min": 5, "max": 7, "mean": 6},
        ("sizes", True): both,
        ("ElementCount", False): 2,
        ("ElementCount", True): 5,
    }
    assert metrics.updates()[0]["name"] == {
        "origin": "user",
        "name": "seen",
        "context": {"namespace": "tests", "step": "ref_7"},
    }
    assert metrics.updates()[2]["name"] == {
        "origin": "dataflow/v1b3",
        "name": "ElementCount",
        "context": {"original_name": "Step-out0-ElementCount", "output_user_name": "Step-out0"},
    }


def test_a_bundle_that_does_not_answer_does_no_harm() -> None:
    def ask() -> Values:
        raise RuntimeError("its worker has died")

    metrics = JobMetrics(MetricNames(beam_runner_api_pb2.Components()))
    metrics.begin("a", ask)
    metrics.refresh()
    assert metrics.updates() == []
