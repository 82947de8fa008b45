"""Metadata as a form."""

from __future__ import annotations

import pytest

from launcher.console.launch_form import Kind, Picker, build_form
from launcher.package.metadata import (
    ParameterMetadata,
    ParameterMetadataEnumOption,
    TemplateMetadata,
)
from launcher.package.metadata_checks import PARAM_TYPES


def parameter(name, **fields):
    return ParameterMetadata(name=name, label=name.title(), help_text="Help.", **fields)


def build(*parameters, **given):
    return build_form(TemplateMetadata(name="T", parameters=parameters), given)


@pytest.mark.parametrize("param_type", sorted(PARAM_TYPES - {"ENUM"}))
def test_every_type_has_an_input(param_type):
    (field,) = build(parameter("a", param_type=param_type)).fields
    kinds = {"NUMBER": Kind.NUMBER, "BOOLEAN": Kind.BOOLEAN}
    if param_type in kinds:
        assert field.kind is kinds[param_type]
    elif param_type.startswith(("GCS_", "PUBSUB_", "BIGQUERY_", "JAVASCRIPT_")):
        assert field.kind is Kind.BROWSE
        assert field.picker is not None
    else:
        assert field.kind is Kind.TEXT
        assert bool(field.hint) is (param_type not in ("DEFAULT", "TEXT"))


@pytest.mark.parametrize(
    ("param_type", "picker"),
    [
        ("GCS_READ_BUCKET", Picker.BUCKET),
        ("GCS_WRITE_FILE", Picker.FILE),
        ("GCS_READ_FOLDER", Picker.FOLDER),
        ("PUBSUB_TOPIC", Picker.TOPIC),
        ("PUBSUB_SUBSCRIPTION", Picker.SUBSCRIPTION),
        ("BIGQUERY_TABLE", Picker.TABLE),
    ],
)
def test_a_type_selects_what_its_picker_lists(param_type, picker):
    assert build(parameter("a", param_type=param_type)).fields[0].picker is picker


def test_an_enumeration_has_labels_and_descriptions():
    options = (
        ParameterMetadataEnumOption(value="x", label="The X", description="Best."),
        ParameterMetadataEnumOption(value="y"),
    )
    (field,) = build(parameter("a", param_type="ENUM", enum_options=options)).fields
    assert field.kind is Kind.ENUM
    assert [(each.value, each.label, each.description) for each in field.choices] == [
        ("x", "The X", "Best."),
        ("y", "y", ""),
    ]


def test_groups_are_headers_in_the_order_of_the_metadata():
    form = build(
        parameter("a", group_name="Source 1"),
        parameter("b"),
        parameter("c", group_name="Target"),
        parameter("d", group_name="Source 1"),
    )
    shown = [(group.title, [field.name for field in group.fields]) for group in form.groups]
    assert shown == [("", ["b"]), ("Source 1", ["a", "d"]), ("Target", ["c"])]


def test_a_child_is_below_its_parent_whatever_its_group():
    form = build(
        parameter("mode"),
        parameter("a", parent_name="mode", parent_trigger_values=("x",), group_name="Other"),
        parameter("b", parent_name="a"),
    )
    (mode,) = form.groups[0].fields
    assert [field.name for field in mode.walk()] == ["mode", "a", "b"]
    assert mode.children[0].triggers == '["x"]'
    assert mode.children[0].children[0].triggers == "[]"


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param([parameter("a", parent_name="a")], id="itself"),
        pytest.param([parameter("a", parent_name="b"), parameter("b", parent_name="a")], id="ring"),
        pytest.param([parameter("a", parent_name="nobody")], id="nobody"),
        pytest.param(
            [parameter("a", parent_name="b"), parameter("b", hidden_ui=True)], id="a hidden one"
        ),
    ],
)
def test_a_child_of_a_parent_that_cannot_be_is_shown(parameters):
    names = {field.name for field in build(*parameters).fields}
    assert names == {each.name for each in parameters if not each.hidden_ui}


def test_values_are_filled_in_and_hidden_parameters_are_not_shown():
    form = build(
        parameter("a", default_value="1"),
        parameter("b", default_value="2"),
        parameter("c", hidden_ui=True),
        b="3",
    )
    assert [(field.name, field.value) for field in form.fields] == [("a", "1"), ("b", "3")]
    assert form.hidden == ("c",)


def test_what_is_not_shown_is_not_sent():
    parameters = (
        parameter("mode", default_value="x"),
        parameter("a", parent_name="mode", parent_trigger_values=("x",), default_value="1"),
        parameter("b", parent_name="mode", parent_trigger_values=("y",), default_value="2"),
        parameter("c", parent_name="b", default_value="3"),
        parameter("d", parent_name="a", default_value="4"),
    )
    assert build(*parameters).read_shown() == {"mode": "x", "a": "1", "d": "4"}
    assert build(*parameters, mode="y").read_shown() == {"mode": "y", "b": "2", "c": "3"}
