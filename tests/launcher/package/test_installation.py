from __future__ import annotations

import json
from importlib import metadata

from launcher.package.installation import find_missing, find_requirement


def test_the_place_of_this_installation_is_named_and_never_the_bare_name():
    text = metadata.distribution("flexpack").read_text("direct_url.json")
    assert text is not None, "the tests run on an installation from a folder or a wheel"
    url = json.loads(text)["url"]
    assert find_requirement() == f"flexpack @ {url}"
    assert find_requirement(["dev", "no_such_extra"]) == f"flexpack[dev] @ {url}"


def test_the_first_missing_package_is_found():
    assert find_missing(("json", "no_such_package", "nor_this")) == "no_such_package"
    assert find_missing(("json",)) == ""
