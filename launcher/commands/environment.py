"""The flags that become a job's runtime environment."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from typing import Any

from launcher.launch.options import EnvironmentOptions


def read_environment_options(args: Namespace) -> EnvironmentOptions:
    """Return the options that the flags give."""
    return EnvironmentOptions(**environment_values(args))


def environment_values(args: Namespace) -> dict[str, Any]:
    """Return the options by their names, which are those of the flags."""
    return {
        field.name: getattr(args, field.name) for field in dataclasses.fields(EnvironmentOptions)
    }
