"""Replies and dead letters as messages, and dead letters as files."""

import base64
import json

import apache_beam as beam
import pandas as pd

from template.blocks import KEY, MODEL_ID
from template.dead_letters import DeadLetter
from template.messages import MESSAGES, Message, Messages
from template.sinks.replies import FormatDeadLetters, FormatReplies, WriteDeadLetterFiles


def message(number, payload=b"p", **attributes):
    return Message(payload, attributes, f"id-{number}", 1000.0)


def block(**columns):
    frame = pd.DataFrame({KEY: ["a", "b"], **columns})
    frame.attrs[MODEL_ID] = "gs://b/m.pth"
    frame.attrs[MESSAGES] = Messages([message(1, shop="x"), message(2, content_type="image/png")])
    return frame


def test_a_reply_names_its_message_and_its_model():
    first, second = FormatReplies().process(block(score=[0.5, None]))
    assert json.loads(first.data) == {
        "key": "a",
        "score": 0.5,
        "message_id": "id-1",
        "model_id": "gs://b/m.pth",
    }
    assert first.attributes == {"shop": "x", "content_type": "application/json"}
    assert json.loads(second.data)["score"] is None
    assert second.attributes == {"content_type": "application/json"}


def test_a_reply_that_json_cannot_hold_is_a_dead_letter():
    letter, second = FormatReplies().process(block(tags=[{"x"}, ["y"]]))
    assert letter.tag == FormatReplies.DEAD_LETTERS
    assert (letter.value.key, letter.value.message) == ("a", message(1, shop="x"))
    assert "a set, which JSON cannot hold" in letter.value.error
    assert json.loads(second.data)["tags"] == ["y"]


def test_a_reply_that_is_too_large_is_a_dead_letter():
    large, second = FormatReplies().process(block(mask=["x" * 10_000_000, "y"]))
    assert large.tag == FormatReplies.DEAD_LETTERS
    assert (large.value.key, large.value.message) == ("a", message(1, shop="x"))
    assert "Pub/Sub takes 10 MB" in large.value.error
    assert json.loads(second.data)["mask"] == "y"


def test_a_dead_letter_holds_the_payload():
    letter = DeadLetter(key="a", error="E: x", source="message id-1", message=message(1, b"\xff"))
    (made,) = FormatDeadLetters().process(letter)
    assert json.loads(made.data) == {
        "key": "a",
        "error": "E: x",
        "source": "message id-1",
        "payload": base64.b64encode(b"\xff").decode(),
        "message_id": "id-1",
    }


def test_a_dead_letter_is_never_too_large_to_publish():
    large = message(1, b"x" * 9_000_000, **{str(number): "v" for number in range(100)})
    letter = DeadLetter(key="a", error="E", source="message id-1", message=large)
    (made,) = FormatDeadLetters().process(letter)
    made._to_proto_str(for_publish=True)
    record = json.loads(made.data)
    assert (record["payload"], record["payload_bytes"]) == (None, 9_000_000)


def test_dead_letters_go_to_a_file_for_each_bundle(tmp_path):
    letters = [
        DeadLetter(key=str(number), error="E", source="s", message=message(number))
        for number in range(3)
    ]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = (
            pipeline
            | beam.Create(letters, reshuffle=False)
            | beam.ParDo(WriteDeadLetterFiles(f"{tmp_path}/folder/letters"))
        )
    lines = [
        json.loads(line)
        for path in (tmp_path / "folder").glob("letters-*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert sorted(line["key"] for line in lines) == ["0", "1", "2"]
