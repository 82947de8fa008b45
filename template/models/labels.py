"""Scores of classes as labels: options of the models whose output is one score for each class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from template.blocks import object_cells
from template.model import Option
from template.models.file_model import FileModel, split_names
from template.parameters import ParameterError


class ClassOptions(FileModel):
    """Options that name classes, and say how many of the best a row gets."""

    class_names = Option(
        "text",
        "The names of the classes in the order of the model's scores, separated by commas; each "
        "row then gets its label and score.",
        default=None,
    )
    top_k = Option(
        "integer",
        "How many of the best labels a row gets, with their scores, as lists.",
        default=None,
        minimum=1,
    )

    def name_best(self, scores: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return the best class of each row and its score, or the ``top_k`` best as lists.

        Args:
            scores: (rows, classes).
            names: of the classes.
        """
        cells = object_cells(names)
        if self.top_k:
            best = np.argsort(-scores, axis=1, kind="stable")[:, : self.top_k]
            top = np.take_along_axis(scores, best, axis=1)
            return {"labels": [list(cells[row]) for row in best], "scores": top}
        index = scores.argmax(axis=1)
        return {"label": cells[index], "score": scores[np.arange(len(scores)), index]}


class LabelOptions(ClassOptions):
    """Options that make labels of the scores of classes."""

    softmax = Option(
        "boolean",
        "Whether the model's scores are logits, of which softmax makes probabilities.",
        default=False,
    )

    def label(self, outputs: Mapping[str, Any], names: Iterable[Any] = ()) -> dict[str, Any]:
        """Return outputs, of which the first has become labels if the options say so.

        Args:
            outputs: by name.
            names: of the classes, if the options do not say them.

        Raises:
            ValueError: the first output is not a score for each class.
        """
        columns = dict(outputs)
        if not (self.class_names or self.top_k or self.softmax):
            return columns
        name, scores = next(iter(columns.items()))
        scores = np.asarray(scores)
        names = split_names(self.class_names) or tuple(map(str, names))
        if scores.ndim == 2 and scores.shape[1] == 1:
            scores = scores[:, 0]
        if scores.ndim == 1 and len(names) == 2:  # of the second class
            scores = np.stack([1 - scores, scores], axis=1)
        if scores.ndim != 2:
            raise ValueError(f"the output {name!r} has shape {scores.shape}, not a score per class")
        if names and len(names) != scores.shape[1]:
            raise ParameterError(
                f"option class_names: {len(names)} names; the model has {scores.shape[1]} scores"
            )
        if self.softmax:
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores = powers / powers.sum(axis=1, keepdims=True)
            if not (names or self.top_k):
                return {**columns, name: scores}
        del columns[name]
        names = names or tuple(str(number) for number in range(scores.shape[1]))
        return self.name_best(scores, names) | columns
