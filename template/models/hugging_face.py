"""Hugging Face folders, as ``save_pretrained`` wrote them, loaded by transformers.

Weights are read from safetensors, which runs no code. Only the folder is read: there are no
requests to the network, and code in a folder (``auto_map``) never runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from template.model import Option
from template.models.file_model import FileModel, split_names
from template.models.hugging_face_folder import (
    CONFIG,
    find_architecture,
    has_weights,
    is_pickled,
)
from template.models.labels import ClassOptions

MOST_TRIED_BYTES = 1 << 30
"""Larger weights are not loaded at the launch: Dataflow's launcher has 3.75 GB of memory."""
_INDEX = "model.safetensors.index.json"

OWN_FILES: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""Arguments of ``from_pretrained``: of the folder, and without its code."""


class HuggingFaceModel(FileModel):
    """A transformers network in a folder with ``config.json``."""

    kind = "a Hugging Face folder"
    modules: ClassVar[Mapping[str, str]] = {"transformers": "transformers", "torch": "torch"}
    extra = "transformers"

    def load_network(self, folder: Path) -> Any:
        """Return the network of the architecture that the folder names, on the model's device.

        It computes in float32, whatever type its weights are stored in.

        Raises:
            ParameterError: transformers does not have it, or its weights are incomplete, or pickled
                and not trusted.
        """
        import torch
        import transformers

        class_, is_safe = self._find_class(folder)
        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        network, report = class_.from_pretrained(
            folder,
            dtype=torch.float32,  # --precision chooses another
            use_safetensors=is_safe,
            output_loading_info=True,
            **OWN_FILES,
        )
        # The pooler is unused here, and some models are trained without one.
        missing = [name for name in report["missing_keys"] if "pooler." not in name]
        if missing:
            raise self._error(
                f"is {self.kind} whose weights are not those of {class_.__name__}: {len(missing)} "
                f"are missing, such as {missing[0]}"
            )
        return network.eval().to(self.device)

    def is_large(self, folder: Path) -> bool:
        """Return whether the weights are too large to be loaded at the launch."""
        files = (each for each in folder.iterdir() if has_weights([each.name]))
        return sum(each.stat().st_size for each in files) > MOST_TRIED_BYTES

    def outline_network(self, folder: Path) -> Any:
        """Return the network without its weights, which a worker loads and checks.

        Raises:
            ParameterError: as for ``load_network``, except that only missing files of weights are
                noticed.
        """
        import torch
        from safetensors import safe_open

        class_, _ = self._find_class(folder)
        named = set()
        if (index := folder / _INDEX).exists():
            named = set(json.loads(index.read_bytes())["weight_map"].values())
        if missing := sorted(name for name in named if not (folder / name).exists()):
            raise self._error(f"is {self.kind} that is incomplete: {missing[0]} is missing")
        for file in folder.glob("*.safetensors"):
            with safe_open(file, "pt"):  # which reads only the header, and compares the size
                pass
        config = class_.config_class.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):
            return class_(config).eval()

    def _find_class(self, folder: Path) -> tuple[Any, bool]:
        """Return transformers' class of the network, and whether the weights are not pickled."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # Beam runs a process on each core
        import transformers

        architecture = find_architecture((folder / CONFIG).read_bytes())
        class_ = getattr(transformers, architecture, None)
        if class_ is None:
            raise self._error(
                f"is {self.kind} whose architecture is {architecture}, which transformers "
                f"{transformers.__version__} does not have: code in a folder is not run"
            )
        is_safe = any(folder.glob("*.safetensors"))
        if not is_safe:
            pickled = next(each.name for each in folder.iterdir() if is_pickled(each.name))
            self.require_trust(
                f"its weights are pickled ({pickled}). Save it with save_pretrained, which writes "
                "model.safetensors"
            )
        return class_, is_safe


class ClassifierModel(HuggingFaceModel, ClassOptions):
    """A network whose output is a logit for each class; ``id2label`` names the classes."""

    activation = Option(
        "text",
        "How logits become scores; by default as config.json says: unchanged for a regression, "
        "sigmoid for one label or several independent ones, else softmax.",
        default=None,
        choices=["softmax", "sigmoid", "none"],
    )

    def inspect_labels(self, config: Any) -> None:
        """Set the names of the classes and the function for scores.

        Raises:
            ParameterError: there are more or fewer ``class_names`` than classes.
        """
        names = split_names(self.class_names)
        if names and len(names) != config.num_labels:
            raise self._error(
                f"option class_names: {len(names)} names; the model has {config.num_labels} classes"
            )
        own = [str(config.id2label.get(n, n)) for n in range(config.num_labels)]
        self._names = names or tuple(own)
        self._activation = self.activation or _find_activation(config)

    def score(self, logits: np.ndarray) -> dict[str, Any]:
        """Return each row's label and score, or only a score if there is one class.

        Args:
            logits: float32 (rows, classes).
        """
        scores = _ACTIVATIONS[self._activation](logits)
        if len(self._names) == 1:
            return {"score": scores[:, 0]}
        return self.name_best(scores, self._names)


def _find_activation(config: Any) -> str:
    """Return the function that transformers' pipelines apply to logits."""
    if config.problem_type == "regression":
        return "none"
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return "sigmoid"
    return "softmax"


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        result: np.ndarray = 1 / (1 + np.exp(-logits))
    return result


def _keep(logits: np.ndarray) -> np.ndarray:
    return logits


_ACTIVATIONS = {"softmax": _softmax, "sigmoid": _sigmoid, "none": _keep}
