"""The ports on which the local Dataflow listens: loopback only."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from launcher.emulator.instance import EmulatorOptionError

_BACKLOG = 2048
_PORT_PROBLEMS: Mapping[int, str] = {
    errno.EADDRINUSE: "the port is in use, perhaps by your local Dataflow ('flexpack "
    "emulator status')",
    errno.EACCES: "only root may listen on this port",
}


def bind(port: int, option: str) -> socket.socket:
    """Return a socket that listens on that port of the loopback interface; 0 picks a free one.

    Raises:
        EmulatorOptionError: the port is taken, or root's; the message names ``option``.
    """
    # asyncio turns Nagle's algorithm off only for sockets that say that they are TCP; with it on,
    # every answer on a kept-alive connection waits 40 ms.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        problem = _PORT_PROBLEMS.get(error.errno or 0)
        if problem is None:
            raise
        raise EmulatorOptionError(
            f"{option} {port}: {problem}; choose another with {option}"
        ) from error
    return listener
