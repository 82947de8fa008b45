"""The timers that a streaming pipeline has set and that have not fired yet.

A timer is set again, or cleared, under its key, window and tag. The only event time that is ever
reached is the end of the global window, when the job is drained. Any other timer would need a
watermark, and a pipeline that declares one is refused before it runs (``limits``).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from apache_beam.coders.coder_impl import create_OutputStream
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp

from launcher.emulator.runtime.errors import WorkflowFailedError

# Timers travel in whole milliseconds.
_END = GlobalWindow().max_timestamp() - 1

Family = tuple[str, str]
"""A transform, and the name of one of its timer families."""


@dataclass(frozen=True)
class _Identity:
    stage: str
    family: Family
    key: Any
    window: Any
    tag: str


class Timers:
    """Timers by stage; belongs to one thread."""

    def __init__(self, coder: Callable[[str, Family], Any]) -> None:
        """
        Args:
            coder: returns the timer coder of a stage's timer family.
        """
        self._coder = coder
        self._of_time: dict[_Identity, Any] = {}
        self._of_end: dict[_Identity, Any] = {}

    def update(self, stage: str, family: Family, encoded: bytes, *, event_time: bool) -> None:
        """Record the timers that a bundle has set or cleared.

        Raises:
            WorkflowFailedError: one would fire at a time that is never reached here.
        """
        pending = self._of_end if event_time else self._of_time
        for timer in self._coder(stage, family).decode_all(encoded):
            identity = _Identity(
                stage, family, timer.user_key, timer.windows[0], timer.dynamic_timer_tag
            )
            if timer.clear_bit:
                pending.pop(identity, None)
                continue
            if event_time and timer.fire_timestamp < _END:
                raise WorkflowFailedError(
                    f"the step {family[0]!r} sets the event-time timer "
                    f"{family[1].removeprefix('ts-')!r} to another time than the end of the global "
                    "window. The local Dataflow has no watermark, and so no other event time."
                )
            pending[identity] = timer

    def next_time(self, transforms: Collection[str] | None = None) -> Timestamp | None:
        """Return when the next timer (of these transforms, if given) fires, or None."""
        return min(
            (
                timer.fire_timestamp
                for identity, timer in self._of_time.items()
                if transforms is None or identity.family[0] in transforms
            ),
            default=None,
        )

    def take_due(self, now: Timestamp) -> Mapping[str, Mapping[Family, list[bytes]]]:
        """Remove the timers whose time has come; return them encoded, by stage and family."""
        due = {each: timer for each, timer in self._of_time.items() if timer.fire_timestamp <= now}
        for identity in due:
            del self._of_time[identity]
        return self._encode(due)

    def take_end(self) -> Mapping[str, Mapping[Family, list[bytes]]]:
        """Remove the timers of the end of the global window; return them encoded."""
        due, self._of_end = self._of_end, {}
        return self._encode(due)

    def _encode(self, due: Mapping[_Identity, Any]) -> Mapping[str, Mapping[Family, list[bytes]]]:
        by_stage: defaultdict[str, dict[Family, list[bytes]]] = defaultdict(dict)
        for (stage, family), timers in itertools.groupby(
            sorted(due.items(), key=lambda item: (item[0].stage, item[0].family)),
            key=lambda item: (item[0].stage, item[0].family),
        ):
            coder = self._coder(stage, family)
            out = create_OutputStream()
            for _, timer in timers:
                coder.encode_to_stream(timer, out, True)
            by_stage[stage][family] = [out.get()]
        return by_stage
