"""What docker/inventory.py finds out; ``test_image`` runs it in an image."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib import metadata

import pytest

from tests.support import PROJECT_ROOT

PROGRAM = PROJECT_ROOT / "docker" / "inventory.py"


@pytest.fixture(scope="module")
def inventory():
    spec = importlib.util.spec_from_file_location("inventory", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_lists_this_environment_as_one_line():
    done = subprocess.run(
        [sys.executable, "-B", "-"],
        input=PROGRAM.read_text(),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    facts = json.loads(done.stdout)
    packages = {package["name"]: package["version"] for package in facts["packages"]}
    assert packages["apache-beam"] == metadata.version("apache-beam")
    assert facts["python_version"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["is_virtual_environment"]
    assert facts["boot"] == {
        "exists": False,
        "executable": False,
        "readable_by_all": False,
        "machine": None,
    }


def varint_text(text):
    assert len(text) < 0x4000
    return bytes([len(text) & 0x7F | 0x80, len(text) >> 7]) + text


def test_the_modules_of_a_go_program_are_read(inventory, tmp_path):
    """Those that its linker wrote; https://pkg.go.dev/debug/buildinfo describes where."""
    lines = (
        "path\tgithub.com/apache/beam/sdks/v2/python/container\n"
        "mod\tgithub.com/apache/beam/sdks/v2\t(devel)\t\n"
        "dep\tgolang.org/x/net\tv0.1.0\th1:abc\n"
        "dep\tgoogle.golang.org/grpc\tv1.75.0\th1:abc\n"
        "=>\tgoogle.golang.org/grpc\tv1.76.0\th1:def\n"
        "build\t-compiler=gc\n"
    )
    mark = b"0" * 16
    texts = varint_text(b"go1.25.3") + varint_text(mark + lines.encode() + mark)
    header = b"\xff Go buildinf:" + bytes([8, 2]) + bytes(16)
    program = tmp_path / "boot"
    program.write_bytes(b"\x7fELF" + bytes(99) + header + texts + bytes(99))
    found = inventory.describe_program(str(program))
    assert found.pop("sha256")
    assert found == {
        "go": "1.25.3",
        "modules": [
            {"name": "github.com/apache/beam/sdks/v2", "version": "(devel)"},
            {"name": "golang.org/x/net", "version": "v0.1.0"},
            {"name": "google.golang.org/grpc", "version": "v1.76.0"},
        ],
    }


def test_a_program_that_is_not_of_go_has_a_hash_alone(inventory):
    found = inventory.describe_program("/usr/bin/true")
    assert (found["go"], found["modules"], len(found["sha256"])) == (None, [], 64)
