"""TorchScript and torch.export programs without a class, against plain torch."""

import numpy as np
import pytest
import torch

from template.models.kinds import EXPORTED_PROGRAM, ONNX, SCIKIT_LEARN, TORCHSCRIPT, XGBOOST
from template.needs.describe import describe_model
from template.options import find_model_class
from template.parameters import ParameterError

ROWS = [(0.5, -1.25, 3.0), (2.0, 0.125, -7.5), (1e-3, 4.0, 9.0), (0.0, 0.0, 0.0), (1.0, 2.0, 3.0)]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        first, last = torch.nn.Linear(3, 5), torch.nn.Linear(5, 4)
        self.layers = torch.nn.Sequential(first, torch.nn.ReLU(), last)

    def forward(self, x):
        return self.layers(x)


class TwoInputs(torch.nn.Module):
    def forward(self, age, income):
        return {"sum": age + income, "product": age * income}


class Convolution(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.convolution = torch.nn.Conv2d(3, 2, 3)

    def forward(self, x):
        return self.convolution(x).mean((2, 3))


@pytest.fixture
def save(tmp_path):
    """Save a module as a file of a kind, and return its path."""

    def write(module, kind, *example, **settings):
        path = tmp_path / f"model.{kind}"
        module = module.eval()
        if kind == "script":
            torch.jit.script(module).save(path)
        elif kind == "trace":
            torch.jit.trace(module, example).save(path)
        else:
            if kind == "dynamic":
                settings = {"dynamic_shapes": tuple({0: torch.export.Dim("rows")} for _ in example)}
            torch.export.save(torch.export.export(module, example, **settings), path)
        return path

    return write


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rows.csv"
    lines = [f"{c},{a},{b},{n}" for n, (a, b, c) in enumerate(ROWS)]
    path.write_text("\n".join(["third,first,second,id", *lines]))
    return path


@pytest.mark.parametrize("kind", ["script", "trace", "dynamic", "fixed"])
def test_rows_of_a_table(predict_file, save, table, kind):
    example = torch.zeros(2 if kind == "fixed" else 3, 3)
    path = save(Net(), kind, example)
    opts = {"feature_columns": "first, second, third", "trusted": True}
    rows = predict_file(path, table, opts, key_column="id").by_key()
    with torch.inference_mode():
        wanted = Net().eval()(torch.tensor(ROWS))
    found = np.array([rows[str(n)]["prediction"] for n in range(len(ROWS))])
    np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["script", "fixed"])
def test_labels(predict_file, save, table, kind):
    path = save(Net(), kind, torch.zeros(2, 3))
    columns = {"feature_columns": "first,second,third", "trusted": True}
    opts = columns | {"class_names": "a,b,c,d", "softmax": True}
    with torch.inference_mode():
        wanted = Net().eval()(torch.tensor(ROWS)).softmax(1)
    scores, classes = wanted.topk(2)
    best = predict_file(path, table, opts, key_column="id").by_key()
    top = predict_file(path, table, opts | {"top_k": 2}, key_column="id").by_key()
    for n in range(len(ROWS)):
        names = ["abcd"[index] for index in classes[n]]
        assert best[str(n)]["label"] == names[0]
        assert best[str(n)]["score"] == pytest.approx(scores[n, 0].item(), abs=1e-6)
        assert top[str(n)]["labels"] == names
        assert top[str(n)]["scores"] == pytest.approx(scores[n].tolist(), abs=1e-6)


@pytest.mark.parametrize("kind", ["script", "dynamic"])
def test_several_inputs_are_columns_and_several_outputs_too(predict_file, save, tmp_path, kind):
    path = save(TwoInputs(), kind, torch.zeros(3), torch.zeros(3))
    (tmp_path / "in.jsonl").write_text('{"income": 2.5, "age": 3}\n{"age": 1, "income": 4}\n')
    outcome = predict_file(path, tmp_path / "in.jsonl", {"trusted": True})
    assert [(row["sum"], row["product"]) for row in outcome.predictions] == [(5.5, 7.5), (5, 4)]


@pytest.mark.parametrize("kind", ["script", "dynamic"])
def test_images_of_any_size(predict_file, save, tmp_path, images, kind):
    from PIL import Image

    path = save(Convolution(), kind, torch.zeros(3, 3, 8, 8))
    Image.fromarray(images(1, (16, 16, 3))[0]).save(tmp_path / "a.png")
    opts = {"trusted": True, "image_mean": "0.5", "image_std": "0.25,0.5,1"}
    opts |= {"image_size": "8"} if kind == "script" else {}
    (row,) = predict_file(path, tmp_path / "a.png", opts).predictions
    small = Image.open(tmp_path / "a.png").resize((8, 8), Image.Resampling.BILINEAR)
    tensor = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 255
    tensor = (tensor - 0.5) / torch.tensor([0.25, 0.5, 1]).reshape(-1, 1, 1)
    with torch.inference_mode():
        wanted = Convolution()(tensor)[0].tolist()
    assert row["prediction"] == pytest.approx(wanted, abs=1e-6)


def test_large_jpeg_files_are_halved_if_an_option_says_so(predict_file, save, tmp_path, images):
    from PIL import Image

    path = save(Convolution(), "script", torch.zeros(3, 3, 8, 8))
    Image.fromarray(images(1, (64, 64, 3))[0]).save(tmp_path / "a.jpg")
    opts = {"image_size": "8", "image_fit": "stretch", "image_scaled_decoding": True}
    (row,) = predict_file(path, tmp_path / "a.jpg", opts).predictions
    halved = Image.open(tmp_path / "a.jpg")
    halved.draft("RGB", (8, 8))
    assert halved.size == (8, 8)
    tensor = torch.from_numpy(np.array(halved)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        wanted = Convolution()(tensor)[0].tolist()
    assert row["prediction"] == pytest.approx(wanted, abs=1e-6)


def test_images_are_resized_by_torch_if_an_option_says_so(predict_file, save, tmp_path, images):
    from PIL import Image

    path = save(Convolution(), "script", torch.zeros(3, 3, 8, 8))
    pixels = images(1, (37, 29, 3))[0]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    opts = {"image_size": "8", "image_fit": "stretch", "image_resizer": "torch"}
    (row,) = predict_file(path, tmp_path / "a.png", opts).predictions
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(tensor, (8, 8), mode="bilinear", antialias=True)
    with torch.inference_mode():
        wanted = Convolution()(small.float() / 255)[0].tolist()
    assert row["prediction"] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "opts", "reason"),
    [
        ("script", {}, "the file names no columns for its input 'x'"),
        ("dynamic", {"trusted": True}, r"its input 'x' of shape \(rows, 3\)"),
        ("dynamic", {"trusted": True, "feature_columns": "a,b"}, "takes 3 columns"),
        ("dynamic", {"feature_columns": "a,b,c"}, "set the model's option trusted to true"),
        ("script", {"feature_colums": "a"}, "did you mean 'feature_columns'"),
        ("script", {"feature_columns": "a,a"}, "names 'a' twice"),
    ],
)
def test_a_wrong_option_ends_the_launch(inspect, save, kind, opts, reason):
    path = save(Net(), kind, torch.zeros(3, 3))
    with pytest.raises(ParameterError, match=reason):
        inspect(path, opts)


@pytest.mark.parametrize("kind", ["script", "dynamic"])
@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_ends_the_launch(inspect, save, kind, damage):
    path = save(Net(), kind, torch.zeros(3, 3))
    data = bytearray(path.read_bytes())
    if damage == "changed":
        middle = data.index(b"code/__torch__" if kind == "script" else b"weight_0")
        data[middle + 64 : middle + 128] = bytes(64)
    path.write_bytes({"cut": data[: len(data) // 2], "changed": data, "empty": b""}[damage])
    with pytest.raises(ParameterError, match=r"damaged|does not load|is empty"):
        inspect(path, {"feature_columns": "a,b,c", "trusted": True})


def test_weights_of_a_network_stay_the_built_in_model(inspect, weights):
    assert inspect(weights, {}).model_class.__name__ == "FashionMnistModel"


def test_other_files_say_what_was_found(inspect, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ParameterError, match=r"begins with b'hello'.*--model_class=module:Class"):
        inspect(tmp_path / "notes.txt", {})
    with pytest.raises(ParameterError, match=r"none.pt': no such file"):
        inspect(tmp_path / "none.pt", {})


def test_the_options_of_a_kind_can_be_parameters_of_a_template():
    for kind in (TORCHSCRIPT, EXPORTED_PROGRAM, ONNX, XGBOOST, SCIKIT_LEARN):
        described = describe_model(find_model_class(kind))
        assert "feature_columns" in [each["name"] for each in described["options"]]
        assert described["images"] is None
