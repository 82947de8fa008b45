"""Inputs and outputs of torch programs, of every type, size and nesting."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch.export import Dim

from template.model_options import make_model
from template.models.kinds import find_kind
from template.options import find_model_class
from template.parameters import ParameterError
from template.predict_result import UnusablePredictionError

FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(7, 3)).round(3), columns=list("abc"))
FEATURES = {"feature_columns": "a,b,c", "trusted": True}


class Linear(torch.nn.Module):
    def __init__(self, dtype=torch.float32):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 2, dtype=dtype)

    def forward(self, x):
        return self.layer(x)


class Lookup(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(10, 4)

    def forward(self, x):
        return self.words(x).sum(1)


class Both(NamedTuple):
    total: torch.Tensor
    twice: torch.Tensor


class ReturnsBoth(torch.nn.Module):
    def forward(self, x):
        return Both(x.sum(1), x * 2)


class Nested(torch.nn.Module):
    def forward(self, x):
        return {"pair": (x.sum(1), x * 2), "total": x.sum(1)}


class Keywords(torch.nn.Module):
    def forward(self, a, k: int, *, more):
        return a * k + more["b"]


class Mean(torch.nn.Module):
    def forward(self, x):
        return x.mean()


class Name(torch.nn.Module):
    def forward(self, x) -> str:
        return "x"


class Lengths(torch.nn.Module):
    def forward(self, texts: list[str], scale: torch.Tensor):
        marked = [text + "!" for text in texts]
        return torch.tensor([len(text) for text in texts]) * scale, marked


class Count(torch.nn.Module):
    def forward(self, x, count: int):
        return x * count


class Tripled(torch.nn.Module):
    def forward(self, x):
        return x * 3


@pytest.fixture
def load(tmp_path):
    """Save a module, and return the model of its file, as a launch makes it."""

    def save_and_load(module, kind, *example, opts=FEATURES, kwargs=None, **settings):
        path = tmp_path / f"model.{'pt2' if kind == 'export' else 'pt'}"
        module = module.eval()
        if kind == "export":
            torch.export.save(torch.export.export(module, example, kwargs, **settings), path)
        elif kind == "trace":
            torch.jit.trace(module, example).save(path)
        else:
            torch.jit.script(module).save(path)
        model = make_model(find_model_class(find_kind(str(path))), str(path), opts)
        model.inspect()
        return model

    return save_and_load


def tensor(frame, dtype=torch.float32):
    return torch.tensor(frame.to_numpy(), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("kind", ["script", "export"])
def test_weights_of_other_types_than_float32(load, kind, dtype):
    module, rows = Linear(dtype), tensor(FRAME, dtype)
    predicted = load(module, kind, rows).predict(FRAME)["prediction"]
    assert predicted.dtype == ("float32" if dtype == torch.bfloat16 else str(dtype)[6:])
    wanted = module(rows).detach().to(torch.float64).numpy()
    np.testing.assert_array_equal(predicted.astype(np.float64), wanted)


@pytest.mark.parametrize("kind", ["script", "trace", "export"])
def test_whole_numbers(load, kind):
    frame = pd.DataFrame({"a": [1, 2], "b": [4, 0], "c": [9, 3]})
    rows = tensor(frame, torch.int64)
    model = load(Lookup(), kind, rows)
    assert [column.type for column in model.columns] == ["integer"] * 3
    wanted = Lookup()(rows).detach().numpy()
    np.testing.assert_array_equal(model.predict(frame)["prediction"], wanted)


def test_a_chosen_type(load):
    model = load(Tripled(), "script", opts=FEATURES | {"input_type": "uint8"})
    frame = pd.DataFrame({"a": [1, 2], "b": [4, 0], "c": [9, 3]})
    np.testing.assert_array_equal(model.predict(frame)["prediction"], frame * 3)
    with pytest.raises(ValueError, match="column 'b': not of the model's type uint8"):
        model.predict(frame.assign(b=[1, 256]))
    model = load(Tripled(), "script", opts={"feature_columns": "v", "input_type": "int32"})
    with pytest.raises(ValueError, match="column 'v': not of the model's type int32"):
        model.predict(pd.DataFrame({"v": [[1, 2], [1, 2.5]]}))
    with pytest.raises(ValueError, match="column 'v': not only numbers"):
        model.predict(pd.DataFrame({"v": [[1, "2"]]}))


def test_numbers_and_lists_that_csv_has_as_text(load):
    model = load(Tripled(), "script", opts={"feature_columns": "v"})
    for cells, wanted in (
        (["1.5", "-2"], [[4.5], [-6]]),
        (["[1, 2]", "[3, 4]"], [[3, 6], [9, 12]]),
    ):
        assert model.predict(pd.DataFrame({"v": cells}))["prediction"].tolist() == wanted
    with pytest.raises(ValueError, match="column 'v': not only numbers"):
        model.predict(pd.DataFrame({"v": ["old"]}))


def test_texts(load):
    model = load(Lengths(), "script", opts={})
    assert [column.type for column in model.columns] == ["text", "number"]
    frame = pd.DataFrame({"texts": ["Ulm", "Essen"], "scale": [1.0, 0.5]})
    predicted = model.predict(frame)
    assert predicted["output_0"].tolist() == [3, 2.5]
    assert predicted["output_1"].tolist() == ["Ulm!", "Essen!"]
    with pytest.raises(ValueError, match="column 'texts': None is not a text"):
        model.predict(frame.assign(texts=["a", None]))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Count(), "the argument 'count' of forward is of type int"),
        (torch.nn.Module(), "without a forward"),
    ],
)
def test_what_columns_cannot_be_ends_the_launch(load, module, reason):
    with pytest.raises(ParameterError, match=reason):
        load(module, "script", opts={})


def test_several_outputs(load):
    predicted = load(ReturnsBoth(), "script").predict(FRAME)
    assert list(predicted) == ["total", "twice"]
    np.testing.assert_array_equal(predicted["twice"], tensor(FRAME) * 2)


def test_nested_outputs(load):
    predicted = load(Nested(), "export", tensor(FRAME)).predict(FRAME)
    assert list(predicted) == ["pair_0", "pair_1", "total"]
    np.testing.assert_array_equal(predicted["pair_1"], tensor(FRAME) * 2)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Mean(), r"output 'prediction' has shape \(\) for 7 rows"),
        (Name(), "output 'prediction' is a str"),
    ],
)
def test_outputs_without_an_entry_for_each_row(load, module, reason):
    with pytest.raises(UnusablePredictionError, match=reason):
        load(module, "script").predict(FRAME)


def test_an_exported_program_with_keywords_and_constants(load):
    shape = {0: Dim("rows")}
    dynamic = {"a": shape, "k": None, "more": {"b": shape}}
    kwargs = {"more": {"b": torch.ones(4)}}
    model = load(
        Keywords(),
        "export",
        *(torch.zeros(4), 3),
        kwargs=kwargs,
        dynamic_shapes=dynamic,
        opts={"trusted": True},
    )
    assert [column.name for column in model.columns] == ["a", "more_b"]
    frame = pd.DataFrame({"a": [1.0, 2.0], "more_b": [0.5, 0.25]})
    assert model.predict(frame)["prediction"].tolist() == [3.5, 6.25]


SIZES = {
    "one row": (1, None),
    "two rows": (2, None),
    "as many as there are": (7, None),
    "more than there are": (9, None),
    "4 to 6 rows": (5, {0: Dim("rows", min=4, max=6)}),
    "even rows up to 6": (4, {0: 2 * Dim("half", max=3)}),
}


@pytest.mark.parametrize(("rows", "dynamic"), SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_batch_has_a_size_that_the_program_takes(load, monkeypatch, rows, dynamic, count):
    example = torch.zeros(rows, 3)
    settings = {"dynamic_shapes": (dynamic,)} if dynamic else {}
    model = load(Linear(), "export", example, **settings)
    seen = []
    run = type(model).run

    def record(self, loaded, inputs):
        seen.append(len(inputs["x"]))
        return run(self, loaded, inputs)

    monkeypatch.setattr(type(model), "run", record)
    predicted = model.predict(FRAME[:count])["prediction"]
    np.testing.assert_allclose(predicted, Linear()(tensor(FRAME[:count])).detach(), atol=1e-7)
    allowed = {4, 5, 6} if rows == 5 else {2, 4, 6} if dynamic else {rows}
    assert set(seen) <= allowed


class Named(torch.nn.Module):
    def forward(self, x):
        return {"key": x.sum(1)}


@pytest.mark.parametrize(("how", "example"), [("script", []), ("export", [torch.zeros(7, 3)])])
def test_an_output_named_like_the_key_fails_at_the_first_call_and_can_be_renamed(
    load, how, example
):
    with pytest.raises(UnusablePredictionError, match=r"its output 'key' .* option output_names"):
        load(Named(), how, *example).predict(FRAME)
    predicted = load(Named(), how, *example, opts={**FEATURES, "output_names": "total"}).predict(
        FRAME
    )
    np.testing.assert_allclose(predicted["total"], FRAME.sum(axis=1), atol=1e-6)


def test_no_rows_are_predicted_as_nothing(load):
    assert load(Linear(), "script").predict(FRAME[:0]) is None
