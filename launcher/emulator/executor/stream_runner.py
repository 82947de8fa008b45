"""The runner of streaming jobs: Beam's stages, its workers, and Pub/Sub at both ends."""

from __future__ import annotations

import threading

from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners import runner
from apache_beam.runners.portability.fn_api_runner import fn_runner, translations

from launcher.emulator.executor.metrics import JobMetrics
from launcher.emulator.executor.pubsub import (
    Committer,
    PubSub,
    Source,
    Sources,
    name_subscription,
)
from launcher.emulator.executor.pubsub_steps import PubSubSteps, open_channels, simplify
from launcher.emulator.executor.runner import EmulatorRunner
from launcher.emulator.executor.stream import Stream
from launcher.emulator.executor.workers import WorkerSetup
from launcher.emulator.runtime.events import Importance, MessageEvent, Report, SubscriptionEvent


class StreamRunner(EmulatorRunner):
    """Runs one streaming pipeline until it is drained.

    As on Dataflow, a bundle that fails is attempted again and again, so any message that fails and
    that the pipeline does not send to dead letters stops the stream.
    """

    max_attempts = None

    def __init__(
        self,
        *,
        setup: WorkerSetup,
        metrics: JobMetrics,
        report: Report,
        drain: threading.Event,
    ) -> None:
        super().__init__(setup=setup, metrics=metrics, report=report)
        self._job_id = setup.execution.run_dir.name
        assert setup.execution.pubsub_host is not None, "only a streaming job has one"
        self._pubsub_host = setup.execution.pubsub_host
        self._drain = drain

    def create_stages(
        self, pipeline_proto: beam_runner_api_pb2.Pipeline
    ) -> tuple[translations.TransformContext, list[translations.Stage]]:
        self._steps = PubSubSteps.find(pipeline_proto)
        context, stages = super().create_stages(simplify(pipeline_proto))
        open_channels(context, stages, self._steps)
        return context, stages

    def run_stages(
        self, stage_context: translations.TransformContext, stages: list[translations.Stage]
    ) -> fn_runner.RunnerResult:
        self._describe(stages)
        self._start(stages, begin=stages)
        pubsub = PubSub(self._pubsub_host, self._warn)
        for step, payload in self._steps.writes.items():
            pubsub.check_topic(step, payload.topic)
        subscribed = [self._subscribe(pubsub, *read) for read in self._steps.reads.items()]
        workers, context = self.make_execution_context(stage_context, stages)
        try:
            context.setup()
            managers = {}
            for name, stage in context.stages.items():
                manager = context.bundle_manager_for(stage)
                workers.register_process_bundle_descriptor(manager.process_bundle_descriptor)
                managers[name] = self.make_bundle_manager(manager)
            sources = Sources(pubsub)
            sources.start(subscribed)
            Stream(
                context,
                managers=managers,
                steps=self._steps,
                sources=sources,
                committer=Committer(pubsub, sources),
                report=self._report,
                metrics=self._metrics,
                drain=self._drain,
            ).run()
        finally:
            workers.close_all()
        return fn_runner.RunnerResult(runner.PipelineState.DONE, {})

    def _warn(self, text: str) -> None:
        self._report(MessageEvent(Importance.WARNING, text))

    def _subscribe(
        self, pubsub: PubSub, step: str, payload: beam_runner_api_pb2.PubSubReadPayload
    ) -> Source:
        """Return the subscription of a read step; if it names a topic, the job's own one.

        Raises:
            WorkflowFailedError: there is no such subscription or topic.
        """
        if payload.subscription:
            source = Source(step, payload.subscription)
        else:
            name = name_subscription(payload.topic, self._job_id)
            source = Source(step, name, payload.topic)
            # Reported before it is created, so that it is not left behind if this process is
            # killed.
            self._report(SubscriptionEvent(name))
        pubsub.check_source(source)
        return source
