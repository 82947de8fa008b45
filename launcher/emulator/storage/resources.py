"""JSON resources of the API, and the settings that clients send in them.

Mirrors the Bucket and Object schemas of
https://cloud.google.com/storage/docs/json_api/v1/buckets#resource and .../objects#resource.
A field that only the server sets, or that is about access, is ignored in a request; one that this
server cannot honour is refused with 501, unless it asks for nothing (null, false, empty).
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from launcher.emulator.labels import find_label_problem
from launcher.emulator.storage.errors import InvalidRequest, NotImplementedHere, shorten
from launcher.emulator.storage.records import Bucket, BucketSettings, ObjectSettings, StoredObject

Json = dict[str, Any]
_Settings = TypeVar("_Settings", BucketSettings, ObjectSettings)

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_MULTI_REGIONS = ("US", "EU", "ASIA")
_OBJECT_TEXTS = {
    "contentType": "content_type",
    "storageClass": "storage_class",
    "cacheControl": "cache_control",
    "contentDisposition": "content_disposition",
    "contentEncoding": "content_encoding",
    "contentLanguage": "content_language",
    "customTime": "custom_time",
}
_OBJECT_SERVER_FIELDS = frozenset(
    "kind id selfLink mediaLink bucket name generation metageneration size etag"  # noqa: SIM905
    " timeCreated updated timeStorageClassUpdated timeFinalized componentCount owner"
    " md5Hash crc32c".split()
)
# https://cloud.google.com/storage/quotas#objects; UNCONFIRMED: the words.
_MOST_METADATA_BYTES = 8 << 10
_BUCKET_TEXTS = {"location": "location", "storageClass": "storage_class"}
_BUCKET_SERVER_FIELDS = frozenset(
    "kind id selfLink name projectNumber generation metageneration etag"  # noqa: SIM905
    " timeCreated updated owner locationType satisfiesPZS satisfiesPZI iamConfiguration".split()
)


def bucket_resource(bucket: Bucket, base_url: str) -> Json:
    """Build the JSON of a bucket; `base_url` is the address the client used, without a slash."""
    settings = bucket.settings
    resource = {
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": f"{base_url}/storage/v1/b/{bucket.name}",
        "name": bucket.name,
        "metageneration": str(bucket.metageneration),
        "etag": _etag(bucket.metageneration),
        "timeCreated": _time(bucket.time_created),
        "updated": _time(bucket.updated),
        "location": settings.location,
        "locationType": "multi-region" if settings.location in _MULTI_REGIONS else "region",
        "storageClass": settings.storage_class,
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
        # Deleted objects are gone. Beam warns unless the bucket says so.
        "softDeletePolicy": {"retentionDurationSeconds": "0"},
    }
    return resource | ({"labels": dict(settings.labels)} if settings.labels else {})


def layout_resource(bucket: Bucket) -> Json:
    """Build the JSON of a bucket's storage layout."""
    resource = bucket_resource(bucket, "")
    return {
        "kind": "storage#storageLayout",
        "bucket": bucket.name,
        "location": resource["location"],
        "locationType": resource["locationType"],
        "hierarchicalNamespace": {"enabled": False},
    }


def object_resource(stored: StoredObject, base_url: str) -> Json:
    """Build the JSON of an object; `base_url` is the address the client used, without a slash."""
    path = f"storage/v1/b/{stored.bucket}/o/{quote(stored.name, safe='')}"
    created = _time(stored.time_created)
    resource = {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "selfLink": f"{base_url}/{path}",
        "mediaLink": f"{base_url}/download/{path}?generation={stored.generation}&alt=media",
        "bucket": stored.bucket,
        "name": stored.name,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "size": str(stored.size),
        "md5Hash": stored.md5_hash,
        "crc32c": stored.crc32c,
        "componentCount": stored.component_count,
        "etag": object_etag(stored),
        "timeCreated": created,
        "updated": _time(stored.updated),
        "timeStorageClassUpdated": created,
        "timeFinalized": created,
        "metadata": dict(stored.metadata) or None,
        **{name: getattr(stored.settings, field) for name, field in _OBJECT_TEXTS.items()},
    }
    return {name: value for name, value in resource.items() if value is not None}


def object_etag(stored: StoredObject) -> str:
    """Return the entity tag of an object's generation and metageneration."""
    return _etag(stored.generation, stored.metageneration)


def change_bucket(settings: BucketSettings, resource: Json) -> BucketSettings:
    """Apply a Bucket resource sent by a client to settings, as PATCH does.

    Raises:
        InvalidRequest, NotImplementedHere: naming the field.
    """
    changes: Json = {}
    for name, value in _object("Bucket", resource).items():
        if name in _BUCKET_TEXTS:
            changes[_BUCKET_TEXTS[name]] = value and _text(f"Bucket.{name}", value).upper()
        elif name == "labels":
            changes["labels"] = _merge_texts("Bucket.labels", settings.labels, value)
            if problem := find_label_problem(changes["labels"]):
                raise InvalidRequest(f"Invalid value for Bucket.labels: {problem}")
        elif name == "softDeletePolicy":
            if _retention_sec(value):
                raise NotImplementedHere("Bucket.softDeletePolicy.retentionDurationSeconds")
        elif name not in _BUCKET_SERVER_FIELDS and not _asks_for_nothing(value):
            raise NotImplementedHere(f"Bucket.{name}")
    return _changed(settings, changes)


def change_object(settings: ObjectSettings, resource: Json) -> ObjectSettings:
    """Apply an Object resource sent by a client to settings, as PATCH does.

    Raises:
        InvalidRequest, NotImplementedHere: naming the field.
    """
    changes: Json = {}
    for name, value in _object("Object", resource).items():
        if name in _OBJECT_TEXTS:
            changes[_OBJECT_TEXTS[name]] = value and _text(f"Object.{name}", value)
        elif name == "metadata":
            changes["metadata"] = _merge_texts("Object.metadata", settings.metadata, value)
            _check_metadata_size(changes["metadata"])
        elif name not in _OBJECT_SERVER_FIELDS and not _asks_for_nothing(value):
            raise NotImplementedHere(f"Object.{name}")
    return _changed(settings, changes)


def _changed(settings: _Settings, changes: Json) -> _Settings:
    """Replace fields of `settings`; None restores the default."""
    defaults = asdict(type(settings)())
    return replace(
        settings,
        **{field: defaults[field] if value is None else value for field, value in changes.items()},
    )


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"Invalid value for {where}: expected a string, got {shorten(value)}")
    return value


def _object(where: str, value: Any) -> Json:
    if not isinstance(value, dict):
        raise InvalidRequest(f"Invalid value for {where}: expected an object, got {shorten(value)}")
    return value


def parse_integer(where: str, value: Any) -> int:
    """Return an int64, which JSON and queries write as text too; raises InvalidRequest."""
    is_text = isinstance(value, str) and _INTEGER.fullmatch(value)
    if type(value) is not int and not is_text:
        raise InvalidRequest(f"Invalid value for {where}: {shorten(value)} is not an integer")
    return int(value)


def _retention_sec(policy: Any) -> int:
    given = _object("Bucket.softDeletePolicy", policy or {}).get("retentionDurationSeconds") or 0
    return parse_integer("Bucket.softDeletePolicy.retentionDurationSeconds", given)


def _merge_texts(where: str, current: Mapping[str, str], change: Any) -> dict[str, str]:
    """Merge a JSON map of strings into another; null deletes a key, a null map all of them."""
    if change is None:
        return {}
    merged = {**current, **_object(where, change)}
    return {key: _text(f"{where}.{key}", v) for key, v in merged.items() if v is not None}


def _check_metadata_size(metadata: Mapping[str, str]) -> None:
    size = sum(len(text.encode()) for pair in metadata.items() for text in pair)
    if size > _MOST_METADATA_BYTES:
        raise InvalidRequest(
            f"The custom metadata has {size} bytes, of which {_MOST_METADATA_BYTES} are allowed."
        )


def _asks_for_nothing(value: Any) -> bool:
    """Return whether a field and all its members are null, false or empty."""
    if isinstance(value, dict):
        return all(_asks_for_nothing(member) for member in value.values())
    return not value


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _etag(*counters: int) -> str:
    return base64.b64encode("/".join(map(str, counters)).encode()).decode()
