"""The task of a Hugging Face folder, from its config.json, and the class for it.

https://huggingface.co/docs/transformers/main_classes/configuration
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

CONFIG = "config.json"
_ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class Task:
    """The task of a model.

    Attributes:
        name: in messages.
        architectures: a pattern for the names of its architectures.
        shown: the same, for users to read.
        model_class: the class that loads it, as ``module:Class``.
    """

    name: str
    architectures: str
    shown: str
    model_class: str


TASKS = (
    Task(
        "text classification",
        r"\w+ForSequenceClassification",
        "...ForSequenceClassification",
        "template.models.text_classification:TextClassificationModel",
    ),
    Task(
        "embeddings of texts",
        r"\w+(?<!LMHead)(?<!Heads)Model",
        "...Model",
        "template.models.text_embedding:TextEmbeddingModel",
    ),
    Task(
        "image classification",
        r"(?!Timm)\w+ForImageClassification",
        "...ForImageClassification",
        "template.models.image_classification:ImageClassificationModel",
    ),
)


class UnsupportedModelError(ValueError):
    """A folder holds a model that needs a user's class."""


def has_weights(names: Collection[str]) -> bool:
    """Return whether file names include weights, safetensors or pickled."""
    return any(name.endswith(".safetensors") or is_pickled(name) for name in names)


def is_pickled(name: str) -> bool:
    """Return whether a file's name is that of pickled weights."""
    return name.startswith("pytorch_model") and name.endswith(".bin")


def is_config(text: bytes) -> bool:
    """Return whether a ``config.json`` is from Hugging Face.

    Raises:
        UnsupportedModelError: it is not JSON.
    """
    return not {"architectures", "model_type"}.isdisjoint(_read(text))


def find_task(text: bytes) -> Task:
    """Return the task of the model that a ``config.json`` describes.

    Raises:
        UnsupportedModelError: no task has its architecture.
    """
    architecture = find_architecture(text)
    for task in TASKS:
        if re.fullmatch(task.architectures, architecture):
            return task
    supported = ", ".join(f"{task.name} ({task.shown})" for task in TASKS)
    raise UnsupportedModelError(
        f"is a Hugging Face folder whose architecture is {architecture or 'not named'}; "
        f"supported are {supported}. Name the class that loads any other: "
        "--model_class=module:Class"
    )


def find_architecture(text: bytes) -> str:
    """Return the first architecture, or ""."""
    names = _read(text).get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""


def is_incomplete(names: Collection[str]) -> str | None:
    """Return what an incomplete Hugging Face folder lacks."""
    if _ADAPTER in names:
        return (
            "is an adapter (adapter_config.json) without its model: merge it, with PEFT's "
            "merge_and_unload, and save the model"
        )
    if CONFIG in names and {"tokenizer_config.json", "preprocessor_config.json"} & set(names):
        return "is a Hugging Face folder without weights: it has no model.safetensors"
    if has_weights(names):
        return "is a folder of weights without config.json, which names their architecture"
    return None


def _read(text: bytes) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except ValueError as error:
        raise UnsupportedModelError(f"is a folder whose config.json is not JSON: {error}") from None
    return config if isinstance(config, dict) else {}
