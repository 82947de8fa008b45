"""Everything that uses Beam's private names; read it first when Beam's version changes.

Beam's runner package makes no promises at all. This module also uses private names (Beam 2.77),
replaces one name of a Beam module, and registers coders again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
from apache_beam.coders import coders
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_fn_api_pb2, beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import (
    execution,
    fn_runner,
    translations,
    worker_handlers,
)

HOST = "127.0.0.1"


class _LoopbackGrpc:
    """The module ``grpc``, except that its servers listen on another interface."""

    def __getattr__(self, name: str) -> Any:
        return getattr(grpc, name)

    @staticmethod
    def server(*args: Any, **options: Any) -> grpc.Server:
        server = grpc.server(*args, **options)
        add_port = server.add_insecure_port
        server.add_insecure_port = lambda address: add_port(f"{HOST}:{address.rpartition(':')[2]}")
        return server


def bind_to_loopback() -> None:
    """Let the Fn API servers of this process listen on loopback only.

    ``worker_handlers.GrpcServer`` binds all interfaces (``[::]:0``). Anyone who reaches its ports
    gets the data of the job, because the servers do not ask for credentials.
    """
    worker_handlers.grpc = _LoopbackGrpc()


def keep_coders_opaque(pipeline: beam_runner_api_pb2.Pipeline) -> None:
    """Keep this process from loading a pipeline's own coders, whose modules it may not have.

    Their encoded values are opaque bytes here; decoding them raises.
    """
    urns = {coder.spec.urn for coder in pipeline.components.coders.values()}
    for urn in {python_urns.PICKLED_CODER} | (urns - coders.Coder._known_urns.keys()):
        coders.Coder.register_urn(urn, bytes, lambda *_: coders.Coder())
    coders.Coder.register_urn(
        common_urns.coders.CUSTOM_WINDOW.urn,
        None,
        lambda *_: coders.TimestampPrefixingOpaqueWindowCoder(),
    )


def _prefix_own_coders(context: translations.TransformContext, stages: Any) -> None:
    """Prefix windows and timers of unknown coders with their lengths, as Beam does elements."""
    components = context.components
    for strategy in components.windowing_strategies.values():
        window_coder = strategy.window_coder_id
        if context.maybe_length_prefixed_coder(window_coder) != window_coder:
            strategy.window_coder_id = context.timestamped_prefixed_window_coder(window_coder)
    for transform in (each for stage in stages for each in stage.transforms):
        if transform.spec.urn in translations.PAR_DO_URNS:
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            for family in payload.timer_family_specs.values():
                family.timer_family_coder_id = context.maybe_length_prefixed_coder(
                    family.timer_family_coder_id
                )
            transform.spec.payload = payload.SerializeToString()


class StageRunner(fn_runner.FnApiRunner):  # type: ignore[misc]
    """FnApiRunner, whose replaceable steps are public methods."""

    def create_stages(
        self, pipeline_proto: beam_runner_api_pb2.Pipeline
    ) -> tuple[translations.TransformContext, list[translations.Stage]]:
        """Return the stages of a pipeline without loading its code."""
        keep_coders_opaque(pipeline_proto)
        for environment in pipeline_proto.components.environments.values():
            # Beam loads combiners in order to pack them.
            if python_urns.PACKED_COMBINE_FN in environment.capabilities:
                environment.capabilities.remove(python_urns.PACKED_COMBINE_FN)
        context, stages = super().create_stages(pipeline_proto)
        _prefix_own_coders(context, stages)
        return context, stages

    def __init__(self, *, num_workers: int) -> None:
        super().__init__()
        self._num_workers = num_workers

    def make_execution_context(
        self,
        stage_context: translations.TransformContext,
        stages: list[translations.Stage],
    ) -> tuple[worker_handlers.WorkerHandlerManager, execution.FnApiRunnerExecutionContext]:
        """Return an executor of stages; the caller closes the workers."""
        workers = worker_handlers.WorkerHandlerManager(
            stage_context.components.environments, self._provision_info
        )
        return workers, execution.FnApiRunnerExecutionContext(
            stages,
            workers,
            stage_context.components,
            stage_context.safe_coders,
            stage_context.data_channel_coders,
            self._num_workers,
        )

    def execute_bundle(
        self,
        context: execution.FnApiRunnerExecutionContext,
        stage: execution.BundleContextManager,
        bundle_input: translations.DataInput,
    ) -> beam_fn_api_pb2.InstructionResponse:
        """Execute a stage's next bundle."""
        return super()._execute_bundle(context, stage, bundle_input)

    def make_bundle_manager(self, stage: execution.BundleContextManager) -> Any:
        """Return an executor of a stage's bundles."""
        return super()._get_bundle_manager(stage)

    def _execute_bundle(self, *arguments: Any) -> beam_fn_api_pb2.InstructionResponse:
        return self.execute_bundle(*arguments)

    def _get_bundle_manager(self, stage: execution.BundleContextManager) -> Any:
        return self.make_bundle_manager(stage)


@contextmanager
def state_restored_on_error(servicer: worker_handlers.StateServicer) -> Iterator[None]:
    """Restore user state if the block raises."""
    with servicer._lock:
        values = {key: list(chunks) for key, chunks in servicer._state.items()}
        keys = {key: found.copy() for key, found in servicer._ordered_list_keys.items()}
    try:
        yield
    except Exception:
        with servicer._lock:
            servicer._state.clear()
            servicer._state.update(values)
            servicer._ordered_list_keys.clear()
            servicer._ordered_list_keys.update(keys)
        raise


def find_user_state_owners(servicer: worker_handlers.StateServicer) -> set[str]:
    """Return the transforms whose user state holds anything."""
    with servicer._lock:
        filled = [key for key, chunks in servicer._state.items() if chunks]
    owners = [_find_owner(key, "_user_state") for key in filled]
    return {owner.transform_id for owner in owners if owner}


def clear_side_input(servicer: worker_handlers.StateServicer, transform: str, tag: str) -> None:
    """Forget the elements of a transform's side input."""
    with servicer._lock:
        for key in list(servicer._state):
            owner = _find_owner(key, "_side_input")
            if owner and (owner.transform_id, owner.side_input_id) == (transform, tag):
                del servicer._state[key]


def find_pending_instructions(control: worker_handlers.ControlConnection) -> Sequence[str]:
    """Return the ids of the instructions that a worker has not answered yet."""
    return list(control._futures_by_id)


def abort_instructions(control: worker_handlers.ControlConnection, error: Exception) -> None:
    """Fail every instruction that a worker has not answered."""
    for future in list(control._futures_by_id.values()):
        future.abort(error)


def end_instructions(control: worker_handlers.ControlConnection) -> None:
    """Let the SDK harness tear down its DoFns and end."""
    control.push(worker_handlers.BeamFnControlServicer._DONE_MARKER)


def _find_owner(key: bytes, kind_suffix: str) -> Any:
    """Return the part of a state key that names its transform; None for other kinds of state."""
    state_key = beam_fn_api_pb2.StateKey.FromString(key)
    kind = state_key.WhichOneof("type")
    return getattr(state_key, kind) if kind and kind.endswith(kind_suffix) else None
