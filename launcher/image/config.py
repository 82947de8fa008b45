"""An image's configuration, as in its registry.

https://github.com/opencontainers/image-spec/blob/main/config.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """The part of an image's configuration that decides whether Dataflow can run it.

    Attributes:
        history: the command of each layer, as the engine recorded it, oldest first.
    """

    architecture: str
    os: str
    entrypoint: tuple[str, ...]
    env: Mapping[str, str]
    labels: Mapping[str, str]
    history: tuple[str, ...]
    diff_ids: tuple[str, ...]


def parse_config(document: Mapping[str, Any]) -> ImageConfig:
    """Read an OCI image configuration."""
    config = document.get("config") or {}
    return ImageConfig(
        architecture=document.get("architecture", ""),
        os=document.get("os", ""),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        env=dict(variable.partition("=")[::2] for variable in config.get("Env") or ()),
        labels=dict(config.get("Labels") or {}),
        history=tuple(step.get("created_by", "") for step in document.get("history") or ()),
        diff_ids=tuple(document.get("rootfs", {}).get("diff_ids") or ()),
    )
