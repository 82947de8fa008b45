"""The information from which a project for a model file is made."""

import json

import pytest
import torch

from template.models.describe import describe_file, main
from template.parameters import ParameterError
from tests.template.models.kind_files import save

NAMES = ("age", "income", "visits")


def test_a_file_says_its_class_columns_and_packages(tmp_path):
    saved = save("torchscript", tmp_path)
    options = {"feature_columns": "age,income,visits", "softmax": "true"}
    assert describe_file(str(saved.path), options) == {
        "model_class": "template.models.torchscript:TorchScriptModel",
        "kind": "a TorchScript program",
        "options": {"feature_columns": "age,income,visits", "softmax": True},
        "packages": [],
        "columns": [{"name": name, "type": "number", "optional": False} for name in NAMES],
    }


def test_what_is_wrong_is_said_on_standard_error(tmp_path, capsys):
    path = str(save("torchscript", tmp_path).path)
    for options, problem in (
        ({}, "set the model's option feature_columns"),
        ({"feature_column": "a"}, "no such option; did you mean 'feature_columns'?"),
        ({"softmax": "maybe"}, "option 'softmax': 'maybe': "),
    ):
        assert main([path, json.dumps(options)]) == 2
        out, err = capsys.readouterr()
        assert (out, problem in err) == ("", True), err
    assert main([path, '{"feature_columns": "age,income,visits"}']) == 0
    assert json.loads(capsys.readouterr().out)["options"]


def test_weights_alone_need_a_class(tmp_path):
    torch.save(torch.nn.Linear(2, 1).state_dict(), tmp_path / "w.pth")
    with pytest.raises(ParameterError, match="holds weights without their network"):
        describe_file(str(tmp_path / "w.pth"), {})
