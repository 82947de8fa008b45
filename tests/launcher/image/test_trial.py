"""The files of a user's model, copied to a place that the image can read."""

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


@pytest.mark.parametrize("end", ["", "/"])
def test_a_folder_in_cloud_storage_is_copied(cloud, storage, end):
    for name in ("bert/config.json", "bert/deep/a.bin", "bert/", "bertrand/no"):
        storage.store.write("my-bucket", name, name.encode())
    with prepared(ModelTrial(model_path=f"gs://my-bucket/bert{end}")) as ready:
        ((folder, inside),) = ready.mounts.items()
        assert inside == INSIDE / "model" / "bert"
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert files == {"config.json", "deep/a.bin"}
        assert (folder / "deep" / "a.bin").read_bytes() == b"bert/deep/a.bin"


def test_a_file_in_cloud_storage_is_copied(cloud, storage):
    storage.store.write("my-bucket", "m/a.onnx", b"a")
    with prepared(ModelTrial(model_path="gs://my-bucket/m/a.onnx")) as ready:
        ((file, inside),) = ready.mounts.items()
        assert (file.read_bytes(), inside) == (b"a", INSIDE / "model" / "a.onnx")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_path": "gs://my-bucket/no"}, "--model-path gs://my-bucket/no: there is no such"),
        ({"model_path": "nowhere"}, "--model-path 'nowhere': no such file or folder"),
        ({"input": "nowhere"}, "--input nowhere: no file matches"),
    ],
)
def test_a_file_that_does_not_exist(cloud, fields, message):
    with (
        pytest.raises(InputError, match=message),
        prepared(ModelTrial(model_class="a:B", **fields)),
    ):
        pass
