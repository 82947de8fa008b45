"""Buckets and objects on disk: one SQLite database of names, one folder of blobs.

The row of an object is its commit point: a writer fills a blob first and commits the row last, and
a blob is deleted only after no row names it. A process that is killed at any moment leaves either
the old or the new generation, and blobs without a row, which the next open sweeps. Nothing is
fsynced: a power failure may lose the last writes.

Every method blocks on the disk, may be called from any thread, and is atomic with respect to all
others: preconditions are checked under the same lock under which the row is written.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from launcher.emulator.storage import errors, rows
from launcher.emulator.storage.blobs import BlobWriter
from launcher.emulator.storage.globs import compile_glob
from launcher.emulator.storage.listing import find_entries
from launcher.emulator.storage.names import check_bucket_name, check_object_name
from launcher.emulator.storage.records import (
    Bucket,
    BucketSettings,
    Listing,
    ListQuery,
    ObjectRef,
    ObjectSettings,
    Preconditions,
    StoredObject,
)

_COPY_PIECE_BYTES = 1 << 20
_DEFAULTS = BucketSettings()
_UNCONDITIONAL = Preconditions()
_WHOLE_BUCKET = ListQuery()


class ObjectStore:
    """An object store in the folder `root`, which it creates; only one per folder may be open.

    Raises:
        StoreInUse: it is open elsewhere, in this process or another.
    """

    def __init__(
        self, root: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        self._blobs = root / "blobs"
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._replaced: list[str] = []
        self._db = sqlite3.connect(root / "objects.sqlite3", timeout=1, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        try:
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(rows.SCHEMA)
        except sqlite3.OperationalError as error:
            self._db.close()
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            raise errors.StoreInUse(
                f"{root}: this object store is open elsewhere; "
                "stop the emulator that uses it, or choose another folder"
            ) from error
        kept = self._db.execute("SELECT blob, generation FROM objects").fetchall()
        self._last_generation = max((row["generation"] for row in kept), default=0)
        live = {row["blob"] for row in kept}
        for path in self._blobs.iterdir():
            if path.name not in live:
                path.unlink()

    def close(self) -> None:
        """Close the database; a killed process need not."""
        with self._lock:
            self._db.close()

    # Buckets

    def create_bucket(self, bucket: str, settings: BucketSettings = _DEFAULTS) -> Bucket:
        """Create a bucket.

        Raises:
            InvalidRequest: its name breaks the naming rules.
            Conflict: it exists.
        """
        check_bucket_name(bucket)
        now = self._clock().isoformat()
        with self._transaction() as db:
            try:
                db.execute(
                    "INSERT INTO buckets VALUES (?, 1, ?, ?, ?)",
                    (bucket, now, now, rows.to_json(settings)),
                )
            except sqlite3.IntegrityError as error:
                raise errors.bucket_exists() from error
            return rows.find_bucket(db, bucket)

    def get_bucket(self, bucket: str, preconditions: Preconditions = _UNCONDITIONAL) -> Bucket:
        """Return a bucket; raises NotFound."""
        with self._transaction() as db:
            found = rows.find_bucket(db, bucket)
        preconditions.check(metageneration=found.metageneration, reading=True)
        return found

    def list_buckets(self, prefix: str = "") -> list[Bucket]:
        """Return the buckets whose name begins with `prefix`, in order of name."""
        with self._transaction() as db:
            found = db.execute("SELECT * FROM buckets ORDER BY name").fetchall()
        return [rows.to_bucket(row) for row in found if row["name"].startswith(prefix)]

    def update_bucket(
        self,
        bucket: str,
        change: Callable[[BucketSettings], BucketSettings],
        preconditions: Preconditions = _UNCONDITIONAL,
    ) -> Bucket:
        """Replace a bucket's settings by the result of `change`; raises NotFound."""
        with self._transaction() as db:
            found = rows.find_bucket(db, bucket)
            preconditions.check(metageneration=found.metageneration)
            db.execute(
                "UPDATE buckets SET settings = ?, metageneration = metageneration + 1, updated = ?"
                " WHERE name = ?",
                (rows.to_json(change(found.settings)), self._clock().isoformat(), bucket),
            )
            return rows.find_bucket(db, bucket)

    def delete_bucket(self, bucket: str, preconditions: Preconditions = _UNCONDITIONAL) -> None:
        """Delete an empty bucket; raises NotFound, or Conflict when it holds objects."""
        with self._transaction() as db:
            found = rows.find_bucket(db, bucket)
            preconditions.check(metageneration=found.metageneration)
            if db.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (bucket,)).fetchone():
                raise errors.bucket_not_empty()
            db.execute("DELETE FROM buckets WHERE name = ?", (bucket,))

    # Objects, for callers in this process

    def read(self, bucket: str, name: str) -> bytes:
        """Return the bytes of an object; raises NotFound."""
        _, file = self.open(ObjectRef(bucket=bucket, name=name))
        with file:
            return file.read()

    def write(
        self,
        bucket: str,
        name: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
    ) -> StoredObject:
        """Store `data` as the new generation of an object; raises NotFound."""
        ref = ObjectRef(bucket=bucket, name=name)
        with self.new_blob() as writer:
            writer.write(data)
            return self.commit(writer, ref, ObjectSettings(content_type=content_type))

    # Objects

    def stat(self, ref: ObjectRef) -> StoredObject:
        """Return an object; raises NotFound, PreconditionFailed or NotModified."""
        with self._transaction() as db:
            return rows.to_object(rows.find_object(db, ref, reading=True))

    def open(self, ref: ObjectRef) -> tuple[StoredObject, BinaryIO]:
        """Return an object and its bytes, which stay readable even if the object is deleted.

        Raises:
            NotFound, PreconditionFailed, NotModified; NotFound also if its bytes are lost.
        """
        with self._transaction() as db:
            row = rows.find_object(db, ref, reading=True)
            try:
                file = (self._blobs / row["blob"]).open("rb", buffering=0)
            except FileNotFoundError as error:
                raise errors.lost_object(ref.bucket, ref.name) from error
        if os.fstat(file.fileno()).st_size < row["size"]:
            file.close()
            raise errors.lost_object(ref.bucket, ref.name)
        return rows.to_object(row), file

    def new_blob(self) -> BlobWriter:
        """Begin the bytes of an object, for `commit`."""
        return BlobWriter(self._blobs)

    def commit(
        self,
        writer: BlobWriter,
        ref: ObjectRef,
        settings: ObjectSettings,
        *,
        component_count: int | None = None,
    ) -> StoredObject:
        """Make what was written the live generation of an object; on an error discard it yourself.

        Raises:
            InvalidRequest: the object's name breaks the naming rules.
            NotFound: the bucket does not exist.
            PreconditionFailed: checked now, against the generation that would be replaced.
        """
        content = rows.Content(
            blob=writer.blob_id,
            size=writer.size,
            md5_hash=writer.md5_hash if component_count is None else None,
            crc32c=writer.crc32c,
            component_count=component_count,
        )
        with self._transaction() as db:
            return self._put(db, ref, settings, content)

    def copy(
        self,
        source: ObjectRef,
        destination: ObjectRef,
        change: Callable[[ObjectSettings], ObjectSettings] = lambda settings: settings,
    ) -> StoredObject:
        """Make `destination` an object with the bytes of `source`, without copying them.

        Raises:
            InvalidRequest, NotFound, PreconditionFailed: as for `stat` and `commit`.
        """
        with self._transaction() as db:
            row = rows.find_object(db, source)
            content = rows.Content(
                blob=row["blob"],
                size=row["size"],
                md5_hash=row["md5_hash"],
                crc32c=row["crc32c"],
                component_count=row["component_count"],
            )
            return self._put(db, destination, change(rows.to_object(row).settings), content)

    def compose(
        self, sources: Sequence[ObjectRef], destination: ObjectRef, settings: ObjectSettings
    ) -> StoredObject:
        """Make `destination` the concatenation of `sources`; raises as `copy`.

        Each source is read in its current state; only the commit is atomic.
        """
        count = 0
        with self.new_blob() as writer:
            for source in sources:
                part, file = self.open(source)
                with file:
                    while piece := file.read(_COPY_PIECE_BYTES):
                        writer.write(piece)
                count += part.component_count or 1
            return self.commit(writer, destination, settings, component_count=count)

    def update(
        self, ref: ObjectRef, change: Callable[[ObjectSettings], ObjectSettings]
    ) -> StoredObject:
        """Replace an object's settings by the result of `change`; its generation stays.

        Raises:
            NotFound, PreconditionFailed.
        """
        with self._transaction() as db:
            settings = change(rows.to_object(rows.find_object(db, ref)).settings)
            db.execute(
                "UPDATE objects SET settings = ?, metageneration = metageneration + 1, updated = ?"
                " WHERE bucket = ? AND name = ?",
                (rows.to_json(settings), self._clock().isoformat(), ref.bucket, ref.name),
            )
            return rows.to_object(rows.find_object(db, ObjectRef(bucket=ref.bucket, name=ref.name)))

    def delete(self, ref: ObjectRef) -> None:
        """Delete an object for good; raises NotFound or PreconditionFailed."""
        with self._transaction() as db:
            row = rows.find_object(db, ref)
            db.execute("DELETE FROM objects WHERE bucket = ? AND name = ?", (ref.bucket, ref.name))
            self._replaced.append(row["blob"])

    def list_objects(self, bucket: str, query: ListQuery = _WHOLE_BUCKET) -> Listing:
        """Return one page of a bucket, in order of name; raises NotFound."""
        objects: list[StoredObject] = []
        prefixes: list[str] = []
        last = query.after
        glob = compile_glob(query.match_glob) if query.match_glob else None
        with self._transaction() as db:
            rows.find_bucket(db, bucket)
            for row, prefix in find_entries(db, bucket, query):
                name = row["name"]
                entry = prefix or name
                if last is not None and entry <= last:  # on an earlier page
                    continue
                if glob is not None and not glob.fullmatch(entry):
                    continue
                if len(objects) + len(prefixes) >= query.limit:
                    return Listing(objects=objects, prefixes=prefixes, next_after=last)
                last = entry
                if prefix:
                    prefixes.append(prefix)
                if not prefix or (query.include_trailing_delimiter and name == prefix):
                    objects.append(rows.to_object(row))
        return Listing(objects=objects, prefixes=prefixes, next_after=None)

    def find_objects(self, part: str) -> list[tuple[str, str]]:
        """Return bucket and name of every object whose name contains a text; reads all names."""
        with self._transaction() as db:
            found = db.execute(
                "SELECT bucket, name FROM objects WHERE instr(name, ?)", (part,)
            ).fetchall()
        return [(row["bucket"], row["name"]) for row in found]

    # Inside a transaction

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the lock; commit at the end, or roll back on an error.

        Blobs that the commit left without a row are deleted after the commit, never before.
        """
        with self._lock:
            self._replaced.clear()
            with self._db:
                yield self._db
            for blob in self._replaced:
                if not self._db.execute("SELECT 1 FROM objects WHERE blob = ?", (blob,)).fetchone():
                    (self._blobs / blob).unlink(missing_ok=True)

    def _put(
        self,
        db: sqlite3.Connection,
        ref: ObjectRef,
        settings: ObjectSettings,
        content: rows.Content,
    ) -> StoredObject:
        check_object_name(ref.name)
        rows.find_bucket(db, ref.bucket)
        old = rows.select_object(db, ref)
        if old is None:
            ref.preconditions.check()
        else:
            ref.preconditions.check(
                generation=old["generation"], metageneration=old["metageneration"]
            )
            self._replaced.append(old["blob"])
        now = self._clock()
        self._last_generation = max(self._last_generation + 1, int(now.timestamp() * 1_000_000))
        row = {
            **asdict(content),
            "bucket": ref.bucket,
            "name": ref.name,
            "generation": self._last_generation,
            "time": now.isoformat(),
            "settings": rows.to_json(settings),
        }
        db.execute(
            "INSERT OR REPLACE INTO objects VALUES (:bucket, :name, :generation, 1, :size,"
            " :md5_hash, :crc32c, :component_count, :time, :time, :settings, :blob)",
            row,
        )
        return rows.to_object(rows.find_object(db, ObjectRef(bucket=ref.bucket, name=ref.name)))
