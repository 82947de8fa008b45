"""Rows of declared columns, and what every source makes of them."""

import json

import numpy as np
import pandas as pd

from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.messages import Message, Messages
from template.model import Column
from template.sources import messages as messages_source
from template.sources.messages import MessageSettings
from template.sources.streams import ReadSettings

COLUMNS = (
    Column("age", "number"),
    Column("zip", "text"),
    Column("visits", "integer"),
    Column("member", "boolean"),
    Column("score", "number", optional=True),
    Column("city", "text", optional=True),
    Column("pets", "integer", optional=True),
    Column("vip", "boolean", optional=True),
)


DTYPES = ["float64", "object", "int64", "bool", "float64", "object", "Int64", "boolean"]


ROWS = [
    {"age": 36.5, "zip": "00501", "visits": 4, "member": True},
    {"age": 40, "zip": "1e3", "visits": 2**60 + 1, "member": False, "score": 1.5, "city": "x"},
    {"age": 1, "zip": "ü", "visits": -1, "member": True, "pets": 2**62 + 1, "vip": False, "z": [1]},
]


class Read:
    """The parts of a file that a source makes."""

    def __init__(self, path, split, **given):
        self.path = path
        settings = ReadSettings(**{"batch_size": 1000, "columns": COLUMNS, **given})
        file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
        self.parts = [
            part
            for each in split(file, settings)
            for part in ([each] if isinstance(each, DeadLetter) else each.read(settings))
        ]

    @property
    def blocks(self):
        return [part for part in self.parts if not isinstance(part, DeadLetter)]

    @property
    def errors(self):
        letters = [part for part in self.parts if isinstance(part, DeadLetter)]
        return {letter.source.removeprefix(f"{self.path} "): letter.error for letter in letters}

    @property
    def frame(self):
        assert not self.errors, self.errors
        (block,) = self.blocks
        return block.frame


def read_messages(payloads, **given):
    settings = MessageSettings(**{"columns": COLUMNS, **given})
    messages = Messages(
        Message(each if isinstance(each, bytes) else json.dumps(each).encode(), {}, str(number), 0)
        for number, each in enumerate(payloads)
    )
    decode = messages_source._DecodeDoFn(settings)
    return [getattr(part, "value", part) for part in decode.process(messages)]


def check_rows(frame):
    """Check that a frame holds ``ROWS``."""
    assert list(frame.columns) == [column.name for column in COLUMNS]
    assert [str(dtype) for dtype in frame.dtypes] == DTYPES
    assert frame["age"].tolist() == [36.5, 40, 1]
    assert frame["zip"].tolist() == ["00501", "1e3", "ü"]
    assert frame["visits"].tolist() == [4, 2**60 + 1, -1]
    assert frame["member"].tolist() == [True, False, True]
    assert np.isnan(frame["score"].tolist()).tolist() == [True, False, True]
    assert frame["city"].tolist() == [None, "x", None]
    assert frame["pets"].tolist() == [pd.NA, pd.NA, 2**62 + 1]
    assert frame["vip"].tolist() == [pd.NA, pd.NA, False]
