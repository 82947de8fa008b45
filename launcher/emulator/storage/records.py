"""The records that the store keeps and hands out: buckets, objects, conditions, listings.

They know nothing of HTTP or JSON; `resources` translates them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from launcher.emulator.storage.errors import NotModified, PreconditionFailed


@dataclass(frozen=True, kw_only=True)
class BucketSettings:
    """What a client may choose about a bucket."""

    location: str = "US"
    storage_class: str = "STANDARD"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One bucket."""

    name: str
    metageneration: int
    time_created: datetime
    updated: datetime
    settings: BucketSettings


@dataclass(frozen=True, kw_only=True)
class ObjectSettings:
    """What a client may choose about an object, besides its bytes."""

    content_type: str = "application/octet-stream"
    storage_class: str = "STANDARD"
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    custom_time: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """One live object generation.

    Attributes:
        size: bytes.
        md5_hash: base64; None for a composed object, as in the service.
        crc32c: base64 of the big-endian CRC32C.
        component_count: number of objects it was composed of; None for any other object.
    """

    bucket: str
    name: str
    generation: int
    metageneration: int
    size: int
    md5_hash: str | None
    crc32c: str
    component_count: int | None
    time_created: datetime
    updated: datetime
    settings: ObjectSettings

    @property
    def content_type(self) -> str:
        return self.settings.content_type

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.settings.metadata


@dataclass(frozen=True, kw_only=True)
class Preconditions:
    """The `if...Match` parameters of a request; an absent object has generation 0.

    Mirrors https://cloud.google.com/storage/docs/request-preconditions
    """

    if_generation_match: int | None = None
    if_generation_not_match: int | None = None
    if_metageneration_match: int | None = None
    if_metageneration_not_match: int | None = None

    def check(self, *, generation: int = 0, metageneration: int = 0, reading: bool = False) -> None:
        """Raise unless all hold for this state: PreconditionFailed, or NotModified for a read."""
        if self.if_generation_match not in (None, generation):
            raise PreconditionFailed
        if self.if_metageneration_match not in (None, metageneration):
            raise PreconditionFailed
        if self.if_generation_not_match == generation or (
            metageneration and self.if_metageneration_not_match == metageneration
        ):
            raise NotModified if reading else PreconditionFailed


@dataclass(frozen=True, kw_only=True)
class ObjectRef:
    """Names an object and the conditions for its use.

    Attributes:
        generation: the required generation; None for the live one.
    """

    bucket: str
    name: str
    generation: int | None = None
    preconditions: Preconditions = Preconditions()


@dataclass(frozen=True, kw_only=True)
class ListQuery:
    """Which part of a bucket to list; names compare as UTF-8 bytes, as the service does.

    Attributes:
        start_offset, end_offset: names from the first (inclusive) to the second (exclusive).
        match_glob: only objects and prefixes that match it as a whole.
        after: the last name or prefix of the page before this one.
        limit: largest number of objects and prefixes together.
    """

    prefix: str = ""
    delimiter: str = ""
    start_offset: str = ""
    end_offset: str = ""
    include_trailing_delimiter: bool = False
    match_glob: str = ""
    after: str | None = None
    limit: int = 1000


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One page of a bucket; `next_after` is None on the last one."""

    objects: Sequence[StoredObject]
    prefixes: Sequence[str]
    next_after: str | None
