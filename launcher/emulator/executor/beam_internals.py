"""Beam's Fn API servers on the loopback interface.

``worker_handlers.GrpcServer`` binds all interfaces (``[::]:0``), and whoever reaches its ports gets
the data of the job: the servers ask for no credentials.
"""

from __future__ import annotations

from typing import Any

import grpc  # type: ignore[import-untyped]
from apache_beam.runners.portability.fn_api_runner import worker_handlers

HOST = "127.0.0.1"


class _LoopbackGrpc:
    """The module ``grpc``, but for the interface that its servers listen on."""

    def __getattr__(self, name: str) -> Any:
        return getattr(grpc, name)

    @staticmethod
    def server(*args: Any, **options: Any) -> grpc.Server:
        server = grpc.server(*args, **options)
        add_port = server.add_insecure_port
        server.add_insecure_port = lambda address: add_port(f"{HOST}:{address.rpartition(':')[2]}")
        return server


def bind_to_loopback() -> None:
    """Let the Fn API servers of this process listen on loopback only."""
    worker_handlers.grpc = _LoopbackGrpc()
