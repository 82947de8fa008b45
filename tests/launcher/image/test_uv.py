"""The indexes and folders that uv is given: a build's own, pip's, and dated ones."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil

import pytest

from launcher.errors import InputError
from launcher.image.flavours import find_flavour
from launcher.image.locks import read_lock, read_pin
from launcher.image.resolve import write_locks
from launcher.image.uv import read_pip_conf
from tests.launcher.image.packages import add_index, add_wheel, require
from tests.servers import QuietHandler, serve_handler
from tests.support import BIN

pytestmark = pytest.mark.skipif(
    not (BIN / "uv").exists() and shutil.which("uv") is None, reason="uv is not installed"
)


def test_pips_folder_of_wheels_is_looked_into_for_special_builds(root, wheels, environ, tmp_path):
    pips = tmp_path / "pips"
    pips.mkdir()
    add_wheel(pips, "torch", "2.13.0+cpu")
    environ["PIP_FIND_LINKS"] = str(pips)
    results = write_locks(root, [find_flavour("cu130"), find_flavour("cpu")], environ=environ)
    pins = [read_pin(read_lock(root, result.flavour), "torch") for result in results]
    assert pins == ["2.13.0", "2.13.0+cpu"]


def test_the_index_of_a_special_build_does_not_hide_the_other(root, environ, tmp_path):
    default = add_index(tmp_path / "default", ("setuptools", "80.0"), ("setuptools", "81.0"))
    add_index(tmp_path / "default", ("torch", "2.13.0"))
    special = add_index(tmp_path / "special", ("setuptools", "60.0"), ("torch", "2.13.0+cu126"))
    (tmp_path / "uv.toml").write_text("")
    del environ["UV_FIND_LINKS"]
    environ |= {"UV_DEFAULT_INDEX": default, "UV_INDEX": special}
    (result,) = write_locks(root, [find_flavour("cu126")], environ=environ)
    lock = read_lock(root, result.flavour)
    assert result.problem is None
    assert read_pin(lock, "torch") == "2.13.0+cu126"
    assert read_pin(lock, "setuptools") == "81.0"
    assert "://" not in lock


def test_a_lock_uses_the_indexes_of_a_build(root, environ, tmp_path):
    """The indexes of a pip.conf, as pip uses them: the best version of all indexes wins."""
    default = add_index(tmp_path / "default", ("setuptools", "81.0"), ("torch", "2.13.0"))
    special = add_index(tmp_path / "special", ("setuptools", "60.0"), ("torch", "2.13.0+cu126"))
    pip_conf = tmp_path / "pip.conf"
    pip_conf.write_text(
        f"[global]\nindex-url = {default}\nextra-index-url =\n    {special}\n"
        "trusted-host = a.example b.example\ntimeout = 60\n"
    )
    (tmp_path / "uv.toml").write_text("")
    del environ["UV_FIND_LINKS"]
    variables = read_pip_conf(pip_conf)
    assert variables["UV_INSECURE_HOST"] == "a.example b.example"
    write_locks(root, [find_flavour("cu126")], environ=environ | variables)
    lock = read_lock(root, find_flavour("cu126"))
    assert read_pin(lock, "torch") == "2.13.0+cu126"
    assert read_pin(lock, "setuptools") == "81.0"


def test_a_pip_conf_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"--pip-conf .*nowhere': cannot be read"):
        read_pip_conf(tmp_path / "nowhere")


def add_dated_index(folder, *packages):
    """Make an index with dates, https://peps.python.org/pep-0700/; serve it, return its address."""
    files = {}
    for name, version, day in packages:
        add_wheel(folder, name, version)
        wheel = f"{name}-{version}-py3-none-any.whl"
        digest = hashlib.sha256((folder / wheel).read_bytes()).hexdigest()
        files.setdefault(name, []).append(
            {
                "filename": wheel,
                "url": f"/{wheel}",
                "hashes": {"sha256": digest},
                "upload-time": f"{day}T00:00:00Z",
            }
        )

    class Index(QuietHandler):
        def do_GET(self):
            place = self.path.strip("/")
            if place.endswith(".whl"):
                body, kind = (folder / place).read_bytes(), "application/octet-stream"
            else:
                page = {"meta": {"api-version": "1.1"}, "name": place, "files": files.get(place)}
                body = json.dumps(page).encode()
                kind = "application/vnd.pypi.simple.v1+json"
            self.answer(200 if place.endswith(".whl") or place in files else 404, body, kind)

        do_HEAD = do_GET

    return serve_handler(Index)


def test_a_version_that_is_years_old_is_warned_of(root, environ, tmp_path):
    today = datetime.datetime.now(datetime.UTC).date()
    folder = tmp_path / "dated"
    folder.mkdir()
    server = add_dated_index(
        folder,
        ("torch", "2.13.0", "2020-01-01"),
        ("vllm", "0.2.2", "2020-01-01"),
        ("vllm", "0.33.0", today - datetime.timedelta(days=9)),
        ("recent", "1.0", today - datetime.timedelta(days=99)),
        ("recent", "2.0", today - datetime.timedelta(days=9)),
        ("finished", "1.0", "2020-01-01"),
    )
    (tmp_path / "uv.toml").write_text("")
    del environ["UV_FIND_LINKS"]
    with server as port:
        environ["UV_DEFAULT_INDEX"] = f"http://localhost:{port}"
        require(root, "torch==2.13.0")
        write_locks(root, [find_flavour("cu130")], environ=environ)
        require(root, "torch==2.13.0", "vllm<0.3", "recent<2", "finished")
        (result,) = write_locks(root, [find_flavour("cu130")], environ=environ)
    assert result.changes == ["+ finished 1.0", "+ recent 1.0", "+ vllm 0.2.2"]
    (warning,) = result.warnings
    assert "vllm 0.2.2 is more than 2 years old, and the newest is 0.33.0" in warning
