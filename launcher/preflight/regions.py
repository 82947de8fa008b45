"""Google Cloud's regions, as data, with the day when they were checked."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from launcher.finding import REGION_UNKNOWN, Finding, error
from launcher.google.rest import from_rest
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from template.parameters import did_you_mean


@dataclass(frozen=True, kw_only=True)
class Regions:
    """The names of the regions, and the day when they were checked."""

    checked: str
    source: str
    regions: tuple[str, ...]


@functools.cache
def load_regions() -> Regions:
    """Read ``regions.json``."""
    file = resources.files(__package__).joinpath("regions.json")
    return from_rest(Regions, json.loads(file.read_text(encoding="utf-8")))


def check_regions(
    region: str | None, environment: FlexTemplateRuntimeEnvironment
) -> Iterator[Finding]:
    """Yield the regions of the job, its workers or their zone that do not exist."""
    table = load_regions()
    zone = environment.worker_zone or environment.zone or ""
    for flag, given, name in (
        ("--region", region, region),
        ("--worker-region", environment.worker_region, environment.worker_region),
        ("--worker-zone", zone, zone.rpartition("-")[0]),
    ):
        if given and name not in table.regions:
            near = did_you_mean(name or given, table.regions)
            yield error(
                REGION_UNKNOWN,
                f"{flag} {given}: there is no region {name or given!r}{near}",
                f"Correct it; if the region is newer than {table.checked}, ignore this finding. "
                f"{table.source} lists them.",
            )
