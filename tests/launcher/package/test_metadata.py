"""Metadata from the parameter table, and the files generated from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launcher import InputError, build_template_metadata
from launcher.errors import StaleFiles
from launcher.google.rest import to_rest
from launcher.package.metadata import check_metadata_files, find_template, write_metadata
from template.parameters import BATCH, EnumOption, Parameter, ParamType, Template

ROOT = Path(__file__).parents[3]

README = "# Title\n<!-- parameters:batch -->\nstale text\n<!-- /parameters:batch -->\nend\n"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "metadata").mkdir()
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def test_one_parameter_in_full():
    template = Template(
        name="demo",
        title="Demo",
        description="Does.",
        streaming=True,
        supports_at_least_once=True,
        supports_exactly_once=False,
        default_streaming_mode="AT_LEAST_ONCE",
        parameters=(
            Parameter(
                name="mode",
                label="Mode",
                help_text="How.",
                param_type=ParamType.ENUM,
                group="Main",
                is_optional=True,
                default=3,
                regex="^[a-z0-9]$",
                enum_options=(EnumOption(value="3", label="Three", description="The third."),),
            ),
            Parameter(
                name="input",
                label="Input",
                help_text="What.",
                param_type=ParamType.GCS_READ_FILE,
                group="Main",
            ),
        ),
    )
    assert to_rest(build_template_metadata(template)) == {
        "name": "Demo",
        "description": "Does.",
        "streaming": True,
        "supportsAtLeastOnce": True,
        "supportsExactlyOnce": False,
        "defaultStreamingMode": "AT_LEAST_ONCE",
        "parameters": [
            {
                "name": "mode",
                "label": "Mode",
                "helpText": "How.",
                "paramType": "ENUM",
                "groupName": "Main",
                "isOptional": True,
                "defaultValue": "3",
                "regexes": ["^[a-z0-9]$"],
                "enumOptions": [{"value": "3", "label": "Three", "description": "The third."}],
            },
            {
                "name": "input",
                "label": "Input",
                "helpText": "What.",
                "paramType": "GCS_READ_FILE",
                "groupName": "Main",
            },
        ],
    }


def test_the_batch_metadata_is_of_the_official_schema(schemas):
    json_object = to_rest(build_template_metadata(BATCH))
    assert schemas.find_problems("TemplateMetadata", json_object) == []
    assert json_object["streaming"] is False


def test_the_committed_files_are_up_to_date():
    check_metadata_files(ROOT)


def test_writing_makes_the_files_and_the_readmes_table(project):
    changed = write_metadata(project)

    names = ["metadata/batch.json", "metadata/streaming.json", "README.md"]
    assert changed == [project / name for name in names]
    written = json.loads((project / "metadata" / "batch.json").read_text())
    assert written == to_rest(build_template_metadata(BATCH))
    readme = (project / "README.md").read_text()
    assert readme.startswith("# Title\n<!-- parameters:batch -->\n| parameter | type |")
    assert readme.endswith("|\n<!-- /parameters:batch -->\nend\n")
    assert "| `device` | `auto` `cuda` `cpu` | `auto` |" in readme
    assert "| `input` | GCS_READ_FILE | **required** |" in readme
    assert "stale text" not in readme
    check_metadata_files(project)
    assert write_metadata(project) == []


def test_stale_files_are_named(project):
    write_metadata(project)
    (project / "README.md").write_text(README)

    with pytest.raises(StaleFiles, match=r"^README.md: out of date; run 'flexpack metadata'$"):
        check_metadata_files(project)
    (project / "metadata" / "batch.json").write_text("{}")
    with pytest.raises(StaleFiles, match=r"^metadata/batch.json, README.md: "):
        check_metadata_files(project)


def test_a_readme_without_markers_is_left_alone(project):
    (project / "README.md").write_text("# Mine\n")
    write_metadata(project)
    assert (project / "README.md").read_text() == "# Mine\n"


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"metadata: no such folder; run this in the project's"):
        write_metadata(tmp_path)


def test_an_unknown_template_is_refused():
    assert find_template("batch") is BATCH
    with pytest.raises(InputError, match="--template 'bach': no such template; there is batch"):
        find_template("bach")
