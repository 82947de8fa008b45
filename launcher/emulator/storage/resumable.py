"""Resumable uploads: sessions that take an object's media in chunks.

Mirrors https://cloud.google.com/storage/docs/performing-resumable-uploads. Sessions are kept in
memory: a client whose session ended with a restart gets 404 and begins again, as does one that was
silent for a day (the service waits a week).
"""

import asyncio
import re
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from starlette.concurrency import run_in_threadpool

from launcher.emulator.storage.blobs import BlobWriter
from launcher.emulator.storage.errors import Conflict, InvalidRequest, NotFound, shorten
from launcher.emulator.storage.records import StoredObject
from launcher.emulator.storage.store import ObjectStore
from launcher.emulator.storage.uploads import UploadPlan, commit_upload, drain

MIN_CHUNK_BYTES = 256 << 10
_MAX_FINISHED_SESSIONS = 1000
_EXPIRY_SEC = 24 * 60 * 60
_CONTENT_RANGE = re.compile(r"bytes (?:\*|([0-9]{1,19})-([0-9]{1,19}))/(?:\*|([0-9]{1,19}))")


@dataclass
class UploadSession:
    """A resumable upload under way.

    Attributes:
        total: the size of the object, once a client has said it.
        stored: the object once it is complete.
        superseded: belongs to the latest request; set when another one arrives.
    """

    plan: UploadPlan
    writer: BlobWriter
    upload_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    total: int | None = None
    stored: StoredObject | None = None
    superseded: asyncio.Event = field(default_factory=asyncio.Event)
    used: float = 0.0


class UploadSessions:
    """The resumable uploads of one server."""

    def __init__(self, store: ObjectStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._open: dict[str, UploadSession] = {}
        self._finished: dict[str, UploadSession] = {}

    def start(self, plan: UploadPlan) -> UploadSession:
        """Begin an upload; raises NotFound when the bucket does not exist. Blocks on the disk."""
        self._store.get_bucket(plan.ref.bucket)
        self._expire()
        writer = self._store.new_blob()
        session = UploadSession(plan, writer, total=plan.size, used=self._clock())
        self._open[session.upload_id] = session
        return session

    def _expire(self) -> None:
        """Forget the uploads that their clients have abandoned, and their media."""
        oldest = self._clock() - _EXPIRY_SEC
        for upload_id, session in list(self._open.items()):
            if session.used < oldest and not session.lock.locked():
                self._open.pop(upload_id, None)
                session.writer.discard()

    def find(self, upload_id: str) -> UploadSession:
        """Return an upload that is under way or was finished lately; raises NotFound."""
        session = self._open.get(upload_id) or self._finished.get(upload_id)
        if session is None:
            raise NotFound("No such resumable upload; it was cancelled, or the server restarted.")
        return session

    async def cancel(self, upload_id: str) -> None:
        """Forget an upload and its media; raises NotFound."""
        async with self.find(upload_id).lock:
            session = self.find(upload_id)
            self._open.pop(upload_id, None)
            self._finished.pop(upload_id, None)
            if session.stored is None:
                session.writer.discard()

    async def receive(
        self,
        upload_id: str,
        content_range: str | None,
        body: AsyncIterator[bytes],
        checksums: Mapping[str, str],
    ) -> StoredObject | int:
        """Take one PUT of an upload: a chunk, the last chunk, or a status query.

        Bytes that are on disk stay, even if the client disconnects in the middle of a chunk. If
        there are two requests for one upload, the later one counts, because its sender has given
        up on the first.

        Args:
            content_range: the Content-Range header; without one the body is the whole object.
            checksums: of the whole object, if this request names them.

        Returns:
            The object when the upload is complete, else how many bytes were received so far.

        Raises:
            InvalidRequest: the chunk does not continue what was received, is too small, or does
                not have the size that it or an earlier request states.
            Conflict: another request has taken over.
            NotFound: there is no such upload.
            NotFound, PreconditionFailed: as for `ObjectStore.commit`; the upload is then over.
        """
        first, last, total = _parse_content_range(content_range or "bytes */*")
        if content_range is None:
            first = 0
        session, superseded = self.find(upload_id), asyncio.Event()
        session.superseded.set()
        session.superseded = superseded
        async with session.lock:
            session = self.find(upload_id)  # the upload may have ended while this request waited
            session.used = self._clock()
            if session.stored is not None:
                return session.stored
            if superseded.is_set():
                raise _superseded()
            writer = session.writer
            total = _agree(session.total, total)
            if first is not None:
                _check_chunk(first, last, total, received=writer.size)
                end = total if last is None else last + 1
                piece = _skip(_until(superseded, body), writer.size - first)
                limit = None if end is None else max(0, end - writer.size)
                async with aclosing(_limit(piece, limit)) as media:
                    await drain(media, writer.write)
            session.total = total
            if content_range is None:
                total = _agree(total, writer.size)
            if total is None or writer.size < total:
                return writer.size
            if writer.size > total:  # The client has only now said how many there are.
                raise InvalidRequest(f"Got {writer.size} bytes of an upload of {total} bytes.")
            del self._open[upload_id]
            plan = replace(session.plan, checksums={**session.plan.checksums, **checksums})
            with writer:
                session.stored = await run_in_threadpool(commit_upload, self._store, writer, plan)
            self._finished[upload_id] = session
            if len(self._finished) > _MAX_FINISHED_SESSIONS:
                del self._finished[next(iter(self._finished))]
            return session.stored


def _parse_content_range(header: str) -> tuple[int | None, int | None, int | None]:
    """Return first and last byte, and total size, each None if it is `*`."""
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        raise InvalidRequest(f"Invalid Content-Range: {shorten(header)}")
    first, last, total = (None if text is None else int(text) for text in match.groups())
    if last is not None and ((first or 0) > last or (total is not None and last >= total)):
        raise InvalidRequest(f"Invalid Content-Range: {shorten(header)}")
    return first, last, total


def _agree(before: int | None, now: int | None) -> int | None:
    """Return the size of an upload; raises InvalidRequest when two requests name different ones."""
    if before is not None and now is not None and before != now:
        raise InvalidRequest(f"The upload has {before} bytes, as stated before, not {now}.")
    return now if before is None else before


def _check_chunk(first: int, last: int | None, total: int | None, *, received: int) -> None:
    if first > received:
        raise InvalidRequest(
            f"The chunk begins at byte {first}, of which {received} were received."
        )
    if last is None or last + 1 == total:
        return
    size = last - first + 1
    if size < MIN_CHUNK_BYTES:
        raise InvalidRequest(
            "Invalid request. The number of bytes uploaded is required to be equal or greater than "
            f"{MIN_CHUNK_BYTES}, except for the final request (it's recommended to be the exact "
            f"multiple of {MIN_CHUNK_BYTES}). The received request contained {size} bytes, which "
            "does not meet this requirement."
        )


def _superseded() -> Conflict:
    return Conflict("Another request continues this upload.")


async def _until(
    superseded: asyncio.Event, chunks: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    """Pass on chunks; raises Conflict once another request has taken over, even while it waits."""

    async def take() -> bytes | None:
        return await anext(chunks, None)

    ends = asyncio.ensure_future(superseded.wait())
    try:
        while True:
            chunk = asyncio.ensure_future(take())
            await asyncio.wait({chunk, ends}, return_when=asyncio.FIRST_COMPLETED)
            if not chunk.done():
                chunk.cancel()
                await asyncio.wait({chunk})
                raise _superseded()
            content = chunk.result()
            if content is None:
                return
            yield content
    finally:
        ends.cancel()


async def _limit(chunks: AsyncIterator[bytes], count: int | None) -> AsyncGenerator[bytes, None]:
    """Pass on `count` bytes; raises InvalidRequest if there are more. None means no limit."""
    async for chunk in chunks:
        if count is not None and len(chunk) > count:
            yield chunk[:count]
            raise InvalidRequest("The request has more bytes than its Content-Range says.")
        yield chunk
        count = None if count is None else count - len(chunk)


async def _skip(chunks: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    """Pass on all but the first `count` bytes, which were received before."""
    async for chunk in chunks:
        dropped = min(count, len(chunk))
        count -= dropped
        yield chunk[dropped:]
