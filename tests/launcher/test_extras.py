"""How to install an extra: from the place that the kit came from."""

from __future__ import annotations

import json
import shlex
import sys

import pytest

from launcher.errors import MissingExtra
from launcher.extras import find_missing, format_install, require_extras

METADATA = """\
Metadata-Version: 2.1
Name: flexpack
Version: 9.0
Requires-Dist: packaging
Provides-Extra: emulator
Requires-Dist: no-such-server>=1; extra == "emulator"
Requires-Dist: pytest>=1; extra == "emulator"
Provides-Extra: dev
Requires-Dist: pytest; extra == "dev"
"""
WHEEL = {"url": "file:///some%20where/flexpack-9.0-py3-none-any.whl", "archive_info": {}}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Stand in for an installation of the kit from a URL or an index."""

    def put(origin: dict | None) -> None:
        folder = tmp_path / "flexpack-9.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(METADATA)
        if origin is not None:
            (folder / "direct_url.json").write_text(json.dumps(origin))
        monkeypatch.syspath_prepend(tmp_path)

    return put


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        pytest.param(WHEEL, f"'flexpack[dev] @ {WHEEL['url']}'", id="wheel"),
        pytest.param(
            {"url": "file:///kit", "dir_info": {}}, "'flexpack[dev] @ file:///kit'", id="folder"
        ),
        pytest.param(
            {"url": "file:///my%20kit", "dir_info": {"editable": True}},
            "--editable '/my kit[dev]'",
            id="editable",
        ),
        pytest.param(
            {"url": "https://host/kit.git", "vcs_info": {"vcs": "git", "commit_id": "1a2b"}},
            "'flexpack[dev] @ git+https://host/kit.git@1a2b'",
            id="repository",
        ),
        pytest.param(
            {"url": "https://host/all.zip", "archive_info": {}, "subdirectory": "kit"},
            "'flexpack[dev] @ https://host/all.zip#subdirectory=kit'",
            id="subdirectory",
        ),
        pytest.param(None, "'flexpack[dev]==9.0'", id="index"),
    ],
)
def test_an_extra_is_installed_from_where_the_kit_came_from(install, origin, source):
    install(origin)
    assert format_install("dev") == f"{shlex.quote(sys.executable)} -m pip install {source}"


def test_only_what_is_missing_of_an_extra_is_named(install):
    install(WHEEL)
    assert find_missing("emulator") == ["no-such-server"]
    assert find_missing("dev") == []
    require_extras("lock", "dev")

    with pytest.raises(MissingExtra) as caught:
        require_extras("emulator start", "emulator", "dev")

    assert str(caught.value).startswith(
        "emulator start needs the extra 'emulator' (not installed: no-such-server): "
    )
    assert str(caught.value).endswith(f"'flexpack[emulator] @ {WHEEL['url']}'")
