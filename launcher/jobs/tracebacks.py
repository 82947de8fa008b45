"""Python tracebacks in the text of messages and logs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

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
_TEMPLATE = re.escape(str(Path(__file__).parents[2] / "template"))
# Frames of compiled modules begin at their package's own folder.
_LIBRARY_FRAME = re.compile(
    rf"""(?x)
    \ \ File\ "( apache_beam/ | [^"/][^"]*\.p[yx][xi]" | <frozen\  | .*/(site|dist)-packages/
    | .*/lib/python3\.\d+/ | /opt/flexpack/template/ | {_TEMPLATE}/ )
    """
)


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


def leave_out_libraries(text: str) -> str:
    """Return a text; in its tracebacks a count replaces the frames of libraries and the kit.

    The last frame of each traceback stays, wherever it is.
    """
    return "\n".join(_leave_out_libraries(text))


def _leave_out_libraries(text: str) -> Iterator[str]:
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


def shorten_tracebacks(text: str) -> str:
    """Return a text with only the user's last frame and the exception of all its tracebacks.

    An exception that is already in the text before is not repeated.
    """
    last = find_last_traceback(text)
    if not last:
        return text
    before = text[: text.index(_TRACEBACK)].rstrip()
    end = text.rindex(last) + len(last)
    raised = find_exception(last)
    shown = "" if raised.removesuffix(_find_step(raised)) in before else raised
    parts = (before, _find_own_frame(text[len(before) : end]), shown, text[end:].strip())
    return "\n".join(filter(None, parts))


def _find_step(raised: str) -> str:
    """Return the name of the step that a log's last line ends with, or nothing."""
    step = re.search(r" \[[^\[\]]*\]$", raised)
    return step[0] if step else ""


def find_own_place(text: str) -> str:
    """Return the place of the user's last frame in a text, ``model.py, line 7, in predict``."""
    place = re.match(r'  File "(.*)", (line .*)', _find_own_frame(text))
    return f"{place[1]}, {place[2]}" if place else ""


def _find_own_frame(text: str) -> str:
    """Return the last frame in a text that is neither a library's nor the kit's, or nothing."""
    _, *frames = re.split(r'(?m)^(?=  File ")', text)
    own = [frame for frame in frames if not _LIBRARY_FRAME.match(frame)]
    if not own:
        return ""
    place, *code = own[-1].splitlines()
    return "\n".join([place, *(line for line in code[:2] if line.startswith("    "))])
