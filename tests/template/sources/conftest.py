"""CSV files, read from the text that a test gives."""

import gzip

import pytest

from template.blocks import Block
from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources import csv as csv_source
from template.sources.csv import CsvSplit
from template.sources.streams import ReadSettings
from tests.template.support import join_blocks


@pytest.fixture
def read_csv_parts(tmp_path):
    """Read text as a CSV file: (blocks, dead letters by source)."""

    def run(text, name="t.csv", *, batch_size=1000, **given):
        path = tmp_path / name
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
        file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
        settings = ReadSettings(batch_size=batch_size, **given)
        blocks: list[Block] = []
        letters: list[DeadLetter] = []
        for split in csv_source.split_csv(file, settings):
            for part in [split] if isinstance(split, DeadLetter) else split.read(settings):
                if isinstance(part, DeadLetter):
                    letters.append(part)
                else:
                    blocks.append(part)
        assert all(len(block) <= batch_size for block in blocks)
        return blocks, {letter.source.removeprefix(str(path)): letter.error for letter in letters}

    return run


@pytest.fixture
def read_csv(read_csv_parts):
    """Read text as a CSV file: (all rows as one frame, dead letters by source)."""

    def run(*args, **settings):
        blocks, letters = read_csv_parts(*args, **settings)
        return join_blocks(blocks), letters

    return run


@pytest.fixture
def read_csv_blocks(read_csv_parts):
    """Read text as a CSV file, without dead letters."""

    def run(*args, **settings):
        blocks, letters = read_csv_parts(*args, **settings)
        assert letters == {}
        return blocks

    return run


@pytest.fixture
def read_csv_schema(tmp_path):
    """Return the columns of a CSV file."""

    def run(text):
        path = tmp_path / "t.csv"
        path.write_bytes(text.encode())
        file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
        (split,) = csv_source.split_csv(file, ReadSettings(batch_size=1))
        assert isinstance(split, CsvSplit)
        return list(split.schema.columns)

    return run
