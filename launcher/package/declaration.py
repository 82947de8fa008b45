"""A template for one model: the model's declared options are its parameters.

The declaration is read by a process of the environment that has the model, see
``template.needs.describe``: neither the model nor torch is imported here.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from launcher.errors import InputError
from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from template.parameters import MODEL_LABEL, TEMPLATES, EnumOption, Parameter, ParamType, Template

MODEL_CLASS = "model_class"
"""The pipeline option that names the model; a template for a model sets it in its environment."""
_REPLACED = (MODEL_CLASS, "model_opts")
_TIMEOUT_SEC = 300.0
_LONGEST_LABEL = 63


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a model declares.

    Attributes:
        options: its options, as parameters of a template.
        types: of its columns, by name; empty if it declares none.
    """

    model_class: str
    options: tuple[Parameter, ...]
    types: Mapping[str, str] = field(default_factory=dict)

    def make_template(self, template: Template) -> Template:
        """Return the template for this model; launches do not name its class."""
        kept = (each for each in template.parameters if each.name not in _REPLACED)
        name = self.model_class.rpartition(":")[2]
        return replace(
            template,
            title=f"{_find_subject(template.title)} with {name}",
            description=f"{template.description} Model: {self.model_class}.",
            parameters=(*kept, *self.options),
        )

    def set_environment(
        self, environment: FlexTemplateRuntimeEnvironment
    ) -> FlexTemplateRuntimeEnvironment:
        """Return the environment of the template's jobs: the service fills in no defaults.

        A launch may replace the pipeline options, including the class. The label lets the jobs
        of such a launch detect this and refuse to run another model.
        """
        label = re.sub(r"[^a-z0-9_-]", "-", self.model_class.lower())[:_LONGEST_LABEL]
        return replace(
            environment,
            additional_user_labels={**environment.additional_user_labels, MODEL_LABEL: label},
            additional_pipeline_options=(
                *environment.additional_pipeline_options,
                f"{MODEL_CLASS}={self.model_class}",
            ),
        )


def read_declaration(model_class: str, *, python: Path, root: Path) -> Declaration:
    """Return what a model declares. Blocks while its module is imported, 5 minutes at most.

    Args:
        model_class: ``module:Class``.
        python: the interpreter that has the image's packages.
        root: the folder from which the module is imported.

    Raises:
        InputError: it cannot be imported, or its declaration is invalid.
    """
    flag = f"--model-class {model_class}"
    try:
        done = subprocess.run(
            # -P: use the kit's package even in a folder that has its own package called template.
            [str(python), "-P", "-m", "template.needs.describe", model_class],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SEC,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{flag}: its import takes more than {_TIMEOUT_SEC:g} s") from None
    except OSError as problem:
        raise InputError(f"--python {python}: {problem.strerror}") from problem
    if done.returncode == 2:
        problem_text = done.stderr.strip().rpartition("\n")[2]
        raise InputError(f"{flag}: {problem_text.removeprefix(f'--model_class {model_class!r}: ')}")
    try:
        described = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    except ValueError:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
        raise InputError(f"{flag}: {python} cannot read its declaration: {last}") from None
    return Declaration(
        model_class=model_class,
        options=tuple(map(_read_parameter, described["options"])),
        types={column["name"]: column["type"] for column in described["columns"]},
    )


def is_own_title(title: str) -> bool:
    """Return whether a template with this title is one of the kit's, perhaps for one model."""
    return _find_subject(title) in {_find_subject(template.title) for template in TEMPLATES}


def _find_subject(title: str) -> str:
    return title.partition(" with ")[0]


def _read_parameter(fields: Mapping[str, Any]) -> Parameter:
    choices = tuple(EnumOption(**each) for each in fields["enum_options"])
    return Parameter(
        **{**fields, "param_type": ParamType(fields["param_type"]), "enum_options": choices}
    )
