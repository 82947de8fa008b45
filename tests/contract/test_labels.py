"""The launcher and the local Dataflow accept the same labels."""

from __future__ import annotations

import pytest

from launcher.emulator.labels import find_label_problem
from launcher.errors import InputError
from launcher.launch.environment import build_environment
from launcher.launch.options import EnvironmentOptions

GOOD = (
    {},
    {"team": "vision"},
    {"a": ""},
    {"a-b_c1": "1-_"},
    {"ä": "ü東"},
    {"k" * 63: "v" * 63},
    {f"k{number}": "v" for number in range(63)},  # the launch adds one of its own
)
BAD = (
    {"": "v"},
    {"Key": "v"},
    {"k": "V"},
    {"1k": "v"},
    {"-k": "v"},
    {"k": "a b"},
    {"k": "v" * 64},
    {"k" * 64: "v"},
    {"k": "東" * 43},
    {"k": "\ud800"},
    {f"k{number}": "v" for number in range(65)},
)


@pytest.mark.parametrize("labels", GOOD)
def test_both_take_them(labels: dict[str, str]) -> None:
    assert find_label_problem(labels) is None
    build_environment(EnvironmentOptions(additional_user_labels=labels))


@pytest.mark.parametrize("labels", BAD)
def test_both_refuse_them(labels: dict[str, str]) -> None:
    assert find_label_problem(labels)
    with pytest.raises(InputError):
        build_environment(EnvironmentOptions(additional_user_labels=labels))
