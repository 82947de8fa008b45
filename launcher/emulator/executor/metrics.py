"""Job metrics: the MonitoringInfos of bundles, added up into ``MetricUpdate`` records.

Mirrors projects.locations.jobs.getMetrics: every metric in two copies, committed (bundles that are
finished) and tentative (with the bundles under way). A failed attempt leaves no trace in either.
Covers user counters and distributions, and for every PCollection the number of elements and their
mean size, as far as the SDK samples it.
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/JobMetrics
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apache_beam.metrics import monitoring_infos
from apache_beam.portability.api import beam_runner_api_pb2, metrics_pb2

_LOG = logging.getLogger(__name__)
_SERVICE_ORIGIN = "dataflow/v1b3"


@dataclass(frozen=True)
class Distribution:
    """A distribution of integers."""

    count: int
    sum: int
    min: int
    max: int

    def __add__(self, other: Distribution) -> Distribution:
        if not (self.count and other.count):  # Without values, min and max are not numbers.
            return self if self.count else other
        return Distribution(
            self.count + other.count,
            self.sum + other.sum,
            min(self.min, other.min),
            max(self.max, other.max),
        )


@dataclass(frozen=True)
class UserMetric:
    """A metric that the pipeline declared, in one of its steps."""

    step: str
    namespace: str
    name: str


@dataclass(frozen=True)
class ElementCount:
    """The number of elements of a PCollection."""

    pcollection: str


@dataclass(frozen=True)
class MeanByteCount:
    """The encoded size of a PCollection's elements: a distribution over the sampled ones."""

    pcollection: str


Metric = UserMetric | ElementCount | MeanByteCount
Value = int | Distribution
Values = Mapping[Metric, Value]
_OF_PCOLLECTIONS: Mapping[str, type[ElementCount | MeanByteCount]] = {
    monitoring_infos.ELEMENT_COUNT_URN: ElementCount,
    monitoring_infos.SAMPLED_BYTE_SIZE_URN: MeanByteCount,
}


class MetricNames:
    """The names that a pipeline's metrics have on Dataflow.

    Steps are named by the id of the transform in the submitted proto, PCollections by the full
    name of the transform that makes them and the number of the output.
    """

    def __init__(self, components: beam_runner_api_pb2.Components) -> None:
        self._steps = {
            transform.unique_name: transform_id
            for transform_id, transform in components.transforms.items()
        }
        self._outputs = {
            pcollection: f"{transform.unique_name}-out{number}"
            for transform in components.transforms.values()
            if not transform.subtransforms
            for number, (_, pcollection) in enumerate(sorted(transform.outputs.items()))
            if pcollection not in transform.inputs.values()
        }

    def context(self, metric: Metric) -> tuple[str, str, dict[str, str]] | None:
        """Return origin, name and context of a metric; None for one that Beam's optimizer added."""
        if isinstance(metric, UserMetric):
            step = self._steps.get(metric.step, metric.step)
            return "user", metric.name, {"namespace": metric.namespace, "step": step}
        output = self._outputs.get(metric.pcollection)
        if output is None:
            return None
        name = type(metric).__name__
        names = {"original_name": f"{output}-{name}", "output_user_name": output}
        return _SERVICE_ORIGIN, name, names


class JobMetrics:
    """The metrics of one job; thread-safe."""

    def __init__(self, names: MetricNames) -> None:
        self._names = names
        self._lock = threading.Lock()
        self._committed: dict[Metric, Value] = {}
        self._running: dict[str, Callable[[], Values]] = {}
        self._so_far: dict[str, Values] = {}

    def begin(self, bundle_id: str, ask: Callable[[], Values]) -> None:
        """Record that a bundle is under way; ``ask`` returns its counts so far."""
        with self._lock:
            self._running[bundle_id] = ask

    def refresh(self) -> None:
        """Ask all bundles under way for their counts; blocks until they answer."""
        with self._lock:
            running = dict(self._running)
        for bundle_id, ask in running.items():
            try:
                values = ask()
            except Exception:
                # The thread that waits for the bundle reports how it ended.
                _LOG.debug("no progress of %s", bundle_id, exc_info=True)
                continue
            with self._lock:
                if bundle_id in self._running:
                    self._so_far[bundle_id] = values

    def commit(self, bundle_id: str, values: Values) -> None:
        """Add the counts of a finished bundle."""
        with self._lock:
            self._end(bundle_id)
            _add(self._committed, values)

    def abandon(self, bundle_id: str) -> None:
        """Forget a bundle that failed."""
        with self._lock:
            self._end(bundle_id)

    def updates(self) -> list[dict[str, Any]]:
        """Return all metrics as ``MetricUpdate`` records."""
        with self._lock:
            committed = dict(self._committed)
            tentative = dict(self._committed)
            for values in self._so_far.values():
                _add(tentative, values)
        # A metric that only running bundles have is also committed, as zero.
        zero = {metric: _zero(value) for metric, value in tentative.items()}
        return [
            *self._render({**zero, **committed}, {}),
            *self._render(tentative, {"tentative": "true"}),
        ]

    def _end(self, bundle_id: str) -> None:
        del self._running[bundle_id]
        self._so_far.pop(bundle_id, None)

    def _render(self, values: Values, mark: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        for metric, value in values.items():
            named = self._names.context(metric)
            if named is not None:
                origin, name, context = named
                structured_name = {"origin": origin, "name": name, "context": {**context, **mark}}
                yield {"name": structured_name, **_render_value(metric, value)}


def read_values(
    infos: Iterable[metrics_pb2.MonitoringInfo], *, counted_elsewhere: Collection[str]
) -> Values:
    """Return the metrics in the MonitoringInfos of one bundle.

    Args:
        infos: as the SDK worker sent them.
        counted_elsewhere: PCollections that the bundle's stage only reads: the stage that makes
            them counts them as well.
    """
    values: dict[Metric, Value] = {}
    for info in infos:
        metric: Metric
        labels = info.labels
        if monitoring_infos.is_user_monitoring_info(info):
            metric = UserMetric(
                labels[monitoring_infos.PTRANSFORM_LABEL],
                labels[monitoring_infos.NAMESPACE_LABEL],
                labels[monitoring_infos.NAME_LABEL],
            )
        elif info.urn in _OF_PCOLLECTIONS:
            metric = _OF_PCOLLECTIONS[info.urn](labels[monitoring_infos.PCOLLECTION_LABEL])
            if metric.pcollection in counted_elsewhere:
                continue
        else:
            continue
        if monitoring_infos.is_counter(info):
            _add(values, {metric: monitoring_infos.extract_counter_value(info)})
        elif monitoring_infos.is_distribution(info):
            count, total, least, most = monitoring_infos.extract_distribution(info)
            _add(values, {metric: Distribution(count, total, least, most)})
    return values


def _add(totals: dict[Metric, Value], values: Values) -> None:
    for metric, value in values.items():
        total = totals.get(metric)
        # The two are of one kind: a metric's kind is part of its declaration.
        totals[metric] = value if total is None else total + value  # type: ignore[operator]


def _zero(value: Value) -> Value:
    return 0 if isinstance(value, int) else Distribution(0, 0, 0, 0)


def _render_value(metric: Metric, value: Value) -> dict[str, Any]:
    if isinstance(value, int):
        return {"scalar": value}
    mean = value.sum / value.count if value.count else 0
    if isinstance(metric, MeanByteCount):
        return {"scalar": round(mean)}
    numbers = {"count": value.count, "sum": value.sum, "min": value.min, "max": value.max}
    return {"distribution": {**numbers, "mean": mean}}
