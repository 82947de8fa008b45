"""Plan a launch and its fallbacks: the possible requests, in order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.launch.fallback import Fallback, apply_fallbacks
from launcher.launch.options import LaunchConfig
from launcher.launch.request import LaunchFlexTemplateRequest, build_launch_request
from launcher.package.spec import ContainerSpec


@dataclass(frozen=True)
class LaunchPlan:
    """One launch that may be tried.

    Attributes:
        requested: the environment that the job should have: the request's over the template's, if
        the template is known.
        fallback: its changes to the first launch; None for the first launch itself.
    """

    config: LaunchConfig
    request: LaunchFlexTemplateRequest
    requested: FlexTemplateRuntimeEnvironment
    fallback: Fallback | None = None


def plan_launches(
    config: LaunchConfig, fallbacks: Sequence[Fallback] = (), *, spec: ContainerSpec | None = None
) -> tuple[LaunchPlan, ...]:
    """Return the launch, and one for each fallback.

    Args:
        spec: the template, if it could be read.

    Raises:
        InputError: an option of one of them is wrong.
    """
    plans = []
    configs = apply_fallbacks(config, fallbacks)
    for each, fallback in zip(configs, (None, *fallbacks), strict=True):
        request = build_launch_request(each, spec)
        environment = request.launch_parameter.environment
        requested = request.environment_over(spec) if spec else environment
        plans.append(LaunchPlan(each, request, requested, fallback))
    return tuple(plans)
