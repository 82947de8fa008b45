"""Deletes old finished jobs.

A deleted job's messages and metrics, the folder of its run, and the files that Beam and the
launcher staged for it in Cloud Storage are deleted too. Its own output stays.

POST {"keepJobs": 0} to the route deletes all finished jobs.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from launcher.emulator.runtime.staging import pipeline_options, split_gs_url
from launcher.emulator.service import errors
from launcher.emulator.service.bodies import read_json
from launcher.emulator.service.job_records import JobRecord
from launcher.emulator.service.job_store import JobStore
from launcher.emulator.storage.errors import NotFound
from launcher.emulator.storage.records import ListQuery, ObjectRef
from launcher.emulator.storage.store import ObjectStore

_LOG = logging.getLogger(__name__)

DEFAULT_KEEP_JOBS = 1000
"""The number of finished jobs kept; a small one takes a quarter of a megabyte."""

_LAUNCHES = "/template_launches/"
_LAUNCH = re.compile(rf"{_LAUNCHES}([^/]+)/")
# What Beam's file sinks leave behind after a failed run.
_SINK_TEMP = "beam-temp-"
_LEFTOVER_AGE = timedelta(hours=1)
_LEFT_BY_SINK = re.compile(rf"(^|/){_SINK_TEMP}[^/]+-[0-9a-f]{{32}}/")


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """How many finished jobs and objects in Cloud Storage were deleted."""

    jobs: int
    objects: int


class Retention:
    """Deletes finished jobs; thread-safe.

    Args:
        runs_dir: holds a folder for every job that was run.
        running: returns the jobs that have a process, which are not deleted.
        forget: called with the deleted jobs.
    """

    def __init__(
        self,
        *,
        jobs: JobStore,
        store: ObjectStore,
        runs_dir: Path,
        running: Callable[[], Collection[str]] = frozenset,
        forget: Callable[[Collection[str]], None] = lambda job_ids: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._jobs = jobs
        self._store = store
        self._runs_dir = runs_dir
        self._running = running
        self._forget = forget
        self._clock = clock

    def prune(self, keep_jobs: int, *, with_leftovers: bool = False) -> Pruned:
        """Delete all finished jobs except the last to end; blocks on the disk.

        Args:
            with_leftovers: if no job runs, also delete what the sinks of failed runs have left,
            except the last hour's: a pipeline elsewhere may still write it.
        """
        running = self._running()
        finished = self._jobs.list_finished(after=keep_jobs)
        doomed = [record for record in finished if record.id not in running]
        objects = self._delete_objects(doomed) if doomed else 0
        if with_leftovers and not running:
            objects += self._delete(self._find_leftovers())
        for record in doomed:
            shutil.rmtree(self._runs_dir / record.id, ignore_errors=True)
        ids = [record.id for record in doomed]
        self._jobs.delete(ids)
        self._forget(ids)
        return Pruned(jobs=len(doomed), objects=objects)

    def _delete_objects(self, records: Sequence[JobRecord]) -> int:
        ids = {record.id for record in records}
        found = [
            (bucket, name)
            for bucket, name in self._store.find_objects(_LAUNCHES)
            if (match := _LAUNCH.search(f"/{name}")) and match[1] in ids
        ]
        for record in records:
            found += self._find_staged(record)
        return self._delete(found)

    def _find_staged(self, record: JobRecord) -> Sequence[tuple[str, str]]:
        """Return the objects in the folder that Beam made only for this job."""
        url = pipeline_options(record.document).get("pipelineUrl")
        try:
            bucket, name = split_gs_url(str(url))
        except ValueError:
            return []
        folder = name.rpartition("/")[0]
        if not folder.rpartition("/")[2].startswith(f"{record.name}."):
            return []
        try:
            listing = self._store.list_objects(bucket, ListQuery(prefix=f"{folder}/", limit=10_000))
        except NotFound:
            return []
        return [(bucket, found.name) for found in listing.objects]

    def _find_leftovers(self) -> Sequence[tuple[str, str]]:
        newest = self._clock() - _LEFTOVER_AGE
        found = []
        for bucket, name in self._store.find_objects(_SINK_TEMP):
            if not _LEFT_BY_SINK.search(name):
                continue
            try:
                stored = self._store.stat(ObjectRef(bucket=bucket, name=name))
            except NotFound:
                continue
            if stored.time_created < newest:
                found.append((bucket, name))
        return found

    def _delete(self, objects: Sequence[tuple[str, str]]) -> int:
        for bucket, name in objects:
            try:
                self._store.delete(ObjectRef(bucket=bucket, name=name))
            except NotFound:
                _LOG.debug("gs://%s/%s is gone already", bucket, name)
        return len(objects)


def prune_route(path: str, retention: Retention) -> Route:
    """Return the route by which finished jobs are deleted."""

    async def prune(request: Request) -> Response:
        body = await read_json(request)
        keep = body.get("keepJobs") if isinstance(body, Mapping) else None
        if type(keep) is not int or keep < 0:
            raise errors.invalid_argument("keepJobs must be a whole number, 0 or more.")
        pruned = await run_in_threadpool(retention.prune, keep, with_leftovers=True)
        return Response(orjson.dumps(asdict(pruned)), media_type="application/json")

    return Route(path, prune, methods=["POST"])
