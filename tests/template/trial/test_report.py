"""The table of a trial, and the part that is shown of an exception that ends it."""

from __future__ import annotations

import numpy as np
import pytest

from template.models.labels import LabelOptions
from template.predict_result import UnusablePredictionError
from template.trial.report import Trial, format_failure, format_report


def test_a_long_key_keeps_its_end_and_a_long_value_its_begin():
    path = f"/data/{'photographs/' * 5}img_0001.jpg"
    letters = [{"key": path, "error": "E", "source": "s"}]
    trial = Trial(
        predictions=[{"key": path, "label": "a label " * 9}], dead_letters=letters,
        load_sec=0, predict_sec=0, total_sec=0, peak_bytes=0, imports_bytes=0,
    )  # fmt: skip
    _, row, _, _, letter, *_ = format_report(trial, is_cut=False).split("\n")
    cut = f"...{path[-37:]}"
    assert row == f"{cut}  {('a label ' * 9)[:37]}..."
    assert letter == f"{cut}  E  (s)"


class Labels(LabelOptions):
    def load_model(self, path, **opts):
        return True


def test_wrong_names_of_classes_are_explained_without_frames():
    model = Labels("m", {"class_names": "cat,dog"})
    with pytest.raises(UnusablePredictionError) as caught:
        model.label({"scores": np.zeros((1, 3))})
    # A trial's exception has only frames of Beam, the template and the user before it is shown.
    error = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    assert format_failure(error) == (
        "template.predict_result.UnusablePredictionError: option class_names: 2 names; the model "
        "has 3 scores"
    )


def test_an_error_of_a_library_keeps_its_frames():
    try:
        np.zeros(3).reshape(2)
    except ValueError as error:
        assert "in test_an_error_of_a_library_keeps_its_frames" in format_failure(error)
