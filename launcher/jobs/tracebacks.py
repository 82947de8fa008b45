"""Python tracebacks in the text of messages and logs."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TRACEBACK = "Traceback (most recent call last):"
# What follows an exception in a log: the next entry, or the launcher's line about it.
_ELSE = re.compile(
    r"""(?x)
    \d{4}[-/]\d\d[-/]\d\d | \[?\d\d:\d\d:\d\d | [IWEF]\d{4}\s
    | (DEBUG|INFO|WARNING|ERROR|CRITICAL)\b | \{"
    | \(attempt\ \d | python\ failed\ with | Error:\ Template\ launch
    | During\ handling | The\ above\ exception
    """
)
_MOST_LINES = 60
# Frames of Beam's compiled modules begin at its own folder.
_LIBRARY_FRAME = re.compile(r'  File "(apache_beam/|.*/(site|dist)-packages/|<frozen )')


def find_last_traceback(text: str) -> str:
    """Return the last Python traceback in a text, with all lines of the exception, or nothing."""
    start = text.rfind(_TRACEBACK)
    if start < 0:
        return ""
    lines = text[start:].splitlines()
    kept = [lines[0]]
    message: list[str] = []
    for line in lines[1:]:
        # The exception begins at the first line that is not indented.
        if message or (line and not line[0].isspace()):
            if message and (_ELSE.match(line) or len(message) == _MOST_LINES):
                break
            message.append(line)
        else:
            kept.append(line)
    return "\n".join([*kept, *_cut(message)]).rstrip()


def find_exception(traceback: str) -> str:
    """Return the exception of a traceback without its frames: its type and whole message."""
    lines = traceback.splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    rest = lines[frames[-1] + 1 :] if frames else lines
    begin = next((number for number, line in enumerate(rest) if line[:1].strip()), len(rest))
    return "\n".join(rest[begin:])


def _cut(message: list[str]) -> list[str]:
    """Return the lines up to a blank line that no indented part of the message follows."""
    for number, line in enumerate(message):
        after = next((each for each in message[number:] if each.strip()), "")
        if not line.strip() and not after[:1].isspace():
            return message[:number]
    return message


def leave_out_libraries(text: str) -> Iterator[str]:
    """Yield a text's lines; in its tracebacks a count replaces the frames of libraries.

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
