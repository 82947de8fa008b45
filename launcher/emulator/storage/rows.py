"""The tables of the object store, and the translation of their rows into records.

Every function takes the database connection of a transaction that its caller holds.
"""

import json
import sqlite3
from dataclasses import asdict, dataclass
from datetime import datetime

from launcher.emulator.storage import errors
from launcher.emulator.storage.records import (
    Bucket,
    BucketSettings,
    ObjectRef,
    ObjectSettings,
    StoredObject,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, metageneration INTEGER NOT NULL, time_created TEXT NOT NULL,
    updated TEXT NOT NULL, settings TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL,
    metageneration INTEGER NOT NULL, size INTEGER NOT NULL, md5_hash TEXT, crc32c TEXT NOT NULL,
    component_count INTEGER, time_created TEXT NOT NULL, updated TEXT NOT NULL,
    settings TEXT NOT NULL, blob TEXT NOT NULL, PRIMARY KEY (bucket, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS objects_by_blob ON objects (blob);
"""


@dataclass(frozen=True, kw_only=True)
class Content:
    """The columns of an object that describe its bytes."""

    blob: str
    size: int
    md5_hash: str | None
    crc32c: str
    component_count: int | None


def find_bucket(db: sqlite3.Connection, bucket: str) -> Bucket:
    row = db.execute("SELECT * FROM buckets WHERE name = ?", (bucket,)).fetchone()
    if row is None:
        raise errors.no_such_bucket()
    return to_bucket(row)


def select_object(db: sqlite3.Connection, ref: ObjectRef) -> sqlite3.Row | None:
    found: sqlite3.Row | None = db.execute(
        "SELECT * FROM objects WHERE bucket = ? AND name = ?", (ref.bucket, ref.name)
    ).fetchone()
    return found


def find_object(db: sqlite3.Connection, ref: ObjectRef, *, reading: bool = False) -> sqlite3.Row:
    """Return the row that `ref` refers to and permits."""
    row = select_object(db, ref)
    if row is None or ref.generation not in (None, row["generation"]):
        find_bucket(db, ref.bucket)
        raise errors.no_such_object(ref.bucket, ref.name)
    ref.preconditions.check(
        generation=row["generation"], metageneration=row["metageneration"], reading=reading
    )
    return row


def to_json(settings: BucketSettings | ObjectSettings) -> str:
    return json.dumps(asdict(settings))


def to_bucket(row: sqlite3.Row) -> Bucket:
    return Bucket(
        name=row["name"],
        metageneration=row["metageneration"],
        time_created=datetime.fromisoformat(row["time_created"]),
        updated=datetime.fromisoformat(row["updated"]),
        settings=BucketSettings(**json.loads(row["settings"])),
    )


def to_object(row: sqlite3.Row) -> StoredObject:
    return StoredObject(
        bucket=row["bucket"],
        name=row["name"],
        generation=row["generation"],
        metageneration=row["metageneration"],
        size=row["size"],
        md5_hash=row["md5_hash"],
        crc32c=row["crc32c"],
        component_count=row["component_count"],
        time_created=datetime.fromisoformat(row["time_created"]),
        updated=datetime.fromisoformat(row["updated"]),
        settings=ObjectSettings(**json.loads(row["settings"])),
    )
