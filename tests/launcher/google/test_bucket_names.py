"""Names that Cloud Storage refuses for a bucket."""

from __future__ import annotations

import pytest

from launcher.google.bucket_names import find_bucket_name_problem


@pytest.mark.parametrize(
    "name",
    [
        "my-bucket",
        "abc",
        "my_bucket",
        "a" * 63,
        "www.example.com",
        f"{'a' * 63}.{'b' * 63}",
        "1-2-3",
    ],
)
def test_a_legal_name_has_no_problem(name):
    assert find_bucket_name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("My-Bucket", "lower-case letters"),
        ("ab", "3 to 63 characters"),
        ("a" * 64, "3 to 63 characters"),
        (f"{'a' * 64}.com", "3 to 63 characters"),
        ("", "3 to 63 characters"),
        ("bucket-", "starts and ends with a letter or a digit"),
        ("_bucket", "starts and ends with a letter or a digit"),
        ("my..bucket", "no '..'"),
        ("my.-bucket", "'.-'"),
        ("192.168.5.4", "not an IP address"),
        ("goog-data", "does not start with 'goog'"),
        ("my-google-data", "contain 'google'"),
    ],
)
def test_an_illegal_name_has_one_that_says_why(name, problem):
    assert problem in find_bucket_name_problem(name)
