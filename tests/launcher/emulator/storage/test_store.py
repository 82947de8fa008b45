"""The object store by itself: commits, conditions, listings, and what survives a kill."""

import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from launcher.emulator.storage.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    StoreInUse,
)
from launcher.emulator.storage.records import (
    ListQuery,
    ObjectRef,
    ObjectSettings,
    Preconditions,
)
from launcher.emulator.storage.store import ObjectStore


def blob_count(tmp_path: Path) -> int:
    return len(list((tmp_path / "store" / "blobs").iterdir()))


def ref(name: str, generation: int | None = None) -> ObjectRef:
    """Name an object whose live generation must be that one; 0 if there must be no object."""
    preconditions = Preconditions(if_generation_match=generation)
    return ObjectRef(bucket="bkt", name=name, preconditions=preconditions)


def replace_object(store: ObjectStore, generation: int, data: bytes) -> None:
    with store.new_blob() as writer:
        writer.write(data)
        store.commit(writer, ref("a", generation), ObjectSettings())


def test_write_read_stat(store):
    store.create_bucket("bkt")
    written = store.write("bkt", "a", b"hello", content_type="text/plain")
    assert store.read("bkt", "a") == b"hello"
    assert store.stat(ref("a")) == written
    assert (written.size, written.content_type, written.metageneration) == (5, "text/plain", 1)
    # From `gcloud storage hash` of the same five bytes.
    assert (written.md5_hash, written.crc32c) == ("XUFAKrxLKna5cZ2REBfFkg==", "mnG7TA==")


def test_what_is_absent_is_not_found(store):
    with pytest.raises(NotFound, match="The specified bucket does not exist"):
        store.write("bkt", "a", b"")
    with pytest.raises(NotFound, match="The specified bucket does not exist"):
        store.stat(ref("a"))
    store.create_bucket("bkt")
    with pytest.raises(NotFound, match="No such object: bkt/a"):
        store.read("bkt", "a")


def test_buckets(store):
    store.create_bucket("bkt")
    with pytest.raises(Conflict):
        store.create_bucket("bkt")
    store.write("bkt", "a", b"")
    with pytest.raises(Conflict, match="not empty"):
        store.delete_bucket("bkt")
    store.delete(ObjectRef(bucket="bkt", name="a"))
    store.delete_bucket("bkt")
    assert store.list_buckets() == []


def test_overwriting_makes_a_generation_and_drops_the_old_bytes(store, tmp_path):
    store.create_bucket("bkt")
    first = store.write("bkt", "a", b"1")
    second = store.write("bkt", "a", b"2")
    assert second.generation > first.generation
    assert blob_count(tmp_path) == 1
    with pytest.raises(NotFound):
        store.stat(ObjectRef(bucket="bkt", name="a", generation=first.generation))


def test_generations_rise_while_the_clock_stands_still(tmp_path):
    store = ObjectStore(tmp_path / "store", clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    store.create_bucket("bkt")
    generations = [store.write("bkt", f"o{n}", b"").generation for n in range(3)]
    store.close()
    assert generations == sorted(set(generations))


def test_a_refused_write_leaves_no_bytes(store, tmp_path):
    store.create_bucket("bkt")
    replace_object(store, 0, b"1")
    with pytest.raises(PreconditionFailed):
        replace_object(store, 0, b"2")
    with pytest.raises(InvalidRequest):
        store.write("bkt", "a\nb", b"2")
    assert store.read("bkt", "a") == b"1"
    assert blob_count(tmp_path) == 1


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({"if_generation_match": 7}, True),
        ({"if_generation_match": 0}, False),
        ({"if_generation_not_match": 7}, False),
        ({"if_generation_not_match": 0}, True),
        ({"if_metageneration_match": 2}, True),
        ({"if_metageneration_match": 1}, False),
        ({"if_metageneration_not_match": 2}, False),
        ({"if_generation_match": 7, "if_metageneration_match": 1}, False),
    ],
)
def test_preconditions(conditions, holds):
    preconditions = Preconditions(**conditions)
    if holds:
        preconditions.check(generation=7, metageneration=2)
    else:
        with pytest.raises(PreconditionFailed):
            preconditions.check(generation=7, metageneration=2)


def test_one_of_many_racing_writers_wins(store):
    store.create_bucket("bkt")
    generation = store.write("bkt", "a", b"start").generation

    def write(number: int) -> bool:
        try:
            replace_object(store, generation, b"%d" % number)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        wins = list(pool.map(write, range(64)))
    assert wins.count(True) == 1
    assert store.read("bkt", "a") == b"%d" % wins.index(True)


def test_a_copy_shares_bytes_and_outlives_its_source(store, tmp_path):
    store.create_bucket("bkt")
    store.write("bkt", "a", b"bytes", content_type="text/plain")
    source = ObjectRef(bucket="bkt", name="a")
    copied = store.copy(source, ObjectRef(bucket="bkt", name="b"))
    assert copied.content_type == "text/plain"
    assert blob_count(tmp_path) == 1
    store.copy(source, source)
    store.delete(source)
    assert store.read("bkt", "b") == b"bytes"
    store.delete(ObjectRef(bucket="bkt", name="b"))
    assert blob_count(tmp_path) == 0


def test_open_bytes_survive_a_delete(store):
    store.create_bucket("bkt")
    store.write("bkt", "a", b"bytes")
    _, file = store.open(ObjectRef(bucket="bkt", name="a"))
    store.delete(ObjectRef(bucket="bkt", name="a"))
    with file:
        assert file.read() == b"bytes"


def test_compose(store, tmp_path):
    store.create_bucket("bkt")
    parts = [ObjectRef(bucket="bkt", name=f"part{n}") for n in range(3)]
    for number, part in enumerate(parts):
        store.write("bkt", part.name, b"%d" % number)
    whole = store.compose(parts, ObjectRef(bucket="bkt", name="whole"), ObjectSettings())
    assert store.read("bkt", "whole") == b"012"
    assert (whole.component_count, whole.md5_hash) == (3, None)
    before = blob_count(tmp_path)
    with pytest.raises(NotFound):
        store.compose([*parts, ObjectRef(bucket="bkt", name="x")], parts[0], ObjectSettings())
    assert blob_count(tmp_path) == before


def test_update_keeps_the_generation(store):
    store.create_bucket("bkt")
    written = store.write("bkt", "a", b"")
    updated = store.update(
        ObjectRef(bucket="bkt", name="a"),
        lambda settings: replace(settings, metadata={"k": "v"}),
    )
    assert (updated.generation, updated.metageneration) == (written.generation, 2)
    assert store.stat(ref("a")).metadata == {"k": "v"}


def expected_listing(names: list[str], query: ListQuery) -> list[str]:
    """List as the API reference says, without paging: objects and prefixes together."""
    entries = set()
    for name in names:
        if not name.startswith(query.prefix) or name < query.start_offset:
            continue
        if query.end_offset and name >= query.end_offset:
            continue
        rest = name[len(query.prefix) :]
        head, delimiter, _ = rest.partition(query.delimiter) if query.delimiter else (rest, "", "")
        entries.add(query.prefix + head + delimiter)
    return sorted(entries, key=str.encode)


def test_listings_agree_with_the_reference(store):
    random.seed(7)
    store.create_bucket("bkt")
    names = sorted({"".join(random.choices("ab/é😀", k=random.randint(1, 6))) for _ in range(150)})
    for name in names:
        store.write("bkt", name, b"")
    choices = ["", "a", "a/", "b", "/", "é"]
    for _ in range(200):
        query = ListQuery(
            prefix=random.choice(choices),
            delimiter=random.choice(["", "/", "ab", "é"]),
            start_offset=random.choice(choices),
            end_offset=random.choice(choices),
            limit=random.randint(1, 9),
        )
        found: list[str] = []
        page = store.list_objects("bkt", query)
        found += [entry.name for entry in page.objects] + list(page.prefixes)
        while page.next_after is not None:
            assert len(page.objects) + len(page.prefixes) == query.limit
            page = store.list_objects("bkt", replace(query, after=page.next_after))
            found += [entry.name for entry in page.objects] + list(page.prefixes)
        assert sorted(found, key=str.encode) == expected_listing(names, query), query


def test_trailing_delimiter_objects(store):
    store.create_bucket("bkt")
    for name in ("a/", "a/b", "c"):
        store.write("bkt", name, b"")
    query = ListQuery(delimiter="/", include_trailing_delimiter=True)
    page = store.list_objects("bkt", query)
    assert ([entry.name for entry in page.objects], page.prefixes) == (["a/", "c"], ["a/"])


def test_a_folder_has_one_open_store(store, tmp_path):
    with pytest.raises(StoreInUse, match="open elsewhere"):
        ObjectStore(tmp_path / "store")


_WRITE_FOREVER = """
import sys
from pathlib import Path
from launcher.emulator.storage.store import ObjectStore
store = ObjectStore(Path(sys.argv[1]))
store.create_bucket("bkt")
for n in range(10**9):
    store.write("bkt", f"o{n % 50}", b"%d" % n * 1000)
    print(n, flush=True)
"""


def test_acknowledged_writes_survive_a_kill(tmp_path):
    root = tmp_path / "store"
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITE_FOREVER, str(root)], stdout=subprocess.PIPE, text=True
    )
    acknowledged = [int(next(writer.stdout)) for _ in range(300)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
    writer.wait(timeout=10)
    writer.stdout.close()
    (root / "blobs" / "left-behind").write_bytes(b"a blob without a row")

    store = ObjectStore(root)
    last = acknowledged[-1]
    for number in range(last - 48, last + 1):  # last + 1 may have replaced the 50th
        assert store.read("bkt", f"o{number % 50}") == b"%d" % number * 1000
    assert blob_count(tmp_path) == len(store.list_objects("bkt").objects)
    store.write("bkt", "after", b"works")
    store.close()


def test_listing_prefixes_does_not_read_what_they_hold(store):
    store.create_bucket("listed")
    for folder in range(20):
        for number in range(100):
            store.write("listed", f"{folder:02}/{number:03}", b"")
    steps = []
    store._db.set_progress_handler(lambda: steps.append(1), 100)  # of SQLite's virtual machine
    listing = store.list_objects("listed", ListQuery(delimiter="/"))
    assert listing.prefixes == [f"{folder:02}/" for folder in range(20)]
    assert len(steps) < 40


@pytest.mark.parametrize("letter", ["/", "\ud7ff", "\U0010ffff", "é"])
def test_what_comes_behind_a_prefix_is_found(store, letter):
    store.create_bucket("behind")
    names = [f"a{letter}1", f"a{letter}2", f"b{letter}", "c"]
    for name in names:
        store.write("behind", name, b"")
    listing = store.list_objects("behind", ListQuery(delimiter=letter))
    assert sorted(listing.prefixes) == sorted([f"a{letter}", f"b{letter}"])
    assert [found.name for found in listing.objects] == ["c"]
    assert listing.next_after is None


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.txt", ["a.txt"]),
        ("**.txt", ["a.txt", "d/b.txt", "d/e/c.txt"]),
        ("**/*.txt", ["d/b.txt", "d/e/c.txt"]),
        ("d/*", ["d/b.txt", "d/x.csv"]),
        ("d/?.{txt,csv}", ["d/b.txt", "d/x.csv"]),
        ("d/[a-c].*", ["d/b.txt"]),
        ("d/[!a-c].*", ["d/x.csv"]),
        ("a", []),
        ("a\\.txt", ["a.txt"]),
        ("*" * 40 + "!", []),
    ],
)
def test_objects_are_matched_by_a_glob(store, glob, found):
    store.create_bucket("globs")
    for name in ("a.txt", "d/b.txt", "d/e/c.txt", "d/x.csv"):
        store.write("globs", name, b"")
    listing = store.list_objects("globs", ListQuery(match_glob=glob))
    assert [entry.name for entry in listing.objects] == found
    paged = ListQuery(match_glob=glob, limit=1)
    names = []
    while True:
        page = store.list_objects("globs", paged)
        names += [entry.name for entry in page.objects]
        if page.next_after is None:
            break
        paged = replace(paged, after=page.next_after)
    assert names == found


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_bytes_that_are_lost_are_answered_as_lost(store, tmp_path, damage):
    store.create_bucket("lost")
    store.write("lost", "a", b"twelve bytes")
    (blob,) = (tmp_path / "store" / "blobs").iterdir()
    if damage == "missing":
        blob.unlink()
    else:
        blob.write_bytes(b"cut")
    with pytest.raises(NotFound, match="bytes of lost/a are lost"):
        store.read("lost", "a")
    store.delete(ObjectRef(bucket="lost", name="a"))
    assert not store.list_objects("lost").objects
