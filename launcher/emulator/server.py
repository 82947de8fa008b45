"""The process that is the local Dataflow: one event loop, two ports, everything behind them.

Builds the stores, the job runner and the apps, serves until a signal, and closes what it built.
``daemon`` finds, starts and stops that process.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import signal
import socket
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from launcher.emulator.connections import KEEP_ALIVE_SEC, Connection, allow_many_files
from launcher.emulator.gzip_requests import GzipRequests
from launcher.emulator.instance import (
    IDENTITY_PATH,
    PROJECTS_PATH,
    PRUNE_PATH,
)
from launcher.emulator.pubsub import PubSubEmulator
from launcher.emulator.runtime.events import Importance
from launcher.emulator.runtime.images import ImageRegistry
from launcher.emulator.runtime.job_runner import DEFAULT_MAX_JOBS, JobRunner
from launcher.emulator.runtime.temp import remove_left_over
from launcher.emulator.runtime.warm import WarmProcesses
from launcher.emulator.service.app import build_dataflow_app
from launcher.emulator.service.discovery import load_discovery
from launcher.emulator.service.faults import FaultQueue
from launcher.emulator.service.guard import LocalOnly
from launcher.emulator.service.history import JobHistory
from launcher.emulator.service.job_facts import job_facts_routes
from launcher.emulator.service.job_store import JobStore
from launcher.emulator.service.metadata_server import metadata_routes
from launcher.emulator.service.methods import DEFAULT_REGION, Methods
from launcher.emulator.service.operations import answer_call
from launcher.emulator.service.projects import projects_route
from launcher.emulator.service.recorder import JobRecorder
from launcher.emulator.service.retention import DEFAULT_KEEP_JOBS, Retention, prune_route
from launcher.emulator.storage.app import build_storage_app
from launcher.emulator.storage.methods import MethodTable
from launcher.emulator.storage.store import ObjectStore

_LOG = logging.getLogger(__name__)

INTERRUPTED = (
    "The local Dataflow was stopped while this job was running, and the job was stopped with it. "
    "Launch it again."
)
_RUNS, _STORAGE, _JOBS, _HISTORY = "runs", "storage", "jobs.sqlite3", "history.sqlite3"
_SHUTDOWN_SEC = 3
_LOOK_SEC = 2.0


def serve_until_stopped(
    *,
    dataflow_socket: socket.socket,
    storage_socket: socket.socket,
    data_dir: Path,
    umask: int,
    images: ImageRegistry,
    max_jobs: int | None,
    keep_jobs: int | None = None,
    running_sec: float = 0,
    warm: bool = True,
    pubsub: PubSubEmulator | None = None,
    project_id: str,
    endpoints: Mapping[str, str],
    on_ready: Callable[[], None],
) -> None:
    """Serve both ports until SIGTERM, SIGINT, or SIGHUP unless it is ignored.

    Args:
        umask: of the processes that run the jobs' own code.
        images: what stands for each container image, and the registered projects.
        max_jobs: how many jobs run at once; None adapts to the machine.
        keep_jobs: how many finished jobs are kept, or None for the default.
        running_sec: how long a job is RUNNING at least.
        warm: whether processes of jobs are forked from one that has already imported what they
            need.
        pubsub: its Pub/Sub emulator; streaming jobs get a message when it was restarted.
        project_id: the project of the metadata server.
        endpoints: environment variables by which the processes of jobs find this server.
        on_ready: called once, when both ports answer.
    """
    allow_many_files()
    with contextlib.ExitStack() as stack:
        store = ObjectStore(data_dir / _STORAGE)
        stack.callback(store.close)
        jobs = JobStore(data_dir / _JOBS)
        stack.callback(jobs.close)
        history = JobHistory(data_dir / _HISTORY)
        stack.callback(history.close)
        for job_id in jobs.fail_interrupted(INTERRUPTED):
            _LOG.warning("job %s was running when the emulator stopped", job_id)
            remove_left_over(job_id)
        discovery = load_discovery()
        warm_processes = WarmProcesses(data_dir) if warm else None
        if warm_processes:
            stack.callback(warm_processes.close)
        runner = JobRunner(
            store=store,
            images=images,
            endpoints=endpoints,
            report=JobRecorder(jobs=jobs, messages=discovery.messages, history=history).record,
            runs_dir=data_dir / _RUNS,
            umask=umask,
            max_jobs=max_jobs or DEFAULT_MAX_JOBS,
            running_sec=running_sec,
            warm=warm_processes,
        )
        stack.callback(runner.close)
        retention = Retention(
            jobs=jobs,
            store=store,
            runs_dir=data_dir / _RUNS,
            running=runner.running,
            forget=history.forget,
        )
        faults = FaultQueue([*discovery.methods, *MethodTable().ids])
        methods = Methods(
            jobs=jobs,
            store=store,
            runner=runner,
            messages=discovery.messages,
            faults=faults,
            retention=retention,
            keep_jobs=DEFAULT_KEEP_JOBS if keep_jobs is None else keep_jobs,
        )
        stack.callback(methods.close)
        if pubsub is not None:
            pubsub.on_restart.append(functools.partial(_warn_streaming_jobs, jobs))
        dataflow = build_dataflow_app(
            discovery=discovery,
            dispatch=functools.partial(answer_call, methods),
            faults=faults,
            routes=[
                identity_route(data_dir),
                projects_route(PROJECTS_PATH, images.projects),
                prune_route(PRUNE_PATH, retention),
                *job_facts_routes(jobs, history),
                *metadata_routes(project_id=project_id, zone=f"{DEFAULT_REGION}-a"),
            ],
        )
        storage = build_storage_app(store, intercept=faults.play)
        apps: dict[ASGIApp, socket.socket] = {
            LocalOnly(GzipRequests(dataflow), metadata_server=True): dataflow_socket,
            LocalOnly(GzipRequests(storage)): storage_socket,
        }
        asyncio.run(serve_apps(apps, on_ready=on_ready, folder=data_dir))


def prune_folder(data_dir: Path, *, keep_jobs: int) -> Mapping[str, int]:
    """Delete finished jobs of a folder that no emulator serves; return what was deleted."""
    with contextlib.ExitStack() as stack:
        store = ObjectStore(data_dir / _STORAGE)
        stack.callback(store.close)
        jobs = JobStore(data_dir / _JOBS)
        stack.callback(jobs.close)
        history = JobHistory(data_dir / _HISTORY)
        stack.callback(history.close)
        retention = Retention(
            jobs=jobs, store=store, runs_dir=data_dir / _RUNS, forget=history.forget
        )
        return dataclasses.asdict(retention.prune(keep_jobs, with_leftovers=True))


def _warn_streaming_jobs(jobs: JobStore, text: str) -> None:
    """Report to every active streaming job that the Pub/Sub emulator was restarted."""
    for record in jobs.list_active():
        if record.document.get("type") == "JOB_TYPE_STREAMING":
            jobs.add_message(record.id, Importance.ERROR, text)


def identity_route(data_dir: Path) -> Route:
    """Return the route by which ``daemon`` recognizes this process on its port."""

    def identify(request: Request) -> Response:
        return JSONResponse({"pid": os.getpid(), "dataDir": str(data_dir)})

    return Route(IDENTITY_PATH, identify)


class _Server(uvicorn.Server):
    """A server that leaves signals to its caller, and reports when it answers."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_keep_alive=KEEP_ALIVE_SEC,
                timeout_graceful_shutdown=_SHUTDOWN_SEC,
            )
        )
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def serve_apps(
    apps: Mapping[ASGIApp, socket.socket],
    *,
    on_ready: Callable[[], None],
    folder: Path | None = None,
) -> None:
    """Serve each app on its socket until a signal, then let requests under way end.

    Args:
        folder: the server also ends when this folder is moved or deleted.
    """
    servers = {_Server(app): listener for app, listener in apps.items()}
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        loop.add_signal_handler(signal.SIGHUP, stop)
    async with asyncio.TaskGroup() as group:
        for server, listener in servers.items():
            group.create_task(server.serve(sockets=[listener]))
        for server in servers:
            await server.ready.wait()
        on_ready()
        if folder is not None:
            await _wait_until_gone(folder, stopped)
            stop()


async def _wait_until_gone(folder: Path, stopped: asyncio.Event) -> None:
    """Wait until a folder is no longer where it was, or the event is set."""
    before = folder.stat()
    while not stopped.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), _LOOK_SEC)
        try:
            is_there = os.path.samestat(before, folder.stat())
        except FileNotFoundError:
            is_there = False
        if not is_there:
            _LOG.error("%s was moved or deleted: the local Dataflow ends", folder)
            return
