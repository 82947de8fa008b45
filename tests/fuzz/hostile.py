"""Values that no reader expects, and functions that put them into texts, JSON and bytes."""

import copy
import json

_DEEP = "@deep@"
_DEEP_JSON = b"[" * 1000 + b"]" * 1000
TEXTS = (
    *("", " ", "\ud800", "a\udfffb", "\0", "\n", "\r\n", "\x7f", "\u202e", "\U0001f600", "\u00b2"),
    *("9" * 5000, "9" * 20, "-1", "1e999", "0x1", "NaN", "null", "true", "1.5", "a" * 70_000),
    *("..", "/", "//", "gs://", "gs://b", "http://[::1", "%", "%ff", "{}", "[]", "'", '"', "\\"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-13-01T00:00:00Z", "1s", "--"),
    *("(" * 500, "[" * 500, "([a-z]+,?)+$", "a{1000}{1000}", "(?<=a)", "[[:x:]]", "**/{a,b}*[!c]"),
)
_VALUES = (
    *TEXTS,
    *(None, True, False, 0, 1, -1, 5, 2**31, 2**63, -(2**63) - 1, 10**400, 1.5, 1e308),
    *([], {}, [[]], [None], {"": None}, {"a": {"a": {"a": 1}}}, [1, "a", {}], _DEEP),
)


def spoil_text(rng, text):
    """Return another text, or the text with something in it that does not belong there."""
    if rng.random() < 0.6:
        return rng.choice(TEXTS)
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(TEXTS) + text[at + rng.choice((0, 1)) :]


def spoil_json(rng, value):
    """Return the JSON of a value with some members replaced, missing or strange."""
    holder = {"value": copy.deepcopy(value)}
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        _spoil_member(rng, holder)
    text = json.dumps(holder.get("value"))
    return text.encode().replace(json.dumps(_DEEP).encode(), _DEEP_JSON)


def spoil_bytes(rng, data):
    """Return bytes with some replaced, cut or repeated."""
    at = rng.randrange(len(data) + 1)
    tokens = (
        b"\\ud800",
        b"\xff",
        b"\xed\xa0\x80",
        b'"',
        b"{",
        b"[" * 2000,
        b"\0",
        b"NaN",
        b"--b",
        b"",
    )
    rest = data[at + rng.choice((0, 1, 10)) :]
    return rng.choice((data[:at], data[:at] + rng.choice(tokens) + rest, data + data[at:]))


def _spoil_member(rng, holder):
    places = list(_places(holder))
    inner, key = rng.choice(places)
    action = rng.random()
    if action < 0.1 and inner is not holder:
        del inner[key]
    elif action < 0.3 and isinstance(inner[key], dict):
        inner[key][rng.choice(TEXTS)] = copy.deepcopy(rng.choice(_VALUES))
    elif action < 0.5 and isinstance(inner[key], str):
        inner[key] = spoil_text(rng, inner[key])
    else:
        inner[key] = copy.deepcopy(rng.choice(_VALUES))


def _places(value):
    """Yield every container in a value with the key of one of its members."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])
