"""The options of a launch, and what follows from their declarations."""

from __future__ import annotations

import dataclasses

from launcher import EnvironmentOptions, FlexTemplateRuntimeEnvironment, LaunchConfig
from launcher.cli import build_parser
from launcher.launch.options import build_options_table, list_options

ENVIRONMENT_FIELDS = {field.name for field in dataclasses.fields(FlexTemplateRuntimeEnvironment)}


def test_every_environment_option_sets_a_field_of_the_rest_schema():
    rest = {declared.name: declared.rest for declared in list_options(EnvironmentOptions)}
    assert set(rest.values()) <= ENVIRONMENT_FIELDS
    assert rest["worker_machine_type"] == "machine_type"
    assert rest["disable_public_ips"] == "ip_configuration"
    assert rest["max_workers"] == "max_workers"


def test_every_option_is_a_flag_of_run_and_a_row_of_the_table():
    table = build_options_table()
    parser = build_parser()._subparsers._group_actions[0].choices["run"]
    parser.add_own()
    for declared in list_options(LaunchConfig):
        assert declared.flag in parser._option_string_actions
        assert f"| `{declared.name}` |" in table
        assert declared.option.help in table
    assert "| `--disk-size-gb GB` | `disk_size_gb` | `environment.diskSizeGb` |" in table
