"""Python tracebacks in the text of messages and logs."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TRACEBACK = "Traceback (most recent call last):"
# Beam's compiled modules are named from its own folder.
_LIBRARY_FRAME = re.compile(r'  File "(apache_beam/|.*/(site|dist)-packages/|<frozen )')


def find_last_traceback(text: str) -> str:
    """Return the last Python traceback in a text, up to the exception's message, or nothing."""
    start = text.rfind(_TRACEBACK)
    if start < 0:
        return ""
    lines = text[start:].splitlines()
    kept = [lines[0]]
    for line in lines[1:]:
        kept.append(line)
        # The exception's line is the first that is not indented.
        if line and not line[0].isspace():
            break
    return "\n".join(kept).rstrip()


def leave_out_libraries(text: str) -> Iterator[str]:
    """Yield a text's lines, with a count in place of the frames of libraries in its tracebacks.

    The last frame of each traceback stays, wherever it is.
    """
    head, *frames = re.split(r'(?m)^(?=  File ")', text)
    left_out = 0
    for number, frame in enumerate(frames, start=1):
        is_last = number == len(frames) or any(line[:1].strip() for line in frame.splitlines())
        if _LIBRARY_FRAME.match(frame) and not is_last:
            left_out += 1
            continue
        if head:
            yield from head.splitlines()
            head = ""
        if left_out:
            yield f"  ... {left_out} frame{'s' if left_out > 1 else ''} of libraries"
            left_out = 0
        yield from frame.splitlines()
    yield from head.splitlines()
