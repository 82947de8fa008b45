"""Models that declare options of every type, for the tests."""

from __future__ import annotations

import pandas as pd

from template.model import BaseModel, Column, Option


class EveryOption(BaseModel):
    """Puts the values of its options into each prediction."""

    columns = (Column("a", "number"),)

    threshold = Option("number", "From where.", default=0.5, minimum=0, maximum=1)
    top_k = Option("integer", "How many.", default=5, minimum=1, maximum=100)
    head = Option("text", "Which.", choices={"small": "Small", "big.1": "Big"}, default="small")
    half = Option("boolean", "Half precision.", default=False)
    note = Option("text", "A note.", default=None, regex="[a-z, ]*")
    who = Option("text", "Who asks.")

    def load_model(self, path, top_k, *, half):
        assert (top_k, half) == (self.top_k, self.half)
        return [self.threshold]

    def predict(self, df: pd.DataFrame) -> pd.DataFrame:
        values = [self.threshold, self.top_k, self.head, self.half, self.note, self.who]
        return pd.DataFrame({"a": df["a"], "options": [repr(values)] * len(df)})


class BeamsName(BaseModel):
    region = Option("text", "A name of Beam's.", default="x")


class DataflowsName(BaseModel):
    sdk_location = Option("text", "A name of Beam's.", default="x")


class Undeclared(BaseModel):
    """Takes arguments without a declaration."""

    def load_model(self, path, depth=1):
        return depth

    def predict(self, df):
        return [self.ensure_model()] * len(df)
