"""Entry of a worker process: does ahead of time what Beam's ``boot`` program does in a container.

Run by path in the interpreter of the job's image, which does not have this package. It imports the
SDK harness and the modules named in its arguments, which takes seconds. Only then does it wait for
the variables that say where to connect: one JSON line on standard input. When that closes,
the executor is dead, and the worker ends too.
"""

import contextlib
import importlib
import io
import json
import os
import signal
import sys
import threading
import time

executor = os.getppid()
# The image's directory instead of this file's, as in a container.
sys.path[0] = os.getcwd()  # noqa: PTH109 - a string is what belongs there

from apache_beam.runners.worker import sdk_worker_main  # noqa: E402 - see above


def end_with(executor: int, lifeline: io.FileIO) -> None:
    """Wait until the lifeline closes, then end, with the whole group if the executor is dead."""
    while lifeline.read(1):
        pass
    for _ in range(20):  # A process that dies closes its files before its children are orphans.
        if os.getppid() != executor:
            os.killpg(0, signal.SIGKILL)
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


for name in sys.argv[1:]:
    with contextlib.suppress(Exception):  # If the job needs the module, it fails with this error.
        importlib.import_module(name)
del sys.argv[1:]
lifeline = io.FileIO(os.dup(0))
line = b""
while not line.endswith(b"\n"):
    piece = lifeline.read(1 << 16)
    if not piece:
        sys.exit()
    line += piece
# The job's own code finds an empty input, as in a container.
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
threading.Thread(target=end_with, args=(executor, lifeline), daemon=True).start()
os.environ.update(json.loads(line))
sdk_worker_main.main(sys.argv)
