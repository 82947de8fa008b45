"""The warm parent: has imported what every job imports, and forks the processes of jobs.

Run by path as ``python warm_parent.py SOCKET LEASH MODULE...`` by ``warm``, in the environment of
the jobs' images; it imports nothing of this package except the leash. A fork is what ``python
FILE`` would have become: its arguments, directory, variables, module path and standard streams are
set before any of the job's code looks at them, and its parent is a leash.

A fork copies only one thread, and no connections. Before a fork it checks that there is no other
thread, of Python or of a library such as gRPC. It refuses if imported files have changed since, if
variables that are read during imports differ, or if modules in the job's folders would come before
imported ones.
"""

import ctypes
import gc
import importlib
import importlib.util
import io
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

_WORKER_BOOT = str(Path(__file__).parents[1] / "executor" / "worker_boot.py")
_HEADER_BYTES = 8
_NUM_FDS = 5
_REAP_SEC = 5.0
_READS_ON_START = ("sitecustomize", "usercustomize")
_SUFFIXES = (".py", ".pyc", ".so")
# Variables that may differ from this process's, because nothing reads them at import or
# ``_become`` corrects the result.
_OF_THE_JOB = ("CLOUDSDK_CONFIG", "PYTHONPATH", "PYTHONUNBUFFERED", "TMPDIR", "WORKER_ID")
_OF_THE_LAUNCHER = "FLEX_TEMPLATE_"
# Keep these libraries from starting threads when they are loaded.
_OWN_VARIABLES = ("OPENBLAS_NUM_THREADS", "JE_ARROW_MALLOC_CONF")
_SET_BLAS_THREADS = tuple(
    f"{prefix}openblas_set_num_threads{suffix}"
    for prefix in ("scipy_", "")
    for suffix in ("64_", "")
)


class RefusedError(Exception):
    """A process cannot be forked as ``python FILE`` would be; the message says why."""


class StaleError(RefusedError):
    """Imported files have changed, so a new warm parent is needed."""


class Parent:
    """This process: its imports, and the variables that they saw."""

    def __init__(self, leash_file: str) -> None:
        spec = importlib.util.spec_from_file_location("flexpack_leash", leash_file)
        assert spec is not None
        assert spec.loader is not None
        self.leash = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.leash)
        self._path = sys.path[1:]
        self._env = {
            name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES
        }
        self._set_by_imports: dict[str, str] = {}
        self._seen: dict[str, object] = {}
        self._files = [leash_file]

    def note_imports(self) -> None:
        """Record the variables that imports have set, and the state of every imported file."""
        self._set_by_imports = {
            name: value
            for name, value in os.environ.items()
            if name not in self._env and name not in _OWN_VARIABLES
        }
        self._files += [
            file for module in list(sys.modules.values()) if (file := _file_of(module)) is not None
        ]
        self._files += [path for path in self._path if path.endswith("-packages")]
        self._seen = {file: _state_of(file) for file in self._files}

    def check(self, env: dict[str, str]) -> None:
        """Check that a process with these variables can be forked from this one.

        Raises:
            RefusedError: it cannot.
        """
        check_threads()
        changed = next((file for file in self._files if _state_of(file) != self._seen[file]), None)
        if changed:
            raise StaleError(f"{changed} has changed")
        for name in self._env.keys() | env.keys():
            is_free = name in _OF_THE_JOB or name.startswith(_OF_THE_LAUNCHER)
            if not is_free and self._env.get(name) != env.get(name):
                raise RefusedError(f"the image sets {name}")
        for folder in filter(None, env.get("PYTHONPATH", "").split(os.pathsep)):
            if shadow := _find_shadow(folder):
                raise RefusedError(f"{shadow} hides a module that is already imported")

    def become(self, file: str, arguments: list[str], env: dict[str, str], cwd: str) -> None:
        """Make this process what ``python FILE ARGUMENTS...`` starts as."""
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update({**self._set_by_imports, **env})
        folders = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
        sys.path[:] = [str(Path(file).parent), *folders, *self._path]
        sys.argv[:] = [file, *arguments]
        _show_command(sys.argv)
        importlib.invalidate_caches()
        is_unbuffered = bool(env.get("PYTHONUNBUFFERED"))
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
        sys.stdout = _open_output(1, is_unbuffered=is_unbuffered)
        sys.stderr = _open_output(2, is_unbuffered=is_unbuffered)
        sys.excepthook = _show_without_parent
        tempfile.tempdir = None


def serve(control: socket.socket, parent: Parent) -> None:
    """Fork on request until the other end closes. In a forked process this returns too."""
    while True:
        while not select.select([control], [], [], _REAP_SEC)[0]:
            _reap()
        header, fds, _, _ = socket.recv_fds(control, _HEADER_BYTES, _NUM_FDS)
        if not header:
            os._exit(0)
        order = json.loads(_receive(control, int(header, 16)))
        _reap()
        pid = None
        answer: dict[str, Any] = {"pid": None}
        try:
            if order["role"] == "check":
                parent.check(order["env"])
            else:
                pid = fork()
                answer = {"pid": pid}
        except RefusedError as error:
            answer = {"refused": str(error), "is_stale": isinstance(error, StaleError)}
        if pid == 0:
            control.close()
            return _hold(parent, order, fds)
        for fd in fds:
            os.close(fd)
        control.sendall(json.dumps(answer).encode() + b"\n")


def _hold(parent: Parent, order: dict[str, Any], fds: list[int]) -> None:
    """Act as the leash of the process; in the process itself this returns."""
    lifeline, stdin, stdout, stderr, status = fds
    os.setsid()  # A signal to the parent's group must not reach its children.

    class Started(Exception):  # noqa: N818 - not an error
        pass

    def play() -> None:
        raise Started

    if order["umask"] >= 0:
        os.umask(order["umask"])
    for number, fd in enumerate((stdin, stdout, stderr)):
        os.dup2(fd, number)
    for fd in (stdin, stdout, stderr):
        os.close(fd)
    _show_command([str(parent.leash.__file__), *order["command"]])
    try:
        code = parent.leash.hold(lifeline, play)
    except Started:
        os.close(status)
    else:
        os.write(status, str(code).encode())
        os._exit(0)
    _play(parent, order)


def _play(parent: Parent, order: dict[str, Any]) -> None:
    file, *arguments = order["command"]
    parent.become(file, arguments, order["env"], order["cwd"])
    if order["role"] == "executor":
        _play_executor(parent)
    else:
        _restore_state()
        runpy.run_path(file, run_name="__main__")


def _play_executor(parent: Parent) -> None:
    """Fork the workers that the first line of the input names, then become the executor."""
    line = sys.stdin.buffer.readline()
    preparation = json.loads(line)
    worker, run_dir = preparation["worker"], Path(preparation["run_dir"])
    forked: list[tuple[int, int, int]] = []
    for number in range(1, preparation["num_workers"] + 1 if preparation["is_warm"] else 1):
        worker_id = f"worker-{number}"
        env = {"PYTHONUNBUFFERED": "1", **worker["process_env"], "WORKER_ID": worker_id}
        pipes = (*os.pipe(), *os.pipe())
        pid = fork()
        if pid == 0:
            others = [fd for _, *fds in forked for fd in fds]
            _play_worker(parent, preparation, env, run_dir / f"{worker_id}.log", pipes, others)
            return
        os.close(pipes[0])
        os.close(pipes[3])
        forked.append((pid, pipes[1], pipes[2]))
    _restore_state()
    # The module path ends with this one's, where the emulator is installed.
    executor = importlib.import_module("launcher.emulator.executor.__main__")
    executor.run(line, forked)


def _play_worker(
    parent: Parent,
    preparation: dict[str, Any],
    env: dict[str, str],
    log: Path,
    pipes: tuple[int, int, int, int],
    others: list[int],
) -> None:
    stdin, _, _, stdout = pipes
    stderr = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, fd in enumerate((stdin, stdout, stderr)):
        os.dup2(fd, number)
    for fd in (*pipes, stderr, *others):
        os.close(fd)
    os.umask(preparation["umask"])
    worker = preparation["worker"]
    parent.become(_WORKER_BOOT, worker["modules"], env, worker["workdir"])
    # It reads the variable when it is imported.
    interceptor: Any = sys.modules["apache_beam.runners.worker.worker_id_interceptor"]
    interceptor.WorkerIdInterceptor._worker_id = env["WORKER_ID"]
    _restore_state()
    runpy.run_path(_WORKER_BOOT, run_name="__main__")


def check_threads() -> None:
    """Check that this process has only this thread.

    Raises:
        RefusedError: it has.
    """
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names suffice
    if threads != 1:
        raise RefusedError(f"it has {threads} threads")


def fork() -> int:
    """Fork, if that is safe.

    Raises:
        RefusedError: this process has other threads.
    """
    check_threads()
    return os.fork()


def _restore_state() -> None:
    """Set up what forks share or what was postponed: from now on it has threads."""
    numpy: Any = sys.modules["numpy"]
    numpy.random.seed()  # Forks would share the global state.
    threads = len(os.sched_getaffinity(0))
    with Path("/proc/self/maps").open() as maps:
        libraries = {line.split()[-1] for line in maps if "openblas" in line}
    for library in libraries:
        loaded = ctypes.CDLL(library)
        for name in _SET_BLAS_THREADS:
            if hasattr(loaded, name):
                getattr(loaded, name)(threads)


def _show_command(command: list[str]) -> None:
    """Let ``ps`` show this command instead of the warm parent's, cut to the available space."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = map(int, fields[45:47])  # where the kernel keeps the arguments, see proc(5)
    text = os.fsencode("\0".join([sys.executable, *command]))
    ctypes.memmove(start, text[: end - start - 1].ljust(end - start, b"\0"), end - start)


def _open_output(fd: int, *, is_unbuffered: bool) -> io.TextIOWrapper:
    raw = io.FileIO(fd, "w", closefd=False)
    errors = "backslashreplace" if fd == 2 else None
    if is_unbuffered:
        return io.TextIOWrapper(raw, errors=errors, write_through=True)
    return io.TextIOWrapper(io.BufferedWriter(raw), errors=errors, line_buffering=fd == 2)


def _show_without_parent(
    kind: type[BaseException], error: BaseException, frames: TracebackType | None
) -> None:
    """Show an exception without the frames of this file and of runpy, as ``python FILE`` does."""
    while frames is not None and frames.tb_frame.f_code.co_filename in (__file__, runpy.__file__):
        frames = frames.tb_next
    while frames is not None and "runpy" in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    sys.__excepthook__(kind, error.with_traceback(frames), frames)


def _find_shadow(folder: str) -> str | None:
    """Return a module in a folder that ``python`` would find before one that is imported here."""
    loaded = {name.partition(".")[0] for name in sys.modules} | set(_READS_ON_START)
    try:
        entries = os.listdir(folder)  # noqa: PTH208 - names suffice
    except OSError:
        return None
    for entry in entries:
        name = entry.partition(".")[0]
        if name not in loaded or name == "__main__":
            continue
        path = Path(folder, entry)
        is_package = (path / "__init__.py").is_file()
        if not is_package and not entry.endswith(_SUFFIXES):
            continue
        found = _file_of(sys.modules.get(name))
        file = path / "__init__.py" if is_package else path
        if found is None or not Path(found).exists() or not file.samefile(found):
            return str(path)
    return None


def _file_of(module: ModuleType | None) -> str | None:
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else None


def _state_of(file: str) -> object:
    try:
        found = os.stat(file)  # noqa: PTH116 - of thousands of files, before every job
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _receive(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = control.recv(size - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    parent = Parent(sys.argv[2])
    for name in sys.argv[3:]:
        importlib.import_module(name)
    parent.note_imports()
    gc.collect()
    gc.freeze()  # Memory that a fork does not touch stays shared with this process.
    control.sendall(b'{"ready": true}\n')
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return serve(control, parent)


if __name__ == "__main__":
    main()
