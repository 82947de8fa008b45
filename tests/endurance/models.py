"""Models of the endurance runs: slow enough to be killed or replaced while they predict."""

import json
import time

import pandas as pd

from template.files import download_file_to_localfs
from template.model import BaseModel


class SlowModel(BaseModel):
    """Predicts a row's square, and takes a fifth of a second per block."""

    def load_model(self, path):
        return True

    def predict(self, df: pd.DataFrame):
        self.ensure_model()
        time.sleep(0.2)
        return pd.DataFrame({"square": df["number"] * df["number"]})


class VersionedModel(BaseModel):
    """Predicts the version that its file holds, so that each update is visible."""

    def load_model(self, path):
        with download_file_to_localfs(path) as file, open(file) as text:
            return json.load(text)["version"]

    def predict(self, df: pd.DataFrame):
        return pd.DataFrame({"number": df["number"], "version": self.ensure_model()})
