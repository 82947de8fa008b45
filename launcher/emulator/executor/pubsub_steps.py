"""Replace the Pub/Sub steps in a streaming pipeline's proto.

On Dataflow Pub/Sub is read and written by the service, not by workers. Here the runner does it: a
read becomes a channel from the runner to the workers, a write one from the workers to the runner.
A Reshuffle has no visible effect if nothing is grouped, so it is dropped.
https://cloud.google.com/dataflow/docs/concepts/streaming-with-cloud-pubsub
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import translations
from apache_beam.runners.worker import bundle_processor

_READ = common_urns.composites.PUBSUB_READ.urn
_WRITE = common_urns.composites.PUBSUB_WRITE.urn
_RESHUFFLES = (
    common_urns.composites.RESHUFFLE.urn,
    "beam:transform:redistribute_by_key:v1",
    "beam:transform:redistribute_arbitrarily:v1",
)


@dataclass(frozen=True)
class PubSubSteps:
    """The reads and writes of a pipeline, by the unique name of their transform."""

    reads: Mapping[str, beam_runner_api_pb2.PubSubReadPayload]
    writes: Mapping[str, beam_runner_api_pb2.PubSubWritePayload]

    @classmethod
    def find(cls, pipeline: beam_runner_api_pb2.Pipeline) -> PubSubSteps:
        transforms = pipeline.components.transforms.values()
        return cls(
            reads={
                each.unique_name: beam_runner_api_pb2.PubSubReadPayload.FromString(
                    each.spec.payload
                )
                for each in transforms
                if each.spec.urn == _READ
            },
            writes={
                each.unique_name: beam_runner_api_pb2.PubSubWritePayload.FromString(
                    each.spec.payload
                )
                for each in transforms
                if each.spec.urn == _WRITE
            },
        )


def simplify(pipeline: beam_runner_api_pb2.Pipeline) -> beam_runner_api_pb2.Pipeline:
    """Return a copy without Reshuffles, in which the reads are impulses."""
    simple = beam_runner_api_pb2.Pipeline()
    simple.CopyFrom(pipeline)
    transforms = simple.components.transforms
    for transform_id in [each for each in transforms if transforms[each].spec.urn in _RESHUFFLES]:
        _leave_out(transform_id, simple)
    for transform in transforms.values():
        if transform.spec.urn == _READ:
            transform.spec.urn = common_urns.primitives.IMPULSE.urn
            transform.spec.payload = b""
            del transform.subtransforms[:]
        if transform.spec.urn == _WRITE and not transform.outputs:
            # Beam drops steps without output.
            (source,) = transform.inputs.values()
            result = f"{source}/written"
            simple.components.pcollections[result].CopyFrom(simple.components.pcollections[source])
            transform.outputs["out"] = result
    return simple


def open_channels(
    context: translations.TransformContext,
    stages: Iterable[translations.Stage],
    steps: PubSubSteps,
) -> None:
    """Turn the Pub/Sub steps in fused stages into channels to and from the runner."""
    for stage in stages:
        for number, transform in enumerate(stage.transforms):
            name = transform.unique_name
            if name in steps.reads:
                # It was an impulse, so it is already an input, but its elements come later.
                transform.spec.payload = translations.create_buffer_id(name)
            if name in steps.writes:
                (pcollection,) = transform.inputs.values()
                channel = beam_runner_api_pb2.PTransform(
                    unique_name=name,
                    inputs={"in": pcollection},
                    spec=beam_runner_api_pb2.FunctionSpec(
                        urn=bundle_processor.DATA_OUTPUT_URN,
                        payload=translations.create_buffer_id(name),
                    ),
                )
                stage.transforms[number] = channel
                context.add_data_channel_coder(pcollection, False)


def _leave_out(transform_id: str, pipeline: beam_runner_api_pb2.Pipeline) -> None:
    transforms = pipeline.components.transforms
    (source,) = transforms[transform_id].inputs.values()
    (result,) = transforms[transform_id].outputs.values()
    for transform in transforms.values():
        if transform_id in transform.subtransforms:
            transform.subtransforms.remove(transform_id)
        for sides in (transform.inputs, transform.outputs):
            for name, pcollection in sides.items():
                if pcollection == result:
                    sides[name] = source
    if transform_id in pipeline.root_transform_ids:
        pipeline.root_transform_ids.remove(transform_id)
    pending = [transform_id]
    while pending:
        pending += transforms[pending[0]].subtransforms
        del transforms[pending.pop(0)]
