"""Request bodies, read up to a limit, so that none can fill the local Dataflow's memory."""

from __future__ import annotations

from starlette.requests import Request

from launcher.emulator.service import errors
from launcher.emulator.strict_json import parse_strictly

BODY_LIMIT_BYTES = 20 * 1024 * 1024
"""The largest request that Dataflow takes."""


async def read_json(request: Request) -> object:
    """Return the JSON of a request's body, an empty object if there is none.

    Raises:
        ApiError: 413, it is too large; 400, it is not JSON.
    """
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > BODY_LIMIT_BYTES:
            raise errors.payload_too_large(BODY_LIMIT_BYTES)
    if not content:
        return {}
    try:
        return parse_strictly(bytes(content))
    except ValueError as error:
        raise errors.invalid_argument(f"Invalid JSON payload received. {error}.") from error
