"""Naming rules of buckets and objects."""

import pytest

from launcher.emulator.storage.errors import InvalidRequest
from launcher.emulator.storage.names import check_bucket_name, check_object_name


@pytest.mark.parametrize("name", ["abc", "a-b_c.d", "1a2", "a" * 63, f"{'a' * 63}.{'b' * 63}"])
def test_good_bucket_names(name):
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    ["ab", "a" * 64, "Abc", "-abc", "abc-", "a..b", "1.2.3.4", "goog-x", "my-google", "a/b", "a\n"],
)
def test_bad_bucket_names(name):
    with pytest.raises(InvalidRequest, match="Invalid bucket name"):
        check_bucket_name(name)


@pytest.mark.parametrize("name", ["a", "é" * 512, "a/../b", "..a", " ", "/", "%2F", "x" * 1024])
def test_good_object_names(name):
    check_object_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a\rb", "a\nb", "x" * 1025, "é" * 513])
def test_bad_object_names(name):
    with pytest.raises(InvalidRequest):
        check_object_name(name)
