"""Side inputs of a streaming pipeline: the current value of each, and which already have one.

As on Dataflow, a step waits for the first value of each side input and then sees the latest one:
with a trigger, every output replaces the previous one; without a trigger, all outputs belong
together.
https://beam.apache.org/documentation/programming-guide/#side-inputs
"""

from __future__ import annotations

from collections.abc import Sequence

from apache_beam.runners.portability.fn_api_runner import execution, translations

from launcher.emulator.executor.beam_internals import clear_side_input


class SideInputs:
    """The side inputs of a pipeline's stages; belongs to one thread."""

    def __init__(self, context: execution.FnApiRunnerExecutionContext) -> None:
        self._context = context
        components = context.pipeline_components
        pcollections = {
            pcollection for stage in context.stages.values() for pcollection in stage.side_inputs()
        }
        self._triggered = {
            pcollection
            for pcollection in pcollections
            if components.windowing_strategies[
                components.pcollections[pcollection].windowing_strategy_id
            ].trigger.WhichOneof("trigger")
            != "default"
        }
        self._missing = set(self._triggered)

    def ready(self, stage: str) -> bool:
        """Return whether a stage has the side inputs that it waits for."""
        return self._missing.isdisjoint(self._context.stages[stage].side_inputs())

    def replace(self, stage: str, buffer_id: bytes, chunks: Sequence[bytes]) -> bool:
        """Store what a stage has written to a buffer for the stages that read it as a side input.

        Returns:
            Whether it is a side input that stages were waiting for.
        """
        readers = {
            reader: (found, pattern)
            for reader, (found, pattern) in self._context.side_input_descriptors_by_stage[
                stage
            ].items()
            if found == buffer_id
        }
        if not readers:
            return False
        _, pcollection = translations.split_buffer_id(buffer_id)
        if pcollection in self._triggered:
            for transform, tag in readers:
                clear_side_input(self._context.state_servicer, transform, tag)
        buffer = execution.ListBuffer(None)
        for chunk in chunks:
            buffer.append(chunk)
        self._context.pcoll_buffers[buffer_id] = buffer
        self._context.commit_side_inputs_to_state(readers)
        del self._context.pcoll_buffers[buffer_id]
        awaited = pcollection in self._missing
        self._missing.discard(pcollection)
        return awaited
