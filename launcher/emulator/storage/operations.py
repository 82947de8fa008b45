"""What each method of the API does to the store: one function per method id.

An operation takes a `Call` and returns a JSON resource, or None for an empty 204. Media is handled
elsewhere: see `uploads` and `downloads`.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from launcher.emulator.storage.calls import CONDITIONS, SOURCE_CONDITIONS, Call
from launcher.emulator.storage.errors import InvalidRequest, shorten
from launcher.emulator.storage.records import (
    BucketSettings,
    ListQuery,
    ObjectRef,
    ObjectSettings,
    Preconditions,
)
from launcher.emulator.storage.resources import (
    Json,
    bucket_resource,
    change_bucket,
    change_object,
    layout_resource,
    object_resource,
    parse_integer,
)
from launcher.emulator.storage.store import ObjectStore

_MAX_RESULTS = 1000
_MAX_COMPOSE_SOURCES = 32


def insert_bucket(store: ObjectStore, call: Call) -> Json:
    resource = call.json()
    name = resource.get("name")
    if not isinstance(name, str):
        raise InvalidRequest("Required parameter: name")
    bucket = store.create_bucket(name, change_bucket(BucketSettings(), resource))
    return bucket_resource(bucket, call.base_url)


def get_bucket(store: ObjectStore, call: Call) -> Json:
    bucket = store.get_bucket(call.arguments["bucket"], call.preconditions())
    return bucket_resource(bucket, call.base_url)


def get_storage_layout(store: ObjectStore, call: Call) -> Json:
    return layout_resource(store.get_bucket(call.arguments["bucket"]))


def list_buckets(store: ObjectStore, call: Call) -> Json:
    buckets = store.list_buckets(call.query.get("prefix", ""))
    after = _decode_token(call.query.get("pageToken")) or ""
    rest = [bucket for bucket in buckets if bucket.name > after]
    page = rest[: _limit(call)]
    resource: Json = {"kind": "storage#buckets"}
    if page:
        resource["items"] = [bucket_resource(bucket, call.base_url) for bucket in page]
    if len(rest) > len(page):
        resource["nextPageToken"] = _encode_token(page[-1].name)
    return resource


def patch_bucket(store: ObjectStore, call: Call) -> Json:
    sent = call.json()
    bucket = store.update_bucket(
        call.arguments["bucket"],
        lambda settings: change_bucket(settings, sent),
        call.preconditions(),
    )
    return bucket_resource(bucket, call.base_url)


def delete_bucket(store: ObjectStore, call: Call) -> None:
    store.delete_bucket(call.arguments["bucket"], call.preconditions())


def list_managed_folders(store: ObjectStore, call: Call) -> Json:
    # gcloud requests them in `rm --recursive`. They cannot be created here, so the list is empty.
    store.get_bucket(call.arguments["bucket"])
    return {"kind": "storage#managedFolders"}


def get_object(store: ObjectStore, call: Call) -> Json:
    return object_resource(store.stat(call.object_ref()), call.base_url)


def list_objects(store: ObjectStore, call: Call) -> Json:
    listing = store.list_objects(
        call.arguments["bucket"],
        ListQuery(
            prefix=call.query.get("prefix", ""),
            delimiter=call.query.get("delimiter", ""),
            start_offset=call.query.get("startOffset", ""),
            end_offset=call.query.get("endOffset", ""),
            include_trailing_delimiter=call.flag("includeTrailingDelimiter"),
            match_glob=call.query.get("matchGlob", ""),
            after=_decode_token(call.query.get("pageToken")),
            limit=_limit(call),
        ),
    )
    resource: Json = {"kind": "storage#objects"}
    if listing.objects:
        resource["items"] = [object_resource(found, call.base_url) for found in listing.objects]
    if listing.prefixes:
        resource["prefixes"] = list(listing.prefixes)
    if listing.next_after is not None:
        resource["nextPageToken"] = _encode_token(listing.next_after)
    return resource


def patch_object(store: ObjectStore, call: Call) -> Json:
    sent = call.json()
    stored = store.update(call.object_ref(), lambda settings: change_object(settings, sent))
    return object_resource(stored, call.base_url)


def update_object(store: ObjectStore, call: Call) -> Json:
    settings = change_object(ObjectSettings(), call.json())
    return object_resource(store.update(call.object_ref(), lambda _: settings), call.base_url)


def delete_object(store: ObjectStore, call: Call) -> None:
    store.delete(call.object_ref())


def copy_object(store: ObjectStore, call: Call) -> Json:
    sent = call.json()

    def change(settings: ObjectSettings) -> ObjectSettings:
        # If custom metadata is sent, it replaces the source's; the two are not merged.
        return change_object(
            replace(settings, metadata={}) if "metadata" in sent else settings, sent
        )

    stored = store.copy(call.source_ref(), call.destination_ref(), change)
    return object_resource(stored, call.base_url)


def rewrite_object(store: ObjectStore, call: Call) -> Json:
    resource = copy_object(store, call)
    return {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": resource["size"],
        "objectSize": resource["size"],
        "done": True,
        "resource": resource,
    }


def compose_object(store: ObjectStore, call: Call) -> Json:
    sent = call.json()
    parts = sent.get("sourceObjects") or []
    if not isinstance(parts, list):
        raise InvalidRequest(f"Invalid value for sourceObjects: {shorten(parts)}")
    if not 1 <= len(parts) <= _MAX_COMPOSE_SOURCES:
        raise InvalidRequest(
            f"The number of source components provided ({len(parts)}) is not between 1 and "
            f"{_MAX_COMPOSE_SOURCES}."
        )
    destination = call.destination_ref()
    settings = change_object(ObjectSettings(), sent.get("destination") or {})
    sources = [_compose_source(destination.bucket, part) for part in parts]
    return object_resource(store.compose(sources, destination, settings), call.base_url)


def _compose_source(bucket: str, part: Any) -> ObjectRef:
    conditions = part.get("objectPreconditions") or {} if isinstance(part, dict) else None
    if not isinstance(conditions, dict) or not isinstance(part.get("name"), str):
        raise InvalidRequest(f"Invalid value for sourceObjects: {shorten(part)}")
    match, generation = conditions.get("ifGenerationMatch"), part.get("generation")
    return ObjectRef(
        bucket=bucket,
        name=part["name"],
        generation=None if generation is None else parse_integer("generation", generation),
        preconditions=Preconditions(
            if_generation_match=None if match is None else parse_integer("ifGenerationMatch", match)
        ),
    )


def _limit(call: Call) -> int:
    limit = call.integer("maxResults")
    if limit is not None and limit <= 0:
        raise InvalidRequest(f"Invalid value for maxResults: {limit}; it must be positive")
    return min(limit or _MAX_RESULTS, _MAX_RESULTS)


def _encode_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _decode_token(token: str | None) -> str | None:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode() if token else None
    except ValueError as error:
        raise InvalidRequest(f"Invalid value for pageToken: {shorten(token)}") from error


@dataclass(frozen=True)
class Operation:
    """A method that the server implements, and the query parameters that it honours."""

    run: Callable[[ObjectStore, Call], Json | None]
    honoured: frozenset[str]


_BUCKET_CONDITIONS = frozenset({"ifMetagenerationMatch", "ifMetagenerationNotMatch"})
_LISTING = frozenset({"prefix", "maxResults", "pageToken"})
_SELECTION = CONDITIONS | {"generation"}
_COPYING = CONDITIONS | SOURCE_CONDITIONS | {"sourceGeneration"}

OPERATIONS: Mapping[str, Operation] = {
    "storage.buckets.insert": Operation(insert_bucket, frozenset({"project"})),
    "storage.buckets.get": Operation(get_bucket, _BUCKET_CONDITIONS),
    "storage.buckets.getStorageLayout": Operation(get_storage_layout, frozenset({"prefix"})),
    "storage.buckets.list": Operation(list_buckets, _LISTING | {"project"}),
    "storage.buckets.patch": Operation(patch_bucket, _BUCKET_CONDITIONS),
    "storage.buckets.delete": Operation(delete_bucket, _BUCKET_CONDITIONS),
    "storage.managedFolders.list": Operation(
        list_managed_folders, frozenset({"prefix", "pageSize", "pageToken"})
    ),
    "storage.objects.get": Operation(get_object, _SELECTION),
    "storage.objects.list": Operation(
        list_objects,
        # No bucket has versioning, so all versions are live ones.
        _LISTING
        | {"delimiter", "startOffset", "endOffset", "includeTrailingDelimiter", "versions"}
        | {"matchGlob"},
    ),
    "storage.objects.patch": Operation(patch_object, _SELECTION),
    "storage.objects.update": Operation(update_object, _SELECTION),
    "storage.objects.delete": Operation(delete_object, _SELECTION),
    "storage.objects.copy": Operation(copy_object, _COPYING),
    "storage.objects.rewrite": Operation(rewrite_object, _COPYING),
    "storage.objects.compose": Operation(compose_object, CONDITIONS),
}
