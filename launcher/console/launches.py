"""What a filled launch form launches, and the service's verdicts before and at the launch.

The form's optional section has the options of ``flexpack run``, each of which is declared once in
``launcher.launch.options``. Every rule about parameters is the service's own: a form is checked by
a launch with ``validateOnly``.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from launcher.accelerators.catalogue import Accelerator
from launcher.console.apis import ApiRefusal, Apis
from launcher.console.launch_form import Form
from launcher.errors import FlexpackError, InputError
from launcher.google.rest import camel_case, to_rest
from launcher.launch.export import escape_dict, format_command
from launcher.launch.options import Declared, EnvironmentOptions, LaunchConfig, list_options
from launcher.launch.request import LAUNCH_ID_LABEL, build_launch_request

PARAMETER, OPTION = "p.", "e."
"""Prefixes of the inputs' names: template parameters, options of the environment."""

_STAND_IN_NAME = "console-checks-a-form"
_FIRST = (
    *("max_workers", "num_workers", "worker_machine_type", "accelerator"),
    *("staging_location", "temp_location", "worker_region", "worker_zone"),
    *("additional_user_labels", "additional_experiments"),
)
_NO_GCLOUD_FLAG = ("disk_size_gb", "sdk_container_image")


@dataclass(frozen=True)
class OptionInput:
    """One input of the optional section."""

    declared: Declared
    value: str

    @property
    def name(self) -> str:
        return f"{OPTION}{self.declared.name}"

    @property
    def id(self) -> str:
        return f"e-{self.declared.name}"

    @property
    def label(self) -> str:
        words = self.declared.name.replace("_", " ")
        for short, long in (("kms", "KMS"), ("gb", "GB"), ("sdk", "SDK"), ("ips", "IPs")):
            words = " ".join(long if word == short else word for word in words.split())
        return words[0].upper() + words[1:]

    @property
    def is_switch(self) -> bool:
        return self.declared.type is bool

    @property
    def is_number(self) -> bool:
        return bool(self.declared.type == int | None)


def list_option_inputs(given: Mapping[str, str]) -> list[OptionInput]:
    """Return the inputs of the optional section, common ones first."""
    declared = {each.name: each for each in list_options(EnvironmentOptions)}
    names = dict.fromkeys((*_FIRST, *declared))
    return [OptionInput(declared[name], given.get(f"{OPTION}{name}", "")) for name in names]


@dataclass(frozen=True, kw_only=True)
class FilledForm:
    """What a user has filled in: ``values`` by the names of the inputs."""

    template: str
    project: str
    region: str
    job_name: str
    values: Mapping[str, str]

    @property
    def parameters(self) -> dict[str, str]:
        """The template's parameters that have a value."""
        return {
            name.removeprefix(PARAMETER): value
            for name, value in self.values.items()
            if name.startswith(PARAMETER) and value
        }


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The problems of a filled form, and the same launch as a request and a command.

    Attributes:
        parameters: problems by parameter.
        job_name: the problem of the job's name.
        options: problems of the optional section.
        other: problems that do not belong to a field.
        body: the request; None if it cannot be built.
        gcloud: the command; None if it cannot be built.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    job_name: str = ""
    options: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    body: Mapping[str, Any] | None = None
    gcloud: str | None = None

    @property
    def is_good(self) -> bool:
        return not (self.parameters or self.job_name or self.options or self.other)


def check(apis: Apis, filled: FilledForm, form: Form) -> Verdict:
    """Return the service's verdict on a form; blocks for one or two calls."""
    try:
        body = build_body(filled)
    except InputError as error:
        problems = tuple(str(error).splitlines())
        return Verdict(options=problems)
    gcloud = build_gcloud(filled, body["launchParameter"])
    job_name, refusals = "", []
    # The service checks the name before the parameters: under another name it also reports what
    # is wrong with the parameters.
    for name in dict.fromkeys((filled.job_name, _STAND_IN_NAME)):
        launch = {**body["launchParameter"], "jobName": name}
        try:
            apis.dataflow("POST", launch_path(filled), body=_validate_only(launch))
        except ApiRefusal as refusal:
            if _find_violations(refusal) or name == _STAND_IN_NAME:
                refusals.append(refusal)
                break
            job_name = refusal.message
        else:
            break
    found, other = _sort_violations(refusals, form)
    if job_name and job_name in other:  # not about the name: the other name is refused too
        job_name = ""
    return Verdict(parameters=found, job_name=job_name, other=other, body=body, gcloud=gcloud)


def launch(apis: Apis, filled: FilledForm) -> str:
    """Launch the job of a form; return its id.

    Raises:
        InputError: an option is invalid.
        ApiRefusal: the service refuses.
    """
    answer = apis.dataflow("POST", launch_path(filled), body=build_body(filled))
    return str(answer["job"]["id"])


def launch_path(filled: FilledForm) -> str:
    return f"/v1b3/projects/{filled.project}/locations/{filled.region}/flexTemplates:launch"


def build_body(filled: FilledForm) -> dict[str, Any]:
    """Return the body of the launch.

    Raises:
        InputError: an option is wrong; a line for each.
    """
    options, problems = _parse_options(filled.values)
    if problems:
        raise InputError("\n".join(problems))
    config = LaunchConfig(
        # The service judges the name.
        job_name=_STAND_IN_NAME,
        template_file_gcs_location=filled.template,
        project=filled.project,
        region=filled.region,
        parameters=filled.parameters,
        **options,
    )
    parameter = to_rest(build_launch_request(config).launch_parameter)
    labels = parameter["environment"]["additionalUserLabels"]
    del labels[LAUNCH_ID_LABEL]  # by which a client that repeats its launch finds its job
    parameter["environment"] = {
        name: value for name, value in parameter["environment"].items() if value != {}
    }
    if not parameter["environment"]:
        del parameter["environment"]
    return {"launchParameter": parameter | {"jobName": filled.job_name}}


def build_gcloud(filled: FilledForm, parameter: Mapping[str, Any]) -> str:
    """Return the gcloud command for the same launch."""
    environment = dict(parameter.get("environment", {}))
    words = ["gcloud", "dataflow", "flex-template", "run", filled.job_name or "JOB_NAME"]
    words.append(f"--template-file-gcs-location={filled.template}")
    words += [f"--project={filled.project}", f"--region={filled.region}"]
    missing = []
    for declared in list_options(EnvironmentOptions):
        rest = camel_case(declared.rest or "")
        value = environment.get(rest)
        if value is None or declared.name == "accelerator":
            continue
        if declared.name in _NO_GCLOUD_FLAG:
            missing.append(f"# gcloud has no flag for {rest}: {value}")
        elif declared.type is bool:
            words.append(declared.flag)
        elif isinstance(value, Mapping):
            words.append(f"{declared.flag}={escape_dict(value)}")
        elif isinstance(value, list):
            words.append(f"{declared.flag}={_escape_list(value)}")
        else:
            words.append(f"{declared.flag}={value}")
    try:
        if filled.parameters:
            words.append(f"--parameters={escape_dict(filled.parameters)}")
    except InputError as error:
        missing.append(f"# {error}")
    return "\n".join([*missing, format_command(words)])


def fill_from_launch(parameter: Mapping[str, Any]) -> dict[str, str]:
    """Return the form's values that repeat a ``LaunchFlexTemplateParameter``.

    An accelerator is returned as the experiment that requests it.
    """
    values = {
        f"{PARAMETER}{name}": str(value) for name, value in parameter.get("parameters", {}).items()
    }
    environment = parameter.get("environment", {})
    for declared in list_options(EnvironmentOptions):
        value = environment.get(camel_case(declared.rest or ""))
        if declared.name == "accelerator" or value in (None, False):
            continue
        if isinstance(value, Mapping):
            pairs = (f"{k}={v}" for k, v in value.items() if k != LAUNCH_ID_LABEL)
            text = "\n".join(pairs)
        elif isinstance(value, list):
            text = "\n".join(value)
        else:
            text = "true" if declared.type is bool else str(value)
        if text:
            values[f"{OPTION}{declared.name}"] = text
    return values


def _validate_only(parameter: Mapping[str, Any]) -> dict[str, Any]:
    return {"launchParameter": parameter, "validateOnly": True}


def _find_violations(refusal: ApiRefusal) -> Sequence[Mapping[str, str]]:
    return [
        violation
        for detail in refusal.details
        for violation in detail.get("parameterViolations", ())
    ]


def _sort_violations(
    refusals: Sequence[ApiRefusal], form: Form
) -> tuple[dict[str, str], tuple[str, ...]]:
    names = {each.name for each in form.fields}
    found: dict[str, str] = {}
    other = []
    for refusal in refusals:
        violations = _find_violations(refusal)
        for violation in violations:
            name, text = violation["parameter"], violation["description"]
            if name in names:
                found.setdefault(name, text)
            else:
                other.append(f"{name}: {text}")
        if not violations:
            other.append(refusal.message)
    return found, tuple(other)


def _parse_options(values: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    options: dict[str, Any] = {}
    problems: list[str] = []
    for declared in list_options(EnvironmentOptions):
        text = values.get(f"{OPTION}{declared.name}", "").strip()
        if not text:
            continue
        try:
            options[declared.name] = _parse_option(declared, text)
        except (FlexpackError, ValueError) as error:
            problems.append(f"{declared.flag} {text!r}: {error}")
    return options, problems


def _parse_option(declared: Declared, text: str) -> Any:
    kinds = [kind for kind in typing.get_args(declared.type) if kind is not NoneType]
    if declared.type is bool:
        return text == "true"
    if kinds == [int]:
        if not text.isdecimal():
            raise ValueError("expected a whole number")
        return int(text)
    if kinds == [Accelerator]:
        return Accelerator.parse(text)
    if kinds == [str]:
        return text
    entries = list(_split(text, commas=declared.option.commas))
    if typing.get_origin(declared.type) is tuple:
        return tuple(entries)
    pairs = (entry.partition("=") for entry in entries)
    if any(not equals for _, equals, _ in pairs):
        raise ValueError("expected KEY=VALUE")
    return dict(entry.split("=", 1) for entry in entries)


def _split(text: str, *, commas: bool) -> Iterator[str]:
    for line in text.splitlines():
        # An experiment may contain commas, which nothing quotes: one experiment a line.
        parts = line.split(",") if commas and "\n" not in text.strip() else [line]
        yield from (part.strip() for part in parts if part.strip())


def _escape_list(values: Sequence[str]) -> str:
    if not any("," in value for value in values):
        return ",".join(values)
    free = next(mark for mark in "~;|#%!@" if not any(mark in value for value in values))
    return f"^{free}^{free.join(values)}"
