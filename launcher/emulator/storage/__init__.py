"""A local Cloud Storage: an object store on disk, and JSON API v1 over it.

Mirrors https://cloud.google.com/storage/docs/json_api/v1 for buckets and objects. It has no access
control, no versioning and no encryption keys; what it lacks it refuses with 501 and a name.
"""

from launcher.emulator.storage.app import build_storage_app
from launcher.emulator.storage.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    StorageError,
    StoreInUse,
)
from launcher.emulator.storage.records import Bucket, StoredObject
from launcher.emulator.storage.store import ObjectStore

__all__ = [
    "Bucket",
    "Conflict",
    "InvalidRequest",
    "NotFound",
    "ObjectStore",
    "PreconditionFailed",
    "StorageError",
    "StoreInUse",
    "StoredObject",
    "build_storage_app",
]
