"""Routes and query parameters match the discovery document."""

from __future__ import annotations

import pytest

from launcher.emulator.service.discovery import Discovery
from launcher.emulator.service.errors import ApiError
from launcher.emulator.service.operations import OPERATIONS
from tests.launcher.emulator.service.conftest import Local


def test_every_method_that_is_not_implemented_says_so(local: Local, discovery: Discovery) -> None:
    missing = set(discovery.methods) - OPERATIONS.keys()
    assert len(missing) > 30
    for method_id in missing:
        method = discovery.methods[method_id]
        path = method.path.replace("{", "").replace("}", "")
        answer = local.http.request(method.http_method, path)
        assert answer.status_code == 501
        error = answer.json()["error"]
        assert error["status"] == "UNIMPLEMENTED"
        assert error["message"].startswith(f"{method_id} is not implemented")


def test_all_implemented_methods_are_official(local: Local, discovery: Discovery) -> None:
    assert OPERATIONS.keys() <= set(discovery.methods)
    for method_id in OPERATIONS:
        twin = method_id.replace(".locations", "")
        assert twin in OPERATIONS or twin not in discovery.methods


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([("view", "JOB_VIEW_ALL")], {"view": "JOB_VIEW_ALL"}),
        ([("view", "2"), ("alt", "json")], {"view": "JOB_VIEW_ALL"}),
        ([("$alt", "json;enum-encoding=int"), ("prettyPrint", "false"), ("key", "k")], {}),
    ],
)
def test_query_parameters(
    discovery: Discovery, items: list[tuple[str, str]], expected: dict[str, str]
) -> None:
    method = discovery.methods["dataflow.projects.locations.jobs.get"]
    assert discovery.parse_query(method, items).parameters == expected


@pytest.mark.parametrize(
    ("item", "code", "message"),
    [
        (("veiw", "x"), 400, 'Unknown name "veiw": Cannot bind query parameter.'),
        (("page_size", "ten"), 400, "Invalid value at 'page_size' (TYPE_INT32)"),
        (("filter", "SOME"), 400, "Invalid value at 'filter' (TYPE_ENUM)"),
        (("createTimeRange.startTime", "x"), 400, "'create_time_range.start_time'"),
        (("alt", "proto"), 501, "jobs.list: alt=proto is not implemented"),
    ],
)
def test_wrong_query_parameters(
    discovery: Discovery, item: tuple[str, str], code: int, message: str
) -> None:
    method = discovery.methods["dataflow.projects.locations.jobs.list"]
    with pytest.raises(ApiError) as caught:
        discovery.parse_query(method, [item])
    assert caught.value.code == code
    assert message in caught.value.message
