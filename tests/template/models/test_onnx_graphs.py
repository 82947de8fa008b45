"""ONNX graphs of every form, against plain ONNX Runtime."""

import numpy as np
import pandas as pd
import pytest

from template.parameters import ParameterError
from template.predict_result import UnusablePredictionError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper = pytest.importorskip("onnx.helper")
numpy_helper = pytest.importorskip("onnx.numpy_helper")
TensorProto = onnx.TensorProto

FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(7, 3)).round(3), columns=list("abc"))
WEIGHTS = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)
FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def tensor(name, type_=FLOAT, shape=("rows", 3)):
    return helper.make_tensor_value_info(name, type_, shape)


@pytest.fixture
def save(tmp_path):
    """Save a graph, by default of a matrix product ``y`` of ``x``, and return its path."""

    def write(nodes=None, inputs=None, outputs=None, *, opset=17, ir=8, ml=False, external=False):
        nodes = nodes or [helper.make_node("MatMul", ["x", "w"], ["y"])]
        graph = helper.make_graph(
            nodes,
            "graph",
            inputs or [tensor("x")],
            outputs or [tensor("y", shape=["rows", 2])],
            [numpy_helper.from_array(WEIGHTS, "w")],
        )
        opsets = [helper.make_opsetid("", opset)]
        if ml:
            opsets.append(helper.make_opsetid("ai.onnx.ml", 3))
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = ir
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        settings = {"location": "m.weights", "size_threshold": 0, "save_as_external_data": True}
        onnx.save(model, folder / "m.onnx", **(settings if external else {}))
        return folder / "m.onnx"

    return write


def run(path, **inputs):
    session = onnxruntime.InferenceSession(str(path))
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


@pytest.mark.parametrize(("opset", "ir"), [(7, 3), (9, 4), (13, 7), (17, 8), (21, 10), (25, 12)])
def test_every_opset(save, open_model, opset, ir):
    path = save(opset=opset, ir=ir)
    model, _ = open_model(path, feature_columns="a,b,c")
    wanted = run(path, x=FRAME.to_numpy(np.float32))["y"]
    np.testing.assert_array_equal(model.predict(FRAME)["y"], wanted)


@pytest.mark.parametrize("future", [{"opset": 99}, {"ir": 60}])
def test_a_file_of_the_future_is_named(save, open_model, future):
    with pytest.raises(ParameterError, match=r"newer than this onnxruntime .*install"):
        open_model(save(**future), feature_columns="a,b,c")


def test_weights_in_a_file_of_their_own(save, open_model):
    path = save(external=True)
    model, _ = open_model(path.parent, feature_columns="a,b,c")
    np.testing.assert_allclose(model.predict(FRAME)["y"], FRAME @ WEIGHTS, atol=1e-6)
    with pytest.raises(
        ParameterError, match=r"in another file, m\.weights: put both into a folder"
    ):
        open_model(path, feature_columns="a,b,c")
    stored = onnx.load(path, load_external_data=False)
    stored.graph.initializer[0].external_data[0].value = "../../../../../../etc/passwd"
    path.write_bytes(stored.SerializeToString())
    with pytest.raises(ParameterError, match="escapes model directory"):
        open_model(path.parent, feature_columns="a,b,c")


@pytest.mark.parametrize("rows", [1, 2, 7, 100])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_fixed_number_of_rows(save, open_model, rows, count):
    path = save(inputs=[tensor("x", shape=[rows, 3])], outputs=[tensor("y", shape=[rows, 2])])
    model, _ = open_model(path, feature_columns="a,b,c")
    wanted = FRAME[:count].to_numpy(np.float32) @ WEIGHTS
    np.testing.assert_allclose(model.predict(FRAME[:count])["y"], wanted, atol=1e-6)


def test_an_input_that_is_always_of_one_row_makes_all_so(save, open_model):
    path = save(
        [helper.make_node("Add", ["x", "k"], ["y"])],
        [tensor("x", shape=["rows", 1]), tensor("k", shape=[1])],
        [tensor("y", shape=["rows", 1])],
    )
    model, _ = open_model(path)
    predicted = model.predict(pd.DataFrame({"x": [1.0, 2.0, 3.0], "k": [10.0, 20.0, 30.0]}))
    assert predicted["y"].tolist() == [[11], [22], [33]]


TYPES = {
    TensorProto.DOUBLE: (np.float64, "number"),
    TensorProto.FLOAT16: (np.float16, "number"),
    TensorProto.INT32: (np.int32, "integer"),
    TensorProto.UINT8: (np.uint8, "integer"),
    TensorProto.BOOL: (np.bool_, "boolean"),
    TensorProto.STRING: (object, "text"),
}


@pytest.mark.parametrize("type_", TYPES)
def test_inputs_of_every_type(save, open_model, type_):
    dtype, column = TYPES[type_]
    node = helper.make_node("Identity", ["x"], ["y"])
    path = save([node], [tensor("x", type_, ["rows", 1])], [tensor("y", type_, ["rows", 1])])
    model, types = open_model(path)
    assert types == {"x": column}
    values = ["Ulm", "Köln"] if column == "text" else [1, 0]
    array = np.array(values, dtype=dtype)
    predicted = model.predict(pd.DataFrame({"x": array}))["y"]
    np.testing.assert_array_equal(predicted, run(path, x=array[:, None])["y"])
    if column == "integer":
        with pytest.raises(
            ValueError, match=f"column 'x': not of the model's type {dtype.__name__}"
        ):
            model.predict(pd.DataFrame({"x": [1, 2**40]}))


def test_lists_of_a_shape(save, open_model):
    shape = ["rows", 2, 2]
    node = helper.make_node("Identity", ["x"], ["y"])
    path = save([node], [tensor("x", shape=shape)], [tensor("y", shape=shape)])
    model, _ = open_model(path, feature_columns="v")
    frame = pd.DataFrame({"v": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]})
    assert model.predict(frame)["y"].tolist() == frame["v"].tolist()
    with pytest.raises(ValueError, match=r"column 'v': a value of shape \(3,\); .*\(rows, 2, 2\)"):
        model.predict(pd.DataFrame({"v": [[1, 2, 3]]}))
    with pytest.raises(ValueError, match="column 'v': not only numbers"):
        model.predict(pd.DataFrame({"v": [None]}, dtype=object))


@pytest.mark.parametrize("zips", [False, True], ids=["array", "maps"])
def test_a_classifier_with_labels_and_scores(save, open_model, zips):
    """As skl2onnx writes it: first the labels, then the scores, in maps or an array."""
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            classlabels_strings=["no", "yes"],
            coefficients=WEIGHTS.T.ravel().tolist(),
            intercepts=[0.0, 0.0],
            post_transform="SOFTMAX",
        )
    ]
    outputs = [tensor("label", TensorProto.STRING, ["rows"]), tensor("scores", shape=["rows", 2])]
    if zips:
        zip_map = helper.make_node(
            "ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"]
        )
        nodes.append(zip_map)
        outputs[1] = helper.make_value_info(
            "maps",
            helper.make_sequence_type_proto(
                helper.make_map_type_proto(
                    TensorProto.STRING, helper.make_tensor_type_proto(FLOAT, [])
                )
            ),
        )
    path = save(nodes, outputs=outputs, ml=True)
    model, _ = open_model(path, feature_columns="a,b,c")
    predicted = model.predict(FRAME)
    logits = FRAME.to_numpy(np.float32) @ WEIGHTS
    wanted = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert list(predicted["label"]) == [["no", "yes"][n] for n in wanted.argmax(1)]
    np.testing.assert_allclose(predicted["maps" if zips else "scores"], wanted, atol=1e-6)
    model, _ = open_model(path, feature_columns="a,b,c", top_k=1, class_names="n,y")
    predicted = model.predict(FRAME)
    assert [each[0] for each in predicted["labels"]] == [["n", "y"][n] for n in wanted.argmax(1)]
    model, _ = open_model(path, feature_columns="a,b,c", class_names="n,y")
    assert list(model.predict(FRAME)["label"]) == [["n", "y"][n] for n in wanted.argmax(1)]


def test_what_columns_cannot_be_ends_the_launch(save, open_model):
    node = helper.make_node("Add", ["x", "k"], ["y"])
    path = save([node], [tensor("x", shape=["rows", 1]), tensor("k", shape=[])], [tensor("y")])
    with pytest.raises(ParameterError, match="the input 'k' is a single value"):
        open_model(path)
    node = helper.make_node("Identity", ["x"], ["y"])
    path = save([node], [tensor("x", shape=["rows"])], [tensor("y", shape=["rows"])])
    with pytest.raises(ParameterError, match="takes 1 column, but feature_columns names 2"):
        open_model(path, feature_columns="a,b")
    node = helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(WEIGHTS))
    onnx_model = onnx.load(path)
    onnx_model.graph.ClearField("input")
    onnx_model.graph.ClearField("node")
    onnx_model.graph.node.append(node)
    onnx_model.graph.output[0].CopyFrom(tensor("y", shape=[3, 2]))
    path.write_bytes(onnx_model.SerializeToString())
    with pytest.raises(ParameterError, match="has no inputs"):
        open_model(path)


def test_an_output_without_an_entry_for_each_row_fails_the_job(save, open_model):
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=1)
    path = save([node], outputs=[tensor("y", shape=[1, 3])], opset=13)
    model, _ = open_model(path, feature_columns="a,b,c")
    with pytest.raises(UnusablePredictionError, match=r"output 'y' has shape \(1, 3\) for 7 rows"):
        model.predict(FRAME)


def test_an_output_named_like_the_key_ends_the_launch_and_can_be_renamed(save, open_model):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["key"]),
        helper.make_node("ReduceMax", ["key"], ["best"], axes=[1], keepdims=0),
    ]
    outputs = [tensor("key", shape=["rows", 2]), tensor("best", shape=["rows"])]
    path = save(nodes, outputs=outputs, opset=13)
    for opts, problem in (
        ({}, "its output 'key' has the name of .* option output_names, for its outputs key, best"),
        ({"output_names": "scores"}, "option output_names: 1 names; the model has 2 outputs: key,"),
        ({"output_names": "a,key"}, "option output_names: 'key' is the column that identifies"),
    ):
        with pytest.raises(ParameterError, match=problem):
            open_model(path, feature_columns="a,b,c", **opts)
    model, _ = open_model(path, feature_columns="a,b,c", output_names="scores, best")
    predicted = model.predict(FRAME)
    logits = FRAME.to_numpy(np.float32) @ WEIGHTS
    assert list(predicted) == ["scores", "best"]
    np.testing.assert_allclose(predicted["scores"], logits, atol=1e-6)
    np.testing.assert_allclose(predicted["best"], logits.max(1), atol=1e-6)
