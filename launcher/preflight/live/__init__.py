"""Read-only questions to the project before a launch; one noun per module.

A question without an answer is a WARNING: what could not be asked is not known to be well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from launcher.finding import Finding
from launcher.preflight.live.buckets import check_buckets, check_objects, check_outputs
from launcher.preflight.live.cloud import Cloud, Launch, Missing, Unanswered, unasked
from launcher.preflight.live.image import check_image
from launcher.preflight.live.network import check_network
from launcher.preflight.live.permissions import check_caller
from launcher.preflight.live.pubsub import check_pubsub
from launcher.preflight.live.quotas import check_quotas
from launcher.preflight.live.services import check_services
from launcher.preflight.live.worker_account import check_worker_account

__all__ = ["Cloud", "Launch", "check_live"]

_CHECKS: tuple[tuple[str, Callable[[Cloud, Launch], Iterator[Finding]]], ...] = (
    ("APIs", check_services),
    ("buckets", check_buckets),
    ("objects", check_objects),
    ("outputs", check_outputs),
    ("image", check_image),
    ("your permissions", check_caller),
    ("the workers' service account", check_worker_account),
    ("quotas", check_quotas),
    ("network", check_network),
    ("Pub/Sub", check_pubsub),
)


def check_live(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield what in the project would fail the launch. Blocks, some seconds for each question."""
    for what, check in _CHECKS:
        try:
            yield from check(cloud, launch)
        except (Unanswered, Missing) as problem:
            yield unasked(what, problem)
