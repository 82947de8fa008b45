"""Files that are requested before they are needed: how many, in what order, and failures."""

import threading

import pytest

from template.sources.read_ahead import MOST_BYTES, REQUESTS, read_ahead


class Store:
    """Counts the reads in progress; each waits until there are ``together`` of them."""

    def __init__(self, together):
        self.barrier = threading.Barrier(together)
        self.lock = threading.Lock()
        self.asked = []

    def read(self, path):
        with self.lock:
            self.asked.append(path)
        self.barrier.wait(timeout=30)
        if path.endswith("3"):
            raise ValueError(path)
        return path.encode()


def test_files_come_in_order_with_several_requests_in_flight():
    paths = [f"gs://b/{number}" for number in range(4 * REQUESTS)]
    store = Store(REQUESTS)  # nothing would arrive if fewer were read at a time
    files = read_ahead(paths, [1] * len(paths), store.read)
    for path, read in zip(paths, files, strict=True):
        if path.endswith("3"):
            with pytest.raises(ValueError, match=path):
                read()
        else:
            assert read() == path.encode()


def test_no_more_is_asked_for_than_may_be_held():
    paths = [f"gs://b/{number}" for number in range(6)]
    sizes = [MOST_BYTES // 2 + 1, MOST_BYTES * 9, 10, 10, MOST_BYTES, 10]
    store = Store(1)
    asked = []
    for path, read in zip(paths, read_ahead(paths, sizes, store.read), strict=True):
        if not path.endswith("3"):
            read()
        asked.append(len(store.asked))
    assert asked[0] == 1  # the second alone is more than may be held
    assert asked[-1] == len(paths)


def test_what_is_not_used_is_not_asked_for():
    paths = [f"gs://b/{number}0" for number in range(1000)]
    store = Store(1)
    files = read_ahead(paths, [1] * len(paths), store.read)
    next(files)()
    files.close()
    assert len(store.asked) <= REQUESTS + 1


def test_files_elsewhere_are_read_when_they_are_needed():
    store = Store(1)
    paths = [f"/data/{number}" for number in range(3)]
    files = read_ahead(paths, [1] * 3, store.read)
    assert next(files)() == b"/data/0"
    assert store.asked == ["/data/0"]
