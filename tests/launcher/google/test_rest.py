"""The conversion between records and REST's JSON, and the completeness of the records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from launcher.errors import FormatError
from launcher.google.rest import camel_case, from_rest, to_rest
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.package.metadata import (
    ParameterMetadata,
    ParameterMetadataEnumOption,
    TemplateMetadata,
)
from launcher.package.spec import ContainerSpec, SDKInfo


@dataclass(frozen=True, kw_only=True)
class Inner:
    disk_size_gb: int


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    is_optional: bool | None = None
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    user_labels: Mapping[str, str] = field(default_factory=dict)
    create_time: datetime | None = None


FULL = Outer(
    name="n",
    is_optional=False,
    inner=Inner(disk_size_gb=0),
    inners=(Inner(disk_size_gb=1),),
    user_labels={"snake_key": "v"},
    create_time=datetime(2026, 11, 22, 13, tzinfo=UTC),
)
FULL_JSON = {
    "name": "n",
    "isOptional": False,
    "inner": {"diskSizeGb": 0},
    "inners": [{"diskSizeGb": 1}],
    "userLabels": {"snake_key": "v"},
    "createTime": "2026-11-22T13:00:00Z",
}


def test_there_and_back():
    assert to_rest(FULL) == FULL_JSON
    assert from_rest(Outer, FULL_JSON) == FULL


def test_what_is_unset_is_left_out():
    assert to_rest(Outer(name="")) == {"name": ""}


def test_unknown_and_null_properties_are_ignored_and_numbers_may_be_strings():
    json_object = {"name": "n", "_comment": 1, "inner": {"diskSizeGb": "7"}, "isOptional": None}
    assert from_rest(Outer, json_object) == Outer(name="n", inner=Inner(disk_size_gb=7))


@pytest.mark.parametrize(
    ("json_object", "message"),
    [
        ({}, "name: missing"),
        ([], r"Outer: expected an object, got \[\]"),
        ({"name": 1}, "name: expected str, got 1"),
        ({"name": "n", "isOptional": "true"}, "isOptional: expected bool, got 'true'"),
        ({"name": "n", "inners": {}}, "inners: expected a list, got {}"),
        ({"name": "n", "inners": [{"diskSizeGb": "x"}]}, r"inners\[0\].diskSizeGb: invalid"),
        ({"name": "n", "inner": {"diskSizeGb": True}}, "inner.diskSizeGb: .*got True"),
        ({"name": "n", "userLabels": {"a": 1}}, "userLabels.a: expected str, got 1"),
        ({"name": "n", "createTime": "noon"}, "createTime: Invalid isoformat"),
    ],
)
def test_another_shape_is_refused_by_its_path(json_object, message):
    with pytest.raises(FormatError, match=message):
        from_rest(Outer, json_object)


@pytest.mark.parametrize(
    "record",
    [
        ContainerSpec,
        FlexTemplateRuntimeEnvironment,
        ParameterMetadata,
        ParameterMetadataEnumOption,
        SDKInfo,
        TemplateMetadata,
    ],
    ids=lambda record: record.__name__,
)
def test_records_have_every_property_of_their_schema(schemas, record):
    names = {camel_case(f.name) for f in dataclasses.fields(record)}
    assert names == set(schemas.properties(record.__name__))
