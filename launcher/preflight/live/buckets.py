"""Check that the buckets and objects that a job names exist, and are near its workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from launcher.finding import (
    BUCKET_MISSING,
    BUCKET_REGION,
    OBJECT_MISSING,
    OUTPUT_EXISTS,
    Finding,
    error,
    warning,
)
from launcher.preflight.live.cloud import Cloud, Missing
from launcher.preflight.subject import Launch

# Multi-regions, and the prefixes of their regions' names.
# https://cloud.google.com/storage/docs/locations
_MULTI_REGIONS = {"us": ("us-",), "eu": ("europe-",), "asia": ("asia-",)}

# What Beam appends to the prefix of an output file.
_SHARD = re.compile(r"-\d{5}-of-\d{5}")


def find_locations(launch: Launch) -> dict[str, str]:
    """Return every ``gs://`` location of a launch, by the flag that names it."""
    locations = {
        "--staging-location": launch.environment.staging_location,
        "--temp-location": launch.environment.temp_location,
        **{f"--parameters {name}": value for name, value in launch.parameters.items()},
    }
    return {
        flag: value
        for flag, value in locations.items()
        if value is not None and value.startswith("gs://")
    }


def check_buckets(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield buckets that are missing or far away."""
    region = launch.environment.worker_region or launch.region
    seen: set[str] = set()
    for flag, location in find_locations(launch).items():
        bucket = split(location)[0]
        if bucket in seen:
            continue
        seen.add(bucket)
        try:
            answer = _get_bucket(cloud, bucket)
        except Missing:
            yield error(
                BUCKET_MISSING,
                f"{flag} {location}: there is no bucket {bucket!r}",
                f"gcloud storage buckets create gs://{bucket} --location {region}",
            )
            continue
        place = str(answer.get("location", "")).lower()
        inside = region.startswith(_MULTI_REGIONS.get(place, ())) if place else True
        placement = answer.get("customPlacementConfig", {}).get("dataLocations", [])
        if place and place != region and not inside and region.upper() not in placement:
            yield warning(
                BUCKET_REGION,
                f"{flag} {location}: the bucket is in {place}, but the workers are in {region}: "
                "this is slow, and the traffic is billed",
                f"Use a bucket in {region}, or launch in the bucket's region.",
            )


def check_objects(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield input files that do not exist; patterns are left to the job."""
    for name, location in launch.find_parameters("GCS_READ_FILE").items():
        bucket, path = split(location)
        if not location.startswith("gs://") or not path or set(path) & set("*?["):
            continue
        try:
            _get_object(cloud, bucket, path)
        except Missing:
            yield error(
                OBJECT_MISSING,
                f"--parameters {name}={location}: there is no such object",
                "Correct the path, or upload the file.",
            )


def check_outputs(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield outputs that would be mixed with the files of an earlier run."""
    for name, location in launch.find_parameters("GCS_WRITE_FILE").items():
        bucket, prefix = split(location)
        if not location.startswith("gs://"):
            continue
        try:
            names = _list_objects(cloud, bucket, f"{prefix}-")
        except Missing:  # check_buckets reports it
            continue
        earlier = [name for name in names if _SHARD.match(name.removeprefix(prefix))]
        if earlier:
            yield warning(
                OUTPUT_EXISTS,
                f"--parameters {name}={location}: there are files of an earlier run, "
                f"gs://{bucket}/{earlier[0]} for example; the job replaces those of the same name, "
                "and the others remain among its own",
                "Give every run its own output, or remove the old files first.",
            )


def _list_objects(cloud: Cloud, bucket: str, prefix: str) -> list[str]:
    """Return the first names with this prefix."""
    page = cloud.ask("storage", lambda api: api.objects().list(bucket=bucket, prefix=prefix))
    return [str(item["name"]) for item in page.get("items", ())]


def _get_bucket(cloud: Cloud, bucket: str) -> dict[str, Any]:
    return cloud.ask("storage", lambda api: api.buckets().get(bucket=bucket))


def _get_object(cloud: Cloud, bucket: str, path: str) -> dict[str, Any]:
    return cloud.ask("storage", lambda api: api.objects().get(bucket=bucket, object=path))


def split(location: str) -> tuple[str, str]:
    """Return bucket and object name of a ``gs://`` location."""
    bucket, _, path = location.removeprefix("gs://").partition("/")
    return bucket, path
