"""The scan: the arguments of a scanner, which a program stands in for, and its verdict."""

from __future__ import annotations

import pytest

from launcher.errors import InputError
from launcher.image.scan import find_scanner, scan


@pytest.fixture
def install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(name, status):
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\nexit {status}\n')
        path.chmod(0o755)

    return make


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("trivy", 0, "sbom --severity=HIGH,CRITICAL --exit-code=1 a.json"),
        ("grype", 2, "sbom:a.json --fail-on=high"),
    ],
)
def test_the_first_scanner_that_is_installed_reads_the_bill(install, tmp_path, name, status, words):
    install(name, status)
    scanner = find_scanner()
    assert scan(scanner, "a.json") == status
    assert (tmp_path / "called").read_text() == f"{words}\n"


def test_no_scanner_is_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        InputError, match="--scan: neither trivy nor grype is installed; install one"
    ):
        find_scanner()
