"""The course of a streaming job: bundles from messages, timers, commits, and the drain.

Nothing derived from a message outlives this process. A message is therefore acknowledged only
when this process holds nothing derived from it: no element waits for its bundle, the state of every
step that it may have reached is empty, and all results are published. If the
process dies before, Pub/Sub delivers the message again. Dataflow, whose state is durable, may
acknowledge earlier and makes the same promise. The job's counts are recorded together with the
acknowledgement: a message that a successor reads again is not counted twice.
https://cloud.google.com/dataflow/docs/concepts/streaming-with-cloud-pubsub
"""

from __future__ import annotations

import functools
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2, beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import execution
from apache_beam.runners.worker import bundle_processor
from apache_beam.utils.timestamp import Timestamp

from launcher.emulator.executor.beam_internals import find_user_state_owners
from launcher.emulator.executor.bundles import BundleManager
from launcher.emulator.executor.metrics import JobMetrics
from launcher.emulator.executor.pubsub import Committer, Receipt, Sources
from launcher.emulator.executor.pubsub_messages import MessageReader, read_replies
from launcher.emulator.executor.pubsub_steps import PubSubSteps
from launcher.emulator.executor.side_inputs import SideInputs
from launcher.emulator.executor.timers import Family, Timers
from launcher.emulator.runtime.events import AcknowledgedEvent, Importance, MessageEvent, Report

_MESSAGES_AT_ONCE = 2000
_LONGEST_WAIT_SEC = 0.2
# Otherwise state that new messages keep filling would never be empty. If messages have waited this
# long for an empty state, no others are taken until the timers have emptied it.
_PAUSE_AFTER_SEC = 4.0
_LONGEST_PAUSE_SEC = 10.0
# State that is kept for longer, or forever, cannot hold messages back: Pub/Sub would deliver them
# again.
_HELD_SEC = 600.0
_HELD_MESSAGES = 100_000


@dataclass(frozen=True)
class _Work:
    """Input of one bundle: encoded elements by the transform that reads them, timers to fire."""

    stage: str
    data: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    timers: Mapping[Family, Sequence[bytes]] = field(default_factory=dict)


class Stream:
    """Executes the stages of a streaming pipeline; belongs to one thread."""

    def __init__(
        self,
        context: execution.FnApiRunnerExecutionContext,
        *,
        managers: Mapping[str, BundleManager],
        steps: PubSubSteps,
        sources: Sources,
        committer: Committer,
        report: Report,
        metrics: JobMetrics,
        drain: threading.Event,
    ) -> None:
        """
        Args:
            context: the stages, set up; its queue holds the impulses.
            managers: the executor of each stage's bundles, by the stage's name.
        """
        self._context = context
        self._managers = managers
        self._steps = steps
        self._sources = sources
        self._committer = committer
        self._report = report
        self._metrics = metrics
        self._drain = drain
        self._stages = {
            name: context.bundle_manager_for(stage) for name, stage in context.stages.items()
        }
        self._timers = Timers(
            lambda stage, family: self._stages[stage].get_timer_coder_impl(*family)
        )
        self._side_inputs = SideInputs(context)
        self._downstream = _find_downstream(context, steps.reads)
        self._readers = {
            step: (stage, MessageReader(payload, manager.get_input_coder_impl(step)))
            for step, payload in steps.reads.items()
            for stage, manager in self._stages.items()
            if step in manager.process_bundle_descriptor.transforms
        }
        self._ready: deque[_Work] = deque()
        self._deferred: list[tuple[float, _Work]] = []
        self._waiting: list[_Work] = []
        self._published: defaultdict[str, list[bytes]] = defaultdict(list)
        self._receipts: list[Receipt] = []
        self._held_since: float | None = None
        self._warned = False

    def run(self) -> None:
        """Execute until the drain is complete, or until no more input can come."""
        queue = self._context.queues
        while queue.ready_inputs:
            stage, impulse = queue.ready_inputs.deque()
            self._ready.append(_Work(stage, {name: [*data] for name, data in impulse.data.items()}))
        while queue.watermark_pending_inputs:
            (stage, _), impulse = queue.watermark_pending_inputs.deque()
            self._ready.append(_Work(stage, {name: [*data] for name, data in impulse.data.items()}))
        while not self._drain.is_set():
            self._advance()
            self._commit()
            if not self._steps.reads and self._next_time() is None:
                break
            if self._waiting or self._pauses():
                self._drain.wait(self._wait_sec())
            else:
                self._take_messages(self._wait_sec())
        self._finish()

    def _advance(self) -> None:
        """Process everything that is ready."""
        while True:
            while self._ready:
                self._process(self._ready.popleft())
            now = Timestamp.now()
            self._fire(self._timers.take_due(now))
            due = [work for moment, work in self._deferred if moment <= float(now)]
            self._deferred = [each for each in self._deferred if each[0] > float(now)]
            self._ready.extend(due)
            if not self._ready:
                return

    def _finish(self) -> None:
        """Process the pulled messages, end the global window, and commit."""
        self._sources.stop_pulling()
        self._take_messages(0)
        while self._ready:
            self._advance()
            self._take_messages(0)
        # At the end of the global window only its own timers fire: the window and all other timers
        # are over.
        self._fire(self._timers.take_end())
        while self._ready:
            self._process(self._ready.popleft())
        self._commit()
        self._committer.flush()
        if self._receipts:
            self._warn(
                f"{len(self._receipts)} messages are not acknowledged and will be delivered again: "
                "something derived from them was still in state when the job was drained. On "
                "Dataflow it would be lost: set an event-time timer for the end of the window."
            )

    def _next_time(self) -> Timestamp | None:
        times = [Timestamp(moment) for moment, _ in self._deferred]
        timer = self._timers.next_time()
        return min([*times, *([] if timer is None else [timer])], default=None)

    def _wait_sec(self) -> float:
        next_time = self._next_time()
        if next_time is None:
            return _LONGEST_WAIT_SEC
        return max(0.0, min(float(next_time) - time.time(), _LONGEST_WAIT_SEC))

    def _take_messages(self, timeout_sec: float) -> None:
        elements: defaultdict[str, list[bytes]] = defaultdict(list)
        for pulled in self._sources.take(_MESSAGES_AT_ONCE, timeout_sec):
            _, reader = self._readers[pulled.step]
            elements[pulled.step].append(reader.encode(pulled.messages))
            self._receipts.extend(pulled.receipts)
        for step, chunks in elements.items():
            self._ready.append(_Work(self._readers[step][0], {step: chunks}))
        if self._receipts and self._held_since is None:
            self._held_since = time.monotonic()

    def _pauses(self) -> bool:
        if self._held_since is None or time.monotonic() - self._held_since < _PAUSE_AFTER_SEC:
            return False
        timer = self._timers.next_time(self._downstream)
        return timer is not None and float(timer) - time.time() <= _LONGEST_PAUSE_SEC

    def _process(self, work: _Work) -> None:
        if not self._side_inputs.ready(work.stage):
            self._waiting.append(work)
            return
        manager = self._stages[work.stage]
        inputs = {}
        for name, transform in manager.process_bundle_descriptor.transforms.items():
            if transform.spec.urn == bundle_processor.DATA_INPUT_URN:
                inputs[name] = execution.ListBuffer(manager.get_input_coder_impl(name))
                for chunk in work.data.get(name, ()):
                    inputs[name].append(chunk)
        outcome = self._managers[work.stage].execute(
            inputs, manager.stage_data_outputs, work.timers, manager.stage_timer_outputs
        )
        made: defaultdict[str, list[bytes]] = defaultdict(list)
        for output in outcome.outputs:
            if isinstance(output, beam_fn_api_pb2.Elements.Timers):
                family = output.transform_id, output.timer_family_id
                _, domain = manager.stage_timer_outputs[family]
                event_time = domain == beam_runner_api_pb2.TimeDomain.EVENT_TIME
                self._timers.update(work.stage, family, output.timers, event_time=event_time)
            else:
                made[output.transform_id].append(output.data)
        for transform, chunks in made.items():
            self._pass_on(work.stage, transform, chunks)
        for residual in outcome.response.process_bundle.residual_roots:
            self._defer(work.stage, residual)

    def _pass_on(self, stage: str, transform: str, chunks: list[bytes]) -> None:
        manager = self._stages[stage]
        if transform in self._steps.writes:
            payload = self._steps.writes[transform]
            coder = manager.get_input_coder_impl(transform)
            self._published[payload.topic] += read_replies(payload, coder, b"".join(chunks))
            return
        buffer_id = manager.stage_data_outputs[transform]
        if self._side_inputs.replace(stage, buffer_id, chunks):
            self._ready.extend(self._waiting)
            self._waiting.clear()
        for consumer, reader in self._context.buffer_id_to_consumer_pairs.get(buffer_id, ()):
            self._ready.append(_Work(consumer, {reader: chunks}))

    def _defer(self, stage: str, residual: Any) -> None:
        application = residual.application
        reader = self._stages[stage].input_for(application.transform_id, application.input_id)
        moment = time.time() + residual.requested_time_delay.ToTimedelta().total_seconds()
        self._deferred.append((moment, _Work(stage, {reader: [application.element]})))

    def _fire(self, due: Mapping[str, Mapping[Family, Sequence[bytes]]]) -> None:
        self._ready.extend(_Work(stage, timers=timers) for stage, timers in due.items())

    def _commit(self) -> None:
        """Return the messages to publish, and the receipts of finished messages."""
        for topic, messages in self._published.items():
            self._committer.publish(topic, messages)
        self._published.clear()
        if not self._receipts or (self._holds_any() and not self._gives_up()):
            return
        # No bundle is under way: these counts cover exactly the messages so far.
        record = functools.partial(self._report, AcknowledgedEvent(self._metrics.updates()))
        self._committer.acknowledge(self._receipts, record)
        self._receipts = []
        self._held_since = None

    def _holds_any(self) -> bool:
        """Return whether anything that may derive from a message is still held."""
        if self._waiting or any(
            self._downstream.intersection(
                self._stages[work.stage].process_bundle_descriptor.transforms
            )
            for _, work in self._deferred
        ):
            return True
        owners = find_user_state_owners(self._context.state_servicer)
        return not self._downstream.isdisjoint(owners)

    def _gives_up(self) -> bool:
        assert self._held_since is not None
        held_sec = time.monotonic() - self._held_since
        never = held_sec > _PAUSE_AFTER_SEC and self._timers.next_time(self._downstream) is None
        long = held_sec > _HELD_SEC or len(self._receipts) > _HELD_MESSAGES
        if (never or long) and not self._warned and not self._drain.is_set():
            self._warned = True
            self._warn(
                "The pipeline keeps state that its timers do not empty. Messages are acknowledged "
                "nevertheless: if the local executor dies, that state is lost, and on Dataflow it "
                "is not."
            )
        return never or long

    def _warn(self, text: str) -> None:
        self._report(MessageEvent(Importance.WARNING, text))


def _find_downstream(
    context: execution.FnApiRunnerExecutionContext, reads: Iterable[str]
) -> frozenset[str]:
    """Return the transforms that a message, or data derived from it, may reach."""
    transforms = [each for stage in context.stages.values() for each in stage.transforms]
    found = set(reads)
    pcollections = {
        pcollection
        for each in transforms
        if each.unique_name in found
        for pcollection in each.outputs.values()
    }
    grown = True
    while grown:
        grown = False
        for each in transforms:
            if each.unique_name not in found and pcollections.intersection(each.inputs.values()):
                found.add(each.unique_name)
                pcollections.update(each.outputs.values())
                grown = True
    return frozenset(found)
