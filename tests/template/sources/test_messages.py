"""What messages hold, and what happens to those that hold something else."""

import base64
import gzip
import io
import json
from collections import defaultdict
from urllib.parse import quote

import apache_beam as beam
import numpy as np
import orjson
import pytest
from apache_beam.testing.util import assert_that
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from template.blocks import KEY
from template.messages import Message, Messages, find_messages
from template.needs.columns import Column
from template.sources.json_objects import make_frames
from template.sources.messages import (
    DecodeMessages,
    MessageSettings,
    UndecodableError,
    decode_message,
)

JSON = MessageSettings(message_format="json")
PIXELS = np.arange(784, dtype=np.uint8)


def message(payload=b"", number=1, **attributes):
    return Message(payload, attributes, f"id-{number}", 1000.0)


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


PNG = png(PIXELS.reshape(28, 28))


def decode(payload, message_format="auto", key_column=None, **attributes):
    settings = MessageSettings(message_format=message_format, key_column=key_column)
    return decode_message(message(payload, **attributes), settings)[:2]


def test_a_json_object_is_a_row():
    assert decode(b' {"age": 3, "name": "x"}') == ("id-1", {"age": 3, "name": "x"})


def test_the_key_column_is_the_key():
    assert decode(b'{"id": "a7", "age": 3}', key_column="id") == ("a7", {"age": 3})
    assert decode(b'{"id": 7}', key_column="id")[0] == "7"
    assert decode(b'{"key": "k", "age": 3}', key_column="key") == ("k", {"age": 3})
    assert decode(PNG, key_column="customer", customer="c1")[0] == "c1"


@pytest.mark.parametrize(
    "image",
    [
        PIXELS.tolist(),
        PIXELS.reshape(28, 28).tolist(),
        base64.b64encode(PIXELS.tobytes()).decode(),
        base64.b64encode(png(PIXELS.reshape(28, 28))).decode(),
    ],
    ids=["list", "nested list", "base64 pixels", "base64 png"],
)
def test_an_image_in_json(image):
    key, columns = decode(orjson.dumps({"image": image, "shop": 3}))
    assert key == "id-1"
    assert columns["shop"] == 3
    assert columns["image"].dtype == np.uint8
    assert columns["image"].ravel().tolist() == PIXELS.tolist()


def test_a_field_that_is_named_key_is_a_column():
    assert decode(b'{"key": 1, "age": 3}') == ("id-1", {"key": 1, "age": 3})


def passed(payload, *names, **attributes):
    settings = MessageSettings(passthrough_columns=names)
    return decode_message(message(payload, **attributes), settings).passed


def test_fields_and_attributes_are_passed_through_as_they_came():
    pixels = base64.b64encode(PIXELS.tobytes()).decode()
    payload = orjson.dumps({"image": pixels, "zip": "00501", "tags": [1]})
    assert passed(payload, "zip", "image", "tags") == ["00501", pixels, [1]]
    assert passed(b'{"n":123456789012345678901234}', "n") == [123456789012345678901234]
    assert passed(PNG, "shop", shop="x7") == ["x7"]
    columns, copies = decode_message(
        message(b'{"tags":[1]}'), MessageSettings(passthrough_columns=("tags",))
    )[1:]
    assert copies[0] is not columns["tags"]


def test_a_message_without_a_column_to_pass_through_lists_its_own():
    with pytest.raises(ValueError, match=r"no column 'zip', which .*; its columns: age, name"):
        passed(b'{"age": 3, "name": "x"}', "zip")
    with pytest.raises(ValueError, match=r"no column 'zip', which .*; its columns: shop"):
        passed(PNG, "zip", shop="x7")


def test_numbers_that_are_no_bytes_stay_what_they_are():
    assert decode(b'{"image": [0.5, 1]}')[1]["image"].tolist() == [0.5, 1]
    assert decode(b'{"image": [-1, 300]}')[1]["image"].tolist() == [-1, 300]


@pytest.mark.parametrize(
    ("payload", "message_format", "attributes"),
    [
        (png(PIXELS.reshape(28, 28)), "image", {}),
        (png(PIXELS.reshape(28, 28)), "auto", {}),
        (png(PIXELS.reshape(28, 28)), "auto", {"content_type": "image/png"}),
        (PIXELS.tobytes(), "pixels", {}),
        (PIXELS.tobytes(), "auto", {"content_type": "application/octet-stream"}),
        # The parameter takes precedence over the attribute.
        (PIXELS.tobytes(), "pixels", {"content_type": "application/json"}),
    ],
)
def test_raw_images(payload, message_format, attributes):
    _, columns = decode(payload, message_format, **attributes)
    assert list(columns) == ["image"]
    assert columns["image"].ravel().tolist() == PIXELS.tolist()


@pytest.mark.parametrize(
    ("payload", "message_format", "attributes", "reason"),
    [
        (b"{", "json", {}, "not JSON"),
        (b"[1]", "json", {}, "a JSON list, not an object"),
        (b"", "auto", {}, "it is empty"),
        (b'{"image": 3}', "auto", {}, "a JSON int, not a list of pixels or base64"),
        (b'{"image": ["a"]}', "auto", {}, "its pixels are not numbers"),
        (b'{"image": [[1], [1, 2]]}', "auto", {}, "inhomogeneous"),
        (b'{"image": "*"}', "auto", {}, "not base64"),
        (b"\x89PNG...", "auto", {}, "not a"),
        (b"x", "auto", {"content_type": "text/html"}, "'text/html': not application/json"),
    ],
)
def test_what_cannot_be_decoded_says_why(payload, message_format, attributes, reason):
    with pytest.raises(ValueError, match=reason):
        decode(payload, message_format, **attributes)


def test_a_missing_key_is_an_error():
    with pytest.raises(ValueError, match="no value in the key column 'id'"):
        decode(b'{"age": 3}', key_column="id")
    with pytest.raises(ValueError, match="the key column 'orderid'; did you mean 'order_id'"):
        decode(b'{"order_id": 3}', key_column="orderid")
    with pytest.raises(ValueError, match="no attribute 'id'"):
        decode(PNG, key_column="id")


def test_a_null_changes_no_integer_of_other_messages():
    payloads = [b'{"a": 1, "b": 0.5}', b'{"a": null, "b": null}', b'{"b": 2.0, "a": 3}']
    batch = Messages(message(payload, number) for number, payload in enumerate(payloads))

    def check(blocks):
        integers, gap = sorted(blocks, key=len, reverse=True)
        assert list(integers.frame.columns) == ["a", "b"]
        assert integers.frame.dtypes.tolist() == [np.int64, np.float64]
        assert integers.frame["a"].tolist() == [1, 3]
        assert [each.message_id for each in find_messages(integers)] == ["id-0", "id-2"]
        assert gap.frame.dtypes.tolist() == [np.float64, np.float64]
        assert gap.frame.isna().all(axis=None)
        assert [each.message_id for each in find_messages(gap)] == ["id-1"]

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        blocks, _ = pipeline | beam.Create([batch], reshuffle=False) | DecodeMessages(JSON)
        assert_that(blocks, check)


def test_messages_with_the_same_columns_become_one_block():
    payloads = [b'{"a": 1, "b": 2}', b"nonsense{", b'{"a": 3}', b'{"b": 4, "a": 5}']
    batch = Messages(message(payload, number) for number, payload in enumerate(payloads))

    def check_blocks(blocks):
        found = {tuple(sorted(block.frame.columns)): block for block in blocks}
        assert set(found) == {("a", "b"), ("a",)}
        block = found["a", "b"]
        assert block.beside[KEY].tolist() == ["id-0", "id-3"]
        assert block.frame["a"].tolist() == [1, 5]
        assert block.frame["a"].dtype == np.int64
        assert [each.message_id for each in find_messages(block)] == ["id-0", "id-3"]
        assert [each.message_id for each in find_messages(block.take(1, 2))] == ["id-3"]

    def check_letters(letters):
        (letter,) = letters
        assert (letter.key, letter.source) == ("id-1", "message id-1")
        assert letter.error.startswith("ValueError: not JSON")
        assert letter.to_json()["payload"] == base64.b64encode(b"nonsense{").decode()

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        blocks, letters = pipeline | beam.Create([batch], reshuffle=False) | DecodeMessages(JSON)
        assert_that(blocks, check_blocks, label="blocks")
        assert_that(letters, check_letters, label="letters")


@pytest.mark.parametrize(
    ("payload", "attributes", "key"),
    [
        (b'{"id": "a7"}', {}, "a7"),
        (b'{"id": 7, "age": "old"}', {}, "7"),
        (b'{"id": {"shop": 1}, "age": "old"}', {}, '{"shop":1}'),
        (b'{"id": "a7", "id": "a8"}', {}, "a8"),
        (b'{"id": "a7", "age":', {"id": "c1"}, "id-1"),
        (b'{"id": null, "age": 3}', {}, "id-1"),
        (b'{"id": "", "age": 3}', {}, "id-1"),
        (b"[1]", {"id": "c1"}, "id-1"),
        (b"\x89PNG...", {"id": "c1"}, "c1"),
        (b"\x89PNG...", {}, "id-1"),
        (b"", {"id": "c1"}, "c1"),
        (b"x", {"id": "c1", "content_type": "text/html"}, "c1"),
    ],
    ids=lambda value: value.decode(errors="replace") or "empty" if type(value) is bytes else None,
)
def test_a_dead_letter_has_the_key_if_its_message_shows_one(payload, attributes, key):
    columns = (Column("age", "number"),)
    decode_batch = DecodeMessages(MessageSettings(key_column="id", columns=columns))._dofn.process
    (letter,) = decode_batch(Messages([message(payload, **attributes)]))
    assert (letter.value.key, letter.value.source) == (key, "message id-1")


@pytest.mark.parametrize(
    ("payload", "seen"),
    [
        (PIXELS.tobytes(), r"begins with b'\\x00\\x01"),
        (b"age,name\n3,x\n", "begins with b'age,name"),
        (b"BMW drives", "begins with b'BMW drives"),
        (gzip.compress(b'{"age": 3}', mtime=0), r"begins with b'\\x1f\\x8b.* \(gzip\)"),
        ('{"age": 3}'.encode("utf-16"), r"\(UTF-16\)"),
        (b"\x00\x00\x00\x1cftypavif" + bytes(20), r"\(HEIF, AVIF or video\)"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "begins with b'RIFF"),
    ],
)
def test_what_is_neither_json_nor_an_image_is_never_pixels(payload, seen):
    with pytest.raises(UndecodableError, match=f"neither .* {seen}.*message_format=pixels"):
        decode(payload)


def test_json_with_a_byte_order_mark_is_json():
    assert decode(b'\xef\xbb\xbf {"image": [1, 2], "age": 3}')[1]["age"] == 3
    with pytest.raises(ValueError, match="a JSON list, not an object"):
        decode(b'\xef\xbb\xbf[{"age": 3}]')


@pytest.mark.parametrize("image", [PIXELS.tobytes(), PNG], ids=["pixels", "png"])
@pytest.mark.parametrize(
    "encode",
    [
        lambda data: base64.encodebytes(data).decode(),
        lambda data: base64.b64encode(data).decode().replace("A", "A\r\n "),
        lambda data: base64.urlsafe_b64encode(data).decode(),
        lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
        lambda data: "data:;base64," + base64.b64encode(data).decode(),
        lambda data: "data:;base64," + quote(base64.b64encode(data).decode()),
    ],
    ids=["lines", "spaces", "url-safe", "unpadded", "data URI", "quoted data URI"],
)
def test_every_dialect_of_base64_is_read(encode, image):
    pixels = decode(orjson.dumps({"image": encode(image)}))[1]["image"]
    assert (pixels.dtype, pixels.ravel().tolist()) == (np.uint8, PIXELS.tolist())


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("data:image/png," + quote(PNG), "a data: URI that is not in base64"),
        ("data:image/png;base64,AAAA", "not an image in one of the formats"),
        ("data:text/plain;base64,AAAA", "neither an image file nor raw pixels: text/plain"),
        (base64.b64encode(b"%PDF-1.7 ").decode(), r"b'%PDF-1.7 ' \(PDF\)"),
        ("AAAA*", "not base64"),
        ("AAA=A", "not base64"),
        ("Ä" * 4, "not base64"),
        ([], "it is empty"),
        ([9007199254740993, 0.5], r"an integer beyond 2\*\*53"),
        ([[None, 1]], "its pixels are not numbers"),
        ([True, False], "its pixels are not numbers"),
        ([[True, 5], [6, 7]], "its pixels are not numbers"),
        ([0.5, False], "its pixels are not numbers"),
    ],
)
def test_an_image_in_json_is_exact_or_refused(image, reason):
    with pytest.raises(ValueError, match=reason):
        decode(orjson.dumps({"image": image}))


def test_booleans_in_other_fields_do_not_matter():
    columns = decode(b'{"image":[0, 1], "new":true, "note":"false"}')[1]
    assert columns["image"].tolist() == [0, 1]
    assert (columns["new"], columns["note"]) == (True, "false")


def test_large_integers_in_an_image_stay_exact():
    assert decode(b'{"image":[9007199254740993, -1]}')[1]["image"].tolist() == [
        9007199254740993,
        -1,
    ]
    assert decode(b'{"image":[1e300, 0.5]}')[1]["image"].tolist() == [1e300, 0.5]


@pytest.mark.parametrize("message_format", ["pixels", "image"])
def test_an_image_may_be_written_to(message_format):
    payload = PIXELS.tobytes() if message_format == "pixels" else PNG
    decode(payload, message_format)[1]["image"][0] = 7


def test_an_image_beyond_the_limit_is_refused():
    with pytest.raises(ValueError, match=r"max_image_pixels \(783\): 28 x 28 = 784"):
        decode_message(message(PNG), MessageSettings(max_image_pixels=783))


def check_blocks(payloads, settings, check):
    """Check what the pipeline's step makes of a batch."""
    batch = Messages(message(payload, number) for number, payload in enumerate(payloads))
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        blocks, _ = pipeline | beam.Create([batch], reshuffle=False) | DecodeMessages(settings)
        assert_that(blocks, check)


def test_columns_are_in_the_order_of_the_first_message():
    def check(blocks):
        (block,) = blocks
        assert list(block.frame.columns) == ["z", "a", "m"]
        assert block.frame.to_numpy().tolist() == [[1, 2, 3], [4, 5, 6]]

    check_blocks([b'{"z": 1, "a": 2, "m": 3}', b'{"m": 6, "a": 5, "z": 4}'], JSON, check)


def test_a_block_is_bounded_by_what_its_images_decode_to():
    def check(blocks):
        assert [len(block) for block in blocks] == [3, 3, 2]
        keys = [key for block in blocks for key in block.beside[KEY]]
        assert keys == [f"id-{number}" for number in range(8)]

    check_blocks([PNG] * 8, MessageSettings(max_block_bytes=3 * 784), check)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    records=st.lists(
        st.dictionaries(st.sampled_from(["a", "b", "c", "\u00e4"]), JSON_VALUES), min_size=1
    ),
    bom=st.booleans(),
)
def test_every_field_is_what_json_reads(records, bom):
    payloads = [b"\xef\xbb\xbf" * bom + json.dumps(record).encode() for record in records]
    alike = defaultdict(list)
    for record, payload in zip(records, payloads, strict=True):
        columns = decode_message(message(payload), MessageSettings()).columns
        alike[frozenset(record)].append((record, columns))
    for rows in alike.values():
        seen = []
        for frame, group in make_frames([columns for _, columns in rows]):
            for position, number in enumerate(group.rows.tolist()):
                seen.append(number)
                for name, column in frame.items():
                    cell, expected = column.tolist()[position], rows[number][0][name]
                    is_gap = isinstance(cell, float) and np.isnan(cell)
                    assert (None if is_gap else cell) == expected, name
                    assert isinstance(cell, bool) == isinstance(expected, bool), name
        assert sorted(seen) == list(range(len(rows)))


@settings(max_examples=100, deadline=None)
@given(payload=st.binary())
def test_no_bytes_are_pixels_unless_it_is_said(payload):
    try:
        row = decode_message(message(payload), MessageSettings())
    except ValueError:
        return
    assert row.columns.get("image", np.zeros((1, 1))).ndim > 1
