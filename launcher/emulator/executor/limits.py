"""Refuses pipelines, before they run, that need something that the local Dataflow lacks.

Beam's BigQuery steps call Google's own servers, wherever the other services are; without
credentials Google refuses them, and they retry for minutes.

In a stream, grouping, windows, triggers and event-time timers need a watermark, which says how much
of the stream has arrived. Google's Pub/Sub emulator does not provide the data for one, so such a
pipeline is refused: its results would differ from Dataflow's.
https://beam.apache.org/documentation/basics/#watermarks
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import translations

from launcher.emulator.executor.pubsub_steps import simplify
from launcher.emulator.runtime.errors import WorkflowFailedError

# Beam's Python SDK annotates a composite with its class.
_TYPE = "python_type"
_BIGQUERY = b"apache_beam.io.gcp.bigquery"
_GROUPING = {
    common_urns.primitives.GROUP_BY_KEY.urn: "groups by key",
    common_urns.composites.COMBINE_PER_KEY.urn: "combines by key",
    common_urns.composites.COMBINE_GLOBALLY.urn: "combines a whole PCollection",
}
_GLOBAL_WINDOWS = common_urns.global_windows.urn
_END_TIMER = "ts-window_end"
"""The family of an event-time timer ``window_end``; GroupIntoBatches has one of that name."""
_LONGEST_DELAY_MS = 1000


def check_limits(pipeline: beam_runner_api_pb2.Pipeline, *, streaming: bool) -> None:
    """Check that a pipeline needs only what the local Dataflow has.

    Raises:
        WorkflowFailedError: it needs more; the message names every such step.
    """
    steps = _find_in_roots(pipeline, _find_bigquery)
    if steps:
        raise WorkflowFailedError(
            "the local Dataflow has no BigQuery, though Dataflow can execute this pipeline: the "
            f"{'steps' if len(steps) > 1 else 'step'} {', '.join(map(repr, steps))} would call "
            "Google's, without credentials. To try the rest of the pipeline here, let a parameter "
            "replace the table with files."
        )
    problems = _find_in_roots(simplify(pipeline), _find_problems) if streaming else []
    if problems:
        raise WorkflowFailedError(
            "the local Dataflow cannot execute this streaming pipeline, though Dataflow can: "
            f"{'; '.join(dict.fromkeys(problems))}. It has no watermark: streams are executed in "
            "the global window, without GroupByKey and Combine. State, processing-time timers and "
            "Reshuffle work."
        )


def _find_in_roots(
    pipeline: beam_runner_api_pb2.Pipeline,
    find: Callable[[beam_runner_api_pb2.Components, str], Iterator[str]],
) -> list[str]:
    return [
        found for root in pipeline.root_transform_ids for found in find(pipeline.components, root)
    ]


def _find_bigquery(components: beam_runner_api_pb2.Components, transform_id: str) -> Iterator[str]:
    transform = components.transforms[transform_id]
    if transform.annotations.get(_TYPE, b"").startswith(_BIGQUERY):
        yield transform.unique_name
    else:
        for part in transform.subtransforms:
            yield from _find_bigquery(components, part)


def _find_problems(components: beam_runner_api_pb2.Components, transform_id: str) -> Iterator[str]:
    transform = components.transforms[transform_id]
    step = f"the step {transform.unique_name!r}"
    if transform.spec.urn in _GROUPING:
        yield f"{step} {_GROUPING[transform.spec.urn]}"
    elif transform.subtransforms:
        for part in transform.subtransforms:
            yield from _find_problems(components, part)
    elif transform.spec.urn == common_urns.deprecated_primitives.READ.urn:
        yield f"{step} reads from a source other than Pub/Sub"
    else:
        window = _find_window(components, transform)
        if window:
            yield f"{step} puts elements into windows ({window})"
        if transform.spec.urn in translations.PAR_DO_URNS:
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            for family in _find_event_timers(payload):
                yield (
                    f"{step} has the event-time timer {family!r} (one that waits for the end of "
                    "the global window, which a drain brings, works under the name 'window_end')"
                )
            for tag in payload.side_inputs:
                problem = _find_trigger(components, transform.inputs[tag])
                if problem:
                    yield f"{step} has a side input {problem}"


def _find_window(
    components: beam_runner_api_pb2.Components, transform: beam_runner_api_pb2.PTransform
) -> str | None:
    """Return the windows that a step assigns, unless it assigns the global window."""
    for pcollection in transform.outputs.values():
        window_fn = _strategy(components, pcollection).window_fn.urn
        kept = any(
            _strategy(components, source).window_fn.urn == window_fn
            for source in transform.inputs.values()
        )
        if window_fn != _GLOBAL_WINDOWS and not kept:
            own = window_fn == python_urns.PICKLED_WINDOWFN
            return "of a WindowFn of its own" if own else str(window_fn)
    return None


def _find_event_timers(payload: beam_runner_api_pb2.ParDoPayload) -> list[str]:
    return sorted(
        family.removeprefix("ts-")
        for family, spec in payload.timer_family_specs.items()
        if spec.time_domain == beam_runner_api_pb2.TimeDomain.EVENT_TIME and family != _END_TIMER
    )


def _find_trigger(components: beam_runner_api_pb2.Components, pcollection: str) -> str | None:
    """Return what cannot be honoured about a side input; here every output replaces it at once."""
    strategy = _strategy(components, pcollection)
    trigger = strategy.trigger
    if trigger.HasField("default"):
        bounded = components.pcollections[pcollection].is_bounded
        if bounded == beam_runner_api_pb2.IsBounded.BOUNDED:
            return None
        return "that is made from a stream and has no trigger: it would be ready only at the drain"
    if strategy.accumulation_mode != beam_runner_api_pb2.AccumulationMode.DISCARDING:
        return "that accumulates"
    if trigger.HasField("always") or (
        trigger.HasField("repeat") and _fires_at_once(trigger.repeat.subtrigger)
    ):
        return None
    return (
        "with a trigger other than Repeatedly(AfterCount(1)) and "
        "Repeatedly(AfterProcessingTime(1)), or a shorter time"
    )


def _fires_at_once(trigger: beam_runner_api_pb2.Trigger) -> bool:
    if trigger.HasField("element_count"):
        return bool(trigger.element_count.element_count == 1)
    delays = trigger.after_processing_time.timestamp_transforms
    return trigger.HasField("after_processing_time") and all(
        each.delay.delay_millis <= _LONGEST_DELAY_MS for each in delays
    )


def _strategy(
    components: beam_runner_api_pb2.Components, pcollection: str
) -> beam_runner_api_pb2.WindowingStrategy:
    return components.windowing_strategies[
        components.pcollections[pcollection].windowing_strategy_id
    ]
