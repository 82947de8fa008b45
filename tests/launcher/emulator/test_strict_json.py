"""JSON from outside: values that could be stored but would then break any reader are refused."""

import pytest

from launcher.emulator.strict_json import parse_strictly


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"a": "\\ud800"}', id="lone-surrogate-in-a-value"),
        pytest.param(b'{"\\udfff": 1}', id="lone-surrogate-in-a-name"),
        pytest.param(b'"\xed\xa0\x80"', id="surrogate-in-utf-8"),
        pytest.param(b'"\xff"', id="not-utf-8"),
        pytest.param(b"[" * 101 + b"]" * 101, id="101-levels"),
        pytest.param(b"[" * 1000 + b"]" * 1000, id="1000-levels"),
        pytest.param(b'{"a":' * 100_000, id="100000-levels"),
        pytest.param(b"NaN", id="nan"),
        pytest.param(b"1e999", id="infinite"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_cannot_be_written_again_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_strictly(text)


def test_the_rest_is_read() -> None:
    assert parse_strictly(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
    assert parse_strictly(b"[" * 100 + b"]" * 100)
