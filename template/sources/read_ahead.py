"""Reads small Cloud Storage files with several requests at a time.

A request takes a few hundredths of a second and little CPU: with one request after another, a
worker spends most of its time waiting. Files elsewhere are read only when they are needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial

from template.sources.streams import GCS

REQUESTS = 8
"""The number of requests in flight in a process; Google's client keeps ten connections."""
MOST_BYTES = 64 << 20
"""Bytes of the files that one split has requested but not used, if there are more than one."""


def read_ahead(
    paths: Sequence[str], sizes: Sequence[int], read: Callable[[str], bytes]
) -> Iterator[Callable[[], bytes]]:
    """Yield a function for each path that returns the contents, or raises what ``read`` raised.

    Args:
        paths: the files, in the order in which they are used.
        sizes: their bytes as they are stored.
        read: reads a file, in any thread.
    """
    if not all(path.startswith(GCS) for path in paths):
        yield from (partial(read, path) for path in paths)
        return
    waiting: deque[Future[bytes]] = deque()
    unused = 0
    asked = 0
    try:
        for size in sizes:
            while asked < len(paths) and len(waiting) < REQUESTS:
                if waiting and unused + sizes[asked] > MOST_BYTES:
                    break
                waiting.append(_threads().submit(read, paths[asked]))
                unused += sizes[asked]
                asked += 1
            yield waiting.popleft().result
            unused -= size
    finally:
        for future in waiting:
            future.cancel()


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads of this process: splits that are read at the same time share them."""
    return ThreadPoolExecutor(REQUESTS, thread_name_prefix="flexpack-read")
