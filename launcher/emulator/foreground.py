"""Serves the local Dataflow in this process: checks everything that it needs, then starts it.

Mistakes of the user are found before anything starts. The server itself is imported
last, so that Google's Pub/Sub emulator, a Java program, starts meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.emulator.instance import (
    EmulatorError,
    EmulatorInfo,
    EmulatorOptionError,
    fingerprint_code,
    log_file,
    state_file,
    write_state,
)
from launcher.emulator.lock import hold_lock, is_data_dir
from launcher.emulator.options import EmulatorOptions
from launcher.emulator.ports import bind
from launcher.emulator.variables import client_variables, shell_variables

if TYPE_CHECKING:
    from launcher.emulator.pubsub import PubSubEmulator
    from launcher.emulator.runtime.images import ImageRegistry

_LOG = logging.getLogger(__name__)

DEFAULT_PROJECT = "local-project"
"""The project that the metadata server gives to programs without one."""

_PROJECTS = "projects.json"
_LEAST_ROOM_BYTES = 1 << 20


class AlreadyRunningError(EmulatorError):
    """Another process serves the folder."""


def serve(
    options: EmulatorOptions,
    *,
    on_ready: Callable[[EmulatorInfo], None],
    on_wait: Callable[[str], None] = _LOG.info,
) -> None:
    """Serve in the foreground until SIGTERM, SIGINT or SIGHUP; call from the main thread.

    Args:
        options: how to serve.
        on_ready: called when both ports answer.
        on_wait: called with a text that says what a slow start is waiting for, and for how long.

    Raises:
        EmulatorOptionError: an option cannot be used, for example because a port is taken.
        EmulatorError: the folder has an emulator already.
    """
    options.check()
    port, storage_port, data_dir = options.port, options.storage_port, options.data_dir
    code = fingerprint_code()
    from launcher.emulator import pubsub

    folder = make_folder(data_dir)
    with contextlib.ExitStack() as stack:
        if not stack.enter_context(hold_lock(folder)):
            raise AlreadyRunningError(
                f"--data-dir {data_dir}: an emulator is running there; stop it with "
                f"'flexpack emulator stop --data-dir {data_dir}', or choose another folder"
            )
        # Only this user may read files that it and its executors write; the jobs' own code
        # has the user's usual umask.
        umask = os.umask(0o077)
        stack.callback(os.umask, umask)
        if storage_port is None:
            storage_port = port + 1 if port else 0
        dataflow_socket = stack.enter_context(bind(port, "--port"))
        storage_socket = stack.enter_context(bind(storage_port, "--storage-port"))
        registry = _load_images(options, folder)
        pubsub_emulator = _start_pubsub(options, folder)
        if pubsub_emulator is not None:
            stack.callback(pubsub_emulator.close)
        # Late, so that Java starts meanwhile.
        from launcher.emulator import console, server

        console_socket = None
        if not options.no_console:
            console_socket = stack.enter_context(console.listen(port + 3 if port else 0))
        pubsub_problem = (
            pubsub_emulator.wait(on_slow=on_wait) if pubsub_emulator else pubsub.NOT_FOUND
        )
        info = EmulatorInfo(
            pid=os.getpid(),
            dataflow_port=dataflow_socket.getsockname()[1],
            storage_port=storage_socket.getsockname()[1],
            data_dir=folder,
            console_port=console_socket.getsockname()[1] if console_socket else None,
            pubsub_port=pubsub_emulator.port if pubsub_emulator and not pubsub_problem else None,
            pubsub_problem=pubsub_problem,
        )
        logging.basicConfig(
            filename=log_file(folder),
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            force=True,
        )
        if pubsub_problem:
            _LOG.warning("no Pub/Sub: %s", pubsub_problem)

        def note_restart(text: str) -> None:
            text = f"At {time.strftime('%H:%M:%S')}: {text}"
            write_state(dataclasses.replace(info, pubsub_problem=text), code)

        def announce() -> None:
            write_state(info, code)
            stack.callback(state_file(folder).unlink, missing_ok=True)
            if pubsub_emulator is not None:
                pubsub_emulator.on_restart.append(note_restart)
            if console_socket is not None:
                variables = shell_variables(info, project=DEFAULT_PROJECT)
                starter = console.ConsoleStarter(console_socket, variables, folder)
                stack.callback(starter.close)
            on_ready(info)

        server.serve_until_stopped(
            dataflow_socket=dataflow_socket,
            storage_socket=storage_socket,
            data_dir=folder,
            umask=umask,
            images=registry,
            max_jobs=options.max_jobs,
            keep_jobs=options.keep_jobs,
            running_sec=options.running_sec or 0,
            warm=options.is_warm,
            pubsub=pubsub_emulator if pubsub_emulator and not pubsub_problem else None,
            project_id=DEFAULT_PROJECT,
            endpoints=client_variables(info),
            on_ready=announce,
        )


def _load_images(options: EmulatorOptions, folder: Path) -> ImageRegistry:
    """Return what stands for each image; blocks while an image is unpacked."""
    from launcher.emulator.runtime.images import BadImagesFileError, load_images
    from launcher.emulator.runtime.projects import BadProjectError, Projects

    try:
        projects = Projects(folder / _PROJECTS)
        return load_images(options.images, workdir=Path.cwd(), projects=projects)
    except BadProjectError as error:
        raise EmulatorOptionError(f"--data-dir: {error}") from error
    except BadImagesFileError as error:
        raise EmulatorOptionError(f"--images: {error}") from error


def _start_pubsub(options: EmulatorOptions, folder: Path) -> PubSubEmulator | None:
    from launcher.emulator import pubsub

    port = options.pubsub_port
    if port is None:
        port = options.port + 2 if options.port else 0
    try:
        return pubsub.start(
            port=port, folder=folder, heap_mb=options.pubsub_heap_mb or pubsub.DEFAULT_HEAP_MB
        )
    except pubsub.PortTakenError as error:
        raise EmulatorOptionError(
            f"--pubsub-port {port}: the port is in use by another program, and Google's Pub/Sub "
            "emulator needs it; choose another with --pubsub-port, or all of them with --port"
        ) from error


def make_folder(data_dir: Path) -> Path:
    """Make the folder for this user only: it holds the objects, parameters and logs of jobs."""
    folder = data_dir.resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            if any(folder.iterdir()) and not is_data_dir(folder):
                raise EmulatorOptionError(
                    f"--data-dir {data_dir}: other users may look into this folder, and it holds "
                    f"files that are not the local Dataflow's; name a folder that does not exist, "
                    f"or 'chmod 700 {data_dir}'"
                )
            folder.chmod(0o700)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_LEAST_ROOM_BYTES))
    except OSError as error:
        raise EmulatorOptionError(
            f"--data-dir {data_dir}: cannot be written ({error.strerror}); name another folder"
        ) from error
    return folder
