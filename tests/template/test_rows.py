"""The frame that predict gets belongs to it, whatever it did to earlier ones."""

import json

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image

from template.blocks import KEY, Block, BlockCoder
from template.inference import ApplyModel
from template.messages import Message, Messages
from template.model import BaseModel
from template.rows import Rows, own_frame
from template.sources.messages import DecodeMessages, MessageSettings


class Plain(BaseModel):
    """A model without weights."""

    def load_model(self, path, **opts):
        return True


class InvertImages(Plain):
    """Inverts images in place, sums them, and refuses an odd shape when it reaches one."""

    def predict(self, df):
        sums = []
        for image in df["image"]:
            np.subtract(255, image, out=image)
            sums.append(int(image.sum()))
            if image.shape != (4, 4):
                raise ValueError(f"shape {image.shape}")
        return sums


class InvertByTorch(InvertImages):
    """Writes through a tensor, and changes the arrays' shape as well."""

    def predict(self, df):
        sums = []
        for image in df["image"]:
            if image.ndim != 2 or image.shape != (4, 4):
                raise ValueError(f"shape {image.shape}")
            image.shape = (16,)
            sums.append(int(torch.from_numpy(image).mul_(-1).sub_(1).sum()))  # 255 - pixel
        return sums


@pytest.mark.parametrize("model_class", [InvertImages, InvertByTorch])
def test_images_that_predict_inverts_in_place(predict, tmp_path, model_class):
    for value in (0, 1, 2):
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(tmp_path / f"{value}.png")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "3.png")
    outcome = predict(f"{tmp_path}/*.png", model_class=model_class)
    found = {key[-5:]: row["prediction"] for key, row in outcome.by_key().items()}
    assert found == {"0.png": 4080, "1.png": 4064, "2.png": 4048}
    assert [letter["error"] for letter in outcome.dead_letters] == ["ValueError: shape (5, 5)"]


class InvertAndRefuseWhite(Plain):
    """Inverts in place whatever it gets, then refuses an image that was white."""

    def predict(self, df):
        sums = []
        for image in df["image"]:
            np.subtract(255, image, out=image)
            if not image.any():
                raise ValueError("white")
            sums.append(int(image.sum()))
        return sums


def test_idx_rows_that_predict_inverts_in_place(predict, write_idx):
    images = np.arange(5, dtype=np.uint8).repeat(4).reshape(5, 2, 2)
    images[3] = 255
    outcome = predict(write_idx(images), model_class=InvertAndRefuseWhite)
    found = {int(key[-1]): row["prediction"] for key, row in outcome.by_key().items()}
    assert found == {row: 4 * (255 - row) for row in (0, 1, 2, 4)}
    assert [letter["key"][-2:] for letter in outcome.dead_letters] == ["#3"]


class AppendToLists(Plain):
    """Appends to a list, or to a list nested in it, and raises on a short one."""

    def predict(self, df):
        sizes = []
        for cell in df["a"]:
            inner = cell["b"][0] if isinstance(cell, dict) else cell
            inner = list(inner) if isinstance(inner, tuple | np.ndarray) else inner
            inner.append(0)
            if isinstance(cell, dict):
                cell["c"] = "new"
            if len(inner) != 4:
                raise ValueError(f"{len(inner)} entries")
            sizes.append(len(inner))
        return sizes


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("key_column", [None, "id"])
def test_json_lists_that_predict_appends_to(predict, tmp_path, nested, key_column):
    path = tmp_path / "t.jsonl"
    cells = [[1, 2, 3], [1, 2, 3], [1], [4, 5, 6], [4, 5, 6]]
    path.write_text(
        "".join(
            json.dumps({"id": f"r{row}", "a": {"b": [cell]} if nested else cell}) + "\n"
            for row, cell in enumerate(cells)
        )
    )
    outcome = predict(path, model_class=AppendToLists, key_column=key_column)
    assert [row["prediction"] for row in outcome.predictions] == [4] * 4
    assert [letter["error"] for letter in outcome.dead_letters] == ["ValueError: 2 entries"]


def test_what_travels_with_the_rows_stays_with_them(predict, tmp_path):
    class WithDay(AppendToLists):
        def predict(self, df):
            return pd.DataFrame({"size": super().predict(df), "of": df["day"]})

    path = tmp_path / "day=7" / "t.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps({"a": a}) + "\n" for a in ([1, 2, 3], [1], [4, 5, 6])))
    outcome = predict(
        f"{tmp_path}/*/t.jsonl", model_class=WithDay, passthrough_columns=("a", "day")
    )
    assert [(row["a"], row["day"], row["size"], row["of"]) for row in outcome.predictions] == [
        ([1, 2, 3], "7", 4, "7"),
        ([4, 5, 6], "7", 4, "7"),
    ]


class DoubleInPlace(Plain):
    """Doubles the arrays of a column in place, and refuses a negative sum."""

    def predict(self, df):
        for cell in df["a"]:
            cell *= 2
        sums = [int(cell.sum()) for cell in df["a"]]
        if min(sums) < 0:
            raise ValueError("negative")
        return sums


def test_parquet_lists_that_predict_doubles(predict, tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [[1, 2], [3], [-4], [5, 6, 7]]}), path)
    outcome = predict(path, model_class=DoubleInPlace)
    assert sorted(row["prediction"] for row in outcome.predictions) == [6, 6, 36]


COLLECTED = []


def collect(frame):
    COLLECTED.extend(frame.to_dict("records"))


def collect_letter(letter):
    COLLECTED.append(letter)


def predict_messages(payloads, model_class, message_format="auto"):
    """Return key and prediction of each message, and the dead letters' errors and payloads."""
    COLLECTED.clear()
    messages = Messages(
        Message(payload, {}, str(number), 0.0) for number, payload in enumerate(payloads)
    )
    letters = []
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    blocks, _ = (
        pipeline
        | beam.Create([messages])
        | DecodeMessages(MessageSettings(message_format=message_format))
    )
    predictions, dead = (
        blocks | ApplyModel(model_class("-"), KEY, device="cpu").with_exception_handling()
    )
    _ = predictions | beam.Map(collect)
    _ = dead | "Dead" >> beam.Map(collect_letter)
    pipeline.run().wait_until_finish()
    found = {}
    for each in COLLECTED:
        if isinstance(each, dict):
            found[each["key"]] = each["prediction"]
        else:
            letters.append((each.error, each.message.payload))
    return found, letters


def test_messages_that_predict_changes():
    cells = [[1, 2, 3], [4, 5, 6], [1], [7, 8, 9]]
    found, letters = predict_messages(
        [json.dumps({"a": cell}).encode() for cell in cells], AppendToLists
    )
    assert found == {"0": 4, "1": 4, "3": 4}
    assert letters == [("ValueError: 2 entries", b'{"a": [1]}')]


def test_pixels_of_messages_that_predict_inverts_keep_their_payload():
    payloads = [bytes([0, 1]), bytes([2, 3]), bytes([255, 255]), bytes([4, 5])]
    found, letters = predict_messages(payloads, InvertAndRefuseWhite, "pixels")
    assert found == {"0": 509, "1": 505, "3": 501}
    assert letters == [("ValueError: white", bytes([255, 255]))]


def test_a_users_own_frame_stays_as_it_is():
    frame = pd.DataFrame({"id": ["p", "q"], "a": [np.array([1, 2]), np.array([3])]})
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    frames = pipeline | beam.Create([frame])
    COLLECTED.clear()
    _ = frames | ApplyModel(DoubleInPlace("-"), "id", device="cpu") | beam.Map(collect)
    _ = frames | "Same" >> beam.Map(collect)
    pipeline.run().wait_until_finish()
    assert [row["prediction"] for row in COLLECTED if "prediction" in row] == [6, 6]
    assert [row["a"].tolist() for row in COLLECTED if "a" in row] == [[1, 2], [3]]


class OneBuffer(Plain):
    """Writes its results into the same memory again and again, as fast models do."""

    buffer = np.zeros(8)

    def predict(self, df):
        values = df["a"].to_numpy()
        if (values < 0).any():
            raise ValueError("negative")
        return np.multiply(values, 2, out=self.buffer[: len(values)])


def test_results_that_share_memory_stay_as_they_were(predict, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n2\n-3\n4\n5\n6\n7\n8\n")
    outcome = predict(path, model_class=OneBuffer)
    found = {int(key[-1]): row["prediction"] for key, row in outcome.by_key().items()}
    assert found == {0: 2.0, 1: 4.0, 3: 8.0, 4: 10.0, 5: 12.0, 6: 14.0, 7: 16.0}


def test_a_block_that_went_through_a_coder_is_made_again():
    cells = np.empty(2, dtype=object)
    cells[:] = [[1], [2, 3]]
    frame = pd.DataFrame({"a": cells})
    block = Block(frame=frame, beside={KEY: np.array(["p", "q"])}, index=frame.index)
    coder = BlockCoder()
    rows = Rows(coder.decode(coder.encode(coder.decode(coder.encode(block)))))
    for _ in range(2):
        taken = rows.take(0, 2).frame["a"]
        assert taken.tolist() == [[1], [2, 3]]
        taken[0].append(9)
        assert rows.take(0, 1).frame["a"].tolist() == [[1]]


class Unknown:
    def __init__(self):
        self.values = [1]


@pytest.mark.parametrize(
    "change",
    [
        (lambda cell: cell.append(2), [1]),
        (lambda cell: cell[0].append(2), [[1]]),
        (lambda cell: cell[1]["k"].append(2), (0, {"k": [1]})),
        (lambda cell: cell.update(b=1), {"a": 1}),
        (lambda cell: cell.add(2), {1}),
        (lambda cell: cell.append(2), bytearray(b"1")),
        (lambda cell: cell.mul_(2), torch.ones(2)),
        (lambda cell: cell.detach().mul_(2), torch.ones(2, requires_grad=True) * 1),
        (lambda cell: cell.fill(2), np.ones((2, 2))),
        (lambda cell: cell[0].append(2), np.array([[1], None], dtype=object)),
        (lambda cell: cell.fill(2), np.ma.array([1, 2], mask=[0, 1])),
        (lambda cell: cell.values.append(2), Unknown()),
        (lambda cell: cell.putpixel((0, 0), 9), Image.new("L", (2, 2))),
        (lambda cell: cell.__setitem__(0, 9), pd.Series([1, 2])),
    ],
    ids=lambda change: type(change[1]).__name__,
)
@pytest.mark.parametrize("others", [[], [None], ["x", 1.5]])
def test_cells_of_every_kind_are_copied(change, others):
    do, cell = change
    cells = np.empty(1 + len(others), dtype=object)
    for position, each in enumerate([cell, *others]):
        cells[position] = each
    frame = pd.DataFrame({"a": cells})
    before = snapshot(cell)
    own = own_frame(frame)
    do(own["a"].iloc[0])
    assert snapshot(frame["a"].iloc[0]) == before
    assert snapshot(own["a"].iloc[0]) != before


def snapshot(cell):
    if isinstance(cell, Unknown):
        return list(cell.values)
    if isinstance(cell, Image.Image):
        return cell.tobytes()
    if hasattr(cell, "tolist"):
        return repr(cell.tolist())
    return repr(cell)


def test_arrays_of_all_shapes_are_copied_at_once():
    cells = np.empty(3, dtype=object)
    cells[:] = [np.arange(6).reshape(2, 3), np.arange(0), np.asfortranarray(np.eye(2, dtype=int))]
    own = own_frame(pd.DataFrame({"a": cells}))["a"]
    assert [cell.tolist() for cell in own] == [cell.tolist() for cell in cells]
    assert not any(np.shares_memory(cell, copy) for cell, copy in zip(cells, own, strict=True))


def test_what_cannot_be_copied_is_shared():
    with open(__file__) as file:
        assert own_frame(pd.DataFrame({"a": [file]}))["a"].iloc[0] is file
