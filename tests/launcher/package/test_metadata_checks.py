"""Metadata, whoever wrote it."""

from __future__ import annotations

import pytest

from launcher import ParameterMetadata, TemplateMetadata, build_template_metadata
from launcher.package.metadata import ParameterMetadataEnumOption
from launcher.package.metadata_checks import PARAM_TYPES, check_metadata
from template.parameters import TEMPLATES


def parameter(name="a", label="A", help_text="h", **fields):
    return ParameterMetadata(name=name, label=label, help_text=help_text, **fields)


def test_the_types_are_those_of_the_service(schemas):
    assert set(schemas.properties("ParameterMetadata")["paramType"]["enum"]) == PARAM_TYPES


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_the_kits_own_metadata_is_clean(template):
    assert check_metadata(build_template_metadata(template)) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (parameter(name=""), "parameter '': name is empty"),
        (parameter(label=""), "parameter 'a': label is empty"),
        (parameter(help_text=""), "parameter 'a': helpText is empty"),
        (parameter(name="region"), "parameter 'region': the service sets this option itself"),
        (
            parameter(parent_name="other"),
            "parameter 'a': parentName 'other' is not a parameter of the template",
        ),
        (
            parameter(param_type="GCS_READ_FIEL"),
            "parameter 'a': paramType 'GCS_READ_FIEL' does not exist; "
            "did you mean 'GCS_READ_FILE'?",
        ),
        (parameter(param_type="ENUM"), "parameter 'a': an ENUM without enumOptions"),
        (
            parameter(
                param_type="ENUM",
                enum_options=(ParameterMetadataEnumOption(value="x"),),
                default_value="y",
            ),
            "parameter 'a': defaultValue 'y' is not one of its enumOptions",
        ),
        (
            parameter(regexes=("^[0-9]+$",), default_value="many"),
            "parameter 'a': defaultValue 'many' does not match its own regex '^[0-9]+$'",
        ),
        (
            parameter(regexes=("(",)),
            "parameter 'a': regex '(' cannot be read: missing ): (",
        ),
    ],
)
def test_each_mistake_is_named(wrong, message):
    findings = check_metadata(TemplateMetadata(name="t", parameters=(wrong,)))
    assert [finding.message for finding in findings] == [message]


def test_duplicates_and_an_empty_name_are_named():
    findings = check_metadata(TemplateMetadata(name="", parameters=(parameter(), parameter())))
    assert [finding.message for finding in findings] == [
        "name: empty; gcloud does not build a template from such metadata, and the Console "
        "shows one without a title",
        "parameters: 'a' is declared 2 times",
    ]
