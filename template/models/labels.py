"""Turns scores into labels: options of models whose output is one score for each class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from template.blocks import object_cells
from template.model import Option
from template.models.file_model import FileModel, split_names
from template.parameters import ParameterError
from template.predict_result import UnusablePredictionError


class ClassOptions(FileModel):
    """Options that name the classes, and how many labels a row gets."""

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
        "Whether the model's scores are logits, which softmax turns into probabilities.",
        default=False,
    )

    @property
    def makes_labels(self) -> str:
        """The name of an option that requests labels; "" if none does."""
        asked = ("class_names", "top_k", "softmax")
        return next((name for name in asked if getattr(self, name)), "")

    def check_class_count(self, scores: int) -> None:
        """Check that there is a name for each score.

        Raises:
            ParameterError: ``class_names`` has more or fewer.
        """
        names = split_names(self.class_names)
        if names and len(names) != scores:
            raise ParameterError(
                f"option class_names: {len(names)} names; the model has {scores} scores"
            )

    def label(self, outputs: Mapping[str, Any], names: Iterable[Any] = ()) -> dict[str, Any]:
        """Return the outputs, with labels instead of scores if the options request them.

        Args:
            outputs: by name; the scores are the first with several numbers for each row.
            names: names of the classes, if the options do not state them.

        Raises:
            UnusablePredictionError: no output is a score for each class.
        """
        columns = dict(outputs)
        if not self.makes_labels:
            return columns
        names = split_names(self.class_names) or tuple(map(str, names))
        name = _find_scores(columns, len(names))
        scores = np.asarray(columns[name])
        if scores.ndim == 2 and scores.shape[1] == 1:
            scores = scores[:, 0]
        if scores.ndim == 1 and len(names) == 2 and scores.dtype.kind == "f":  # of the second class
            if not ((scores >= 0) & (scores <= 1) | np.isnan(scores)).all():
                raise UnusablePredictionError(
                    f"option class_names: the model's output {name!r} is a single number, and not "
                    "a probability: omit the option"
                )
            scores = np.stack([1 - scores, scores], axis=1)
        if scores.ndim != 2:
            raise UnusablePredictionError(
                f"option {self.makes_labels}: the model's output {name!r} has shape "
                f"{scores.shape}, not a score for each class: omit the option"
            )
        if names and len(names) != scores.shape[1]:
            raise UnusablePredictionError(
                f"option class_names: {len(names)} names; the model has {scores.shape[1]} scores"
            )
        if self.softmax:
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores = powers / powers.sum(axis=1, keepdims=True)
            if not (names or self.top_k):
                return {**columns, name: scores}
        del columns[name]
        names = names or tuple(str(number) for number in range(scores.shape[1]))
        best = self.name_best(scores, names)
        return best | {name: array for name, array in columns.items() if name not in best}


def _find_scores(columns: Mapping[str, Any], classes: int) -> str:
    """Return the name of the first output with a number for each class, or the first name."""
    widths = {
        name: array.shape[1]
        for name, array in ((name, np.asarray(each)) for name, each in columns.items())
        if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind == "f"
    }
    fitting = [name for name, width in widths.items() if width == classes]
    return next(iter([*fitting, *widths, *columns]))
