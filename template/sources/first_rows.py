"""Reads the first rows of a job's input at the launch: a wrong column is found before the job."""

from __future__ import annotations

from template.dead_letters import DeadLetter
from template.parameters import ParameterError
from template.sources.declared_rows import NEEDED
from template.sources.find import find_files
from template.sources.read import ReadBlocks

_ROWS = 20


def check_first_rows(pattern: str, read: ReadBlocks) -> None:
    """Check that some of the first 20 files or rows have the columns that the model needs.

    One of them is enough: a file or row without them is a dead letter, and the others are
    predicted. Blocks while it reads them.

    Raises:
        ParameterError: none of them has.
    """
    letter = None
    for part in read.read_first(find_files(pattern)[:_ROWS], _ROWS):
        if not isinstance(part, DeadLetter) or NEEDED not in part.error:
            return
        letter = letter or part
    if letter is not None:
        reason = letter.error.partition(": ")[2]
        raise ParameterError(f"--input {pattern!r}: {letter.source}: {reason}")
