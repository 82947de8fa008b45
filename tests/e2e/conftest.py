"""A bucket with images and weights on the local Dataflow, and the rows that a job wrote there."""

from __future__ import annotations

import dataclasses
import json

import pytest
from google.cloud import storage

from launcher.emulator.daemon import EmulatorInfo
from tests.support import ImageSet, open_storage

_SCORE_TOLERANCE = 1e-6  # float32 sums over blocks of other sizes


@dataclasses.dataclass(frozen=True)
class Lake:
    """The bucket that the end-to-end tests use."""

    bucket: storage.Bucket

    @property
    def root(self) -> str:
        return f"gs://{self.bucket.name}"

    def upload(self, name: str, content: bytes) -> str:
        self.bucket.blob(name).upload_from_string(content)
        return f"{self.root}/{name}"

    def list_names(self, prefix: str) -> list[str]:
        return [blob.name for blob in self.bucket.list_blobs(prefix=prefix)]

    def read_rows(self, prefix: str) -> list[dict]:
        """Return the JSON rows of every file of rows below the prefix."""
        return [
            json.loads(line)
            for blob in self.bucket.list_blobs(prefix=prefix)
            if blob.name.endswith(".jsonl")
            for line in blob.download_as_bytes().splitlines()
        ]


@pytest.fixture(scope="session")
def lake(emulator: EmulatorInfo) -> Lake:
    return Lake(open_storage(emulator).create_bucket("flexpack-e2e"))


@pytest.fixture(scope="session")
def staged_images(lake: Lake, image_set: ImageSet) -> str:
    return lake.upload(f"images/{image_set.images.name}", image_set.images.read_bytes())


@pytest.fixture(scope="session")
def staged_weights(lake: Lake, image_set: ImageSet) -> str:
    return lake.upload(f"models/{image_set.weights.name}", image_set.weights.read_bytes())


@pytest.fixture(scope="session")
def expected(image_set: ImageSet) -> list[tuple[int, float]]:
    return image_set.predict_with_torch()


@pytest.fixture
def check_predictions(lake: Lake, image_set: ImageSet, expected: list[tuple[int, float]]):
    """Compare every row that a job wrote with plain torch."""

    def check(prefix: str) -> None:
        rows = {row["key"]: row for row in lake.read_rows(prefix)}
        assert set(rows) == {f"{image_set.images.name}#{row}" for row in range(len(expected))}
        for number, (class_index, score) in enumerate(expected):
            row = rows[f"{image_set.images.name}#{number}"]
            assert row["class_index"] == class_index
            assert row["score"] == pytest.approx(score, abs=_SCORE_TOLERANCE)

    return check
