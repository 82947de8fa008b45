"""The Fashion-MNIST model: weights, inputs and the real predictions."""

import gzip

import numpy as np
import pandas as pd
import pytest
import torch

from template.blocks import object_cells
from template.models.fashion_mnist import CLASSES, FashionMnistModel
from template.models.fashion_mnist_network import FashionMnistNetwork


@pytest.fixture
def model(weights):
    """A model with random weights."""
    return FashionMnistModel(str(weights))


def test_every_form_of_an_image_gives_the_same_prediction(model, images, expected):
    array = images(6)
    flat = array.reshape(6, 784)
    forms = [
        pd.DataFrame({"image": object_cells(array)}),
        pd.DataFrame({"image": object_cells(flat)}),
        pd.DataFrame({"image": array.tolist()}),
        pd.DataFrame({"image": flat.astype(float).tolist()}),
        pd.DataFrame(flat, columns=[f"pixel{number}" for number in range(1, 785)]),
    ]
    for frame in forms:
        predicted = model.predict(frame)
        assert list(predicted.columns) == ["class_index", "class_name", "score"]
        for row, (index, score) in enumerate(expected(array)):
            assert predicted["class_index"][row] == index
            assert predicted["class_name"][row] == CLASSES[index]
            assert predicted["score"][row] == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (pd.DataFrame({"image": [np.zeros(783)]}), r"image of shape \(783,\)"),
        (pd.DataFrame({"image": [np.zeros((28, 28, 2))]}), r"image of shape \(28, 28, 2\)"),
        (pd.DataFrame({"image": ["text"]}), "is a str, not an array of pixels"),
        (pd.DataFrame({"image": [["a"] * 784]}), "not numbers"),
        (pd.DataFrame({"image": [[np.nan] * 784]}), "not a whole number from 0 to 255"),
        (pd.DataFrame({"a": [1]}), "neither a column image nor pixel1 .784 of the 784"),
    ],
)
def test_what_is_no_image_says_why(model, frame, reason):
    with pytest.raises(ValueError, match=reason):
        model.predict(frame)


def test_weights_of_another_network_say_what_differs(tmp_path):
    state = FashionMnistNetwork().state_dict()
    state["linear_relu_stack.0.weight"] = torch.zeros(512, 100)
    state["extra"] = state.pop("linear_relu_stack.4.bias")
    path = tmp_path / "other.pth"
    torch.save(state, path)
    with pytest.raises(ValueError, match="not the weights of this network") as info:
        FashionMnistModel(str(path)).ensure_model()
    message = str(info.value)
    assert "missing linear_relu_stack.4.bias" in message
    assert "unexpected extra" in message
    assert "linear_relu_stack.0.weight is (512, 100), not (512, 784)" in message


def test_files_that_are_no_weights_are_named(tmp_path):
    whole = tmp_path / "model.pth"
    torch.save(FashionMnistNetwork(), whole)
    text = tmp_path / "text.pth"
    text.write_text("no weights")
    junk = tmp_path / "junk.pth"
    junk.write_text("junk\n")
    for path in (whole, text, junk):
        with pytest.raises(ValueError, match=r"\.pth: holds no weights that load safely"):
            FashionMnistModel(str(path)).ensure_model()
    torch.save([1, 2], text)
    with pytest.raises(ValueError, match="holds a list, not a state_dict"):
        FashionMnistModel(str(text)).ensure_model()


@pytest.mark.realdata
def test_the_real_images_are_predicted_as_plain_torch_does(predict, fashion_mnist):
    outcome = predict(fashion_mnist.images, model_path=str(fashion_mnist.weights), batch_size=256)
    rows = outcome.by_key()
    with gzip.open(fashion_mnist.labels) as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    expected = fashion_mnist.predict_with_torch()
    assert len(rows) == len(expected) == len(labels) == 1000
    correct = 0
    for number, (index, score) in enumerate(expected):
        row = rows[f"{fashion_mnist.images.name}#{number}"]
        assert row["class_index"] == index
        assert row["class_name"] == CLASSES[index]
        assert row["score"] == pytest.approx(score, abs=1e-6)
        correct += index == labels[number]
    assert correct / 1000 == pytest.approx(0.457)
