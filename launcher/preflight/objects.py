"""Check that the buckets and objects that a launch names exist; reads Cloud Storage.

A caller without read permission gets no finding; the service reports anything that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from launcher.errors import CredentialsError, InputError, StorageError
from launcher.finding import BUCKET_MISSING, OBJECT_MISSING, Finding, error, warning
from launcher.google.storage import has_match, list_bucket_names, list_object_names
from launcher.package.metadata import ParameterMetadata
from launcher.preflight.subject import Launch
from template.parameters import did_you_mean

_FILE, _FOLDER = "GCS_READ_FILE", "GCS_READ_FOLDER"
_WILDCARD = re.compile(r"[*?\[{]")
_MOST_NAMES = 1000


def check_objects(launch: Launch) -> Iterator[Finding]:
    """Yield buckets, files, folders and patterns that do not exist. Blocks for seconds."""
    locations = _find_locations(launch)
    missing = set()
    for bucket in dict.fromkeys(_split(location)[0] for location in locations.values()):
        try:
            if list_object_names(bucket, "", most=1) is not None:
                continue
        except (StorageError, CredentialsError, InputError):
            continue
        missing.add(bucket)
        flag, location = next(each for each in locations.items() if _split(each[1])[0] == bucket)
        yield error(
            BUCKET_MISSING,
            f"{flag}{location}: there is no bucket {bucket!r}{_find_bucket(bucket, launch)}",
            f"Correct its name, or create it: gcloud storage buckets create gs://{bucket} "
            f"--location {launch.environment.worker_region or launch.region}",
        )
    for parameter in launch.metadata.parameters if launch.metadata else ():
        location = launch.parameters.get(parameter.name, "")
        bucket, path = _split(location)
        is_read = parameter.param_type in (_FILE, _FOLDER) and location.startswith("gs://")
        if is_read and path and bucket not in missing and "," not in path:
            try:
                yield from _check_path(parameter, location, bucket, path)
            except (StorageError, CredentialsError, InputError):
                continue


def _check_path(
    parameter: ParameterMetadata, location: str, bucket: str, path: str
) -> Iterator[Finding]:
    given = f"--parameters {parameter.name}={location}"
    if _WILDCARD.search(path):
        if has_match(location):
            return
        # Optional files may appear later: a stream watches for them.
        yield (warning if parameter.is_optional else error)(
            OBJECT_MISSING,
            f"{given}: no object matches{_find_name(bucket, path)}",
            "Correct the pattern, or upload the files.",
        )
        return
    names = list_object_names(bucket, path, most=_MOST_NAMES) or []
    folder = f"{path.rstrip('/')}/"
    is_there = path in names or any(name.startswith(folder) for name in names)
    if not is_there and not (names and parameter.param_type == _FOLDER):
        yield error(
            OBJECT_MISSING,
            f"{given}: there is no such object{_find_name(bucket, path)}",
            "Correct the path, or upload the file.",
        )


def _find_name(bucket: str, path: str) -> str:
    """Return the nearest name of an object in the same folder, for a sentence."""
    folder = path[: path.rfind("/") + 1]
    names = [] if _WILDCARD.search(folder) else list_object_names(bucket, folder, most=_MOST_NAMES)
    if not names and folder:
        names = list_object_names(bucket, "", most=_MOST_NAMES)
    return did_you_mean(path, names or [])


def _find_bucket(bucket: str, launch: Launch) -> str:
    try:
        return did_you_mean(bucket, list_bucket_names(launch.project))
    except (StorageError, CredentialsError, InputError):
        return ""


def _find_locations(launch: Launch) -> Mapping[str, str]:
    """Return every ``gs://`` location of a launch, by the beginning of its flag."""
    locations = {
        "--staging-location ": launch.environment.staging_location,
        "--temp-location ": launch.environment.temp_location,
        **{f"--parameters {name}=": value for name, value in launch.parameters.items()},
    }
    return {flag: value for flag, value in locations.items() if value and value.startswith("gs://")}


def _split(location: str) -> tuple[str, str]:
    bucket, _, path = location.removeprefix("gs://").partition("/")
    return bucket, path
