"""Reads the first rows of a job's input at the launch, to find wrong columns before the job."""

from __future__ import annotations

from collections.abc import Sequence

from template.blocks import KEY
from template.dead_letters import DeadLetter
from template.needs.columns import Column
from template.parameters import ParameterError, did_you_mean
from template.sources.columns import NAMED_AS_KEY, NAMED_BESIDE
from template.sources.declared_rows import NEEDED
from template.sources.find import find_files
from template.sources.read import ReadBlocks

_ROWS = 20
_LACKING = (NEEDED, NAMED_AS_KEY, NAMED_BESIDE)


def check_first_rows(pattern: str, read: ReadBlocks) -> None:
    """Check that some of the first 20 files or rows have the columns that the job needs.

    The columns are those that the model declares, the key and those that are passed through. One
    file or row is enough, because those without the columns are dead letters, and the others are
    predicted. Blocks while it reads them.

    Raises:
        ParameterError: none of them has these columns.
    """
    letter = None
    for part in read.read_first(find_files(pattern)[:_ROWS], _ROWS):
        if not (isinstance(part, DeadLetter) and any(each in part.error for each in _LACKING)):
            return
        letter = letter or part
    if letter is not None:
        reason = letter.error.partition(": ")[2]
        source = "" if letter.source == pattern else f"{letter.source}: "
        raise ParameterError(f"--input {pattern!r}: {source}{reason}")


def find_absent_columns(pattern: str, read: ReadBlocks, columns: Sequence[Column]) -> list[str]:
    """Return a warning for each optional column that none of the first 20 files has.

    A file of JSON has a column if one of its first 20 rows has it.

    Blocks while it reads a few rows of each until all such columns are found.

    Args:
        read: reads all columns, not only the model's.
    """
    absent = [column.name for column in columns if column.optional]
    names: dict[str, None] = {}
    files = find_files(pattern)[:_ROWS] if absent else []
    for file in files:
        for part in read.read_first([file], _ROWS):
            if not isinstance(part, DeadLetter):
                names.update(dict.fromkeys([*part.frame.columns, *part.beside]))
        absent = [name for name in absent if name not in names]
        if not absent:
            break
    if not names:
        return []
    where = f"each of the first {len(files)} files" if len(files) > 1 else "the file"
    known = {KEY, *(column.name for column in columns)}
    others = [name for name in names if name not in known]
    return [
        f"--input {pattern!r}: the first {_ROWS} rows of {where} lack column {name!r}, which is "
        f"optional for the model: its values are missing{did_you_mean(name, others)}"
        for name in absent
    ]
