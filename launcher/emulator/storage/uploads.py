"""The common parts of every upload: the object to make, writing bytes to disk, the commit.

Mirrors https://cloud.google.com/storage/docs/uploads-downloads. Media goes to disk in pieces, never
through memory as a whole.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from launcher.emulator.storage.blobs import BlobWriter
from launcher.emulator.storage.calls import CONDITIONS, Call
from launcher.emulator.storage.errors import NotImplementedHere, checksum_mismatch
from launcher.emulator.storage.names import check_object_name
from launcher.emulator.storage.records import ObjectRef, ObjectSettings, StoredObject
from launcher.emulator.storage.resources import Json, change_object, parse_integer
from launcher.emulator.storage.store import ObjectStore

_PIECE_BYTES = 1 << 20
_SIZE_HEADER = "x-upload-content-length"
_HONOURED = CONDITIONS | {"name", "contentEncoding"}


@dataclass(frozen=True, kw_only=True)
class UploadPlan:
    """What an upload makes, known before its media.

    Attributes:
        checksums: what the client says about the media: md5, crc32c, both or none, in base64.
        size: the media's size, if a resumable upload states it at its beginning.
    """

    ref: ObjectRef
    settings: ObjectSettings
    checksums: Mapping[str, str]
    size: int | None = None


def build_upload_plan(
    call: Call, resource: Json, media_type: str | None, headers: Mapping[str, str]
) -> UploadPlan:
    """Combine the parameters, the Object resource and the media type of an upload.

    Raises:
        InvalidRequest: there is no valid object name, or a field has a wrong value.
        NotImplementedHere: a parameter, field or header would have no effect.
    """
    call.check_parameters(_HONOURED)
    if headers.get("content-encoding") not in (None, "identity"):
        raise NotImplementedHere("An upload request with Content-Encoding")
    name = call.query.get("name") or resource.get("name") or ""
    check_object_name(name)
    implied = {"contentType": media_type, "contentEncoding": call.query.get("contentEncoding")}
    fields = {field: value for field, value in implied.items() if value is not None} | resource
    size = headers.get(_SIZE_HEADER)
    sent = {"md5": resource.get("md5Hash"), "crc32c": resource.get("crc32c")}
    return UploadPlan(
        ref=ObjectRef(
            bucket=call.arguments["bucket"], name=name, preconditions=call.preconditions()
        ),
        settings=change_object(ObjectSettings(), fields),
        checksums={k: v for k, v in sent.items() if v is not None} | parse_hashes(headers),
        size=None if size is None else parse_integer(_SIZE_HEADER, size),
    )


def parse_hashes(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the checksums of an X-Goog-Hash header, by algorithm."""
    pairs = (part.strip().partition("=") for part in headers.get("x-goog-hash", "").split(","))
    return {algorithm: value for algorithm, _, value in pairs if value}


def commit_upload(store: ObjectStore, writer: BlobWriter, plan: UploadPlan) -> StoredObject:
    """Check the checksums that the client gave, and commit."""
    calculated = {"md5": ("MD5 hash", writer.md5_hash), "crc32c": ("CRC32C", writer.crc32c)}
    for algorithm, (words, value) in calculated.items():
        provided = plan.checksums.get(algorithm, value)
        if provided != value:
            raise checksum_mismatch(words, provided, value)
    return store.commit(writer, plan.ref, plan.settings)


async def drain(chunks: AsyncIterator[bytes], write: Callable[[bytes], None]) -> None:
    """Feed a request body to a blocking `write` in a worker thread, in large pieces."""
    piece = bytearray()
    async for chunk in chunks:
        piece += chunk
        if len(piece) >= _PIECE_BYTES:
            await run_in_threadpool(write, bytes(piece))
            piece.clear()
    if piece:
        await run_in_threadpool(write, bytes(piece))
