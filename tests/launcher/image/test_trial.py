"""The files of a user's model, brought to where the image can read them."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from launcher.errors import InputError
from launcher.image.trial import ModelTrial, prepared

INSIDE = PurePosixPath("/tmp/flexpack-trial")


def test_a_model_is_called_by_its_class_or_its_file():
    assert ModelTrial(model_class="a:B", model_path="x/c.pt").name == "a:B"
    assert ModelTrial(model_path="gs://x/c.onnx").name == "c.onnx"


def test_a_class_alone_needs_no_file():
    with prepared(ModelTrial(model_class="a:B")) as ready:
        assert ready.mounts == {}
        assert ready.options == {
            "model_class": "a:B",
            "model_path": None,
            "input": None,
            "parameters": {},
        }


def test_a_folder_is_mounted_and_a_sample_is_copied(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "rows-1.csv").write_text("x\n1\n")
    trial = ModelTrial(
        model_class="a:B",
        model_path=str(tmp_path / "model"),
        input=str(tmp_path / "*.csv"),
        parameters={"key_column": "x"},
    )
    with prepared(trial) as ready:
        (model, sample), inside = ready.mounts.keys(), list(ready.mounts.values())
        assert model == tmp_path / "model"
        assert sample.read_text() == "x\n1\n"
        assert inside == [INSIDE / "model" / "model", INSIDE / "input" / "rows-1.csv"]
        assert ready.options["input"] == str(inside[1])
        assert ready.options["parameters"] == {"key_column": "x"}
    assert not sample.exists()
    assert model.exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_path": "nowhere"}, "--model-path 'nowhere': no such file or folder"),
        ({"input": "nowhere"}, "--input nowhere: no file matches"),
    ],
)
def test_a_file_that_does_not_exist(fields, message):
    with (
        pytest.raises(InputError, match=message),
        prepared(ModelTrial(model_class="a:B", **fields)),
    ):
        pass
