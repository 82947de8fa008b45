"""Models without a user's class: their file and a few options provide all information."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from template.files import download_to_localfs
from template.model import BaseModel, Column, Option
from template.models.kinds import find_main_file
from template.needs.images import Images, ImageTensors
from template.parameters import ParameterError


class FileModel(BaseModel):
    """A model of one kind of file.

    ``inspect`` finds the columns at the launch, so that a wrong option, a damaged file or a missing
    framework ends the launch; workers get the model with the result.
    """

    kind: ClassVar[str]
    """The kind's name in messages, with its article."""
    modules: ClassVar[Mapping[str, str]] = {}
    """The packages that loading needs besides the template's own, by module."""
    extra: ClassVar[str] = ""
    """The extra of flexpack that installs them."""
    uses_torch: ClassVar[bool] = True
    """Whether torch runs the model, so its autocast applies."""
    runs_code: ClassVar[str] = ""
    """Why loading a file may run code, which requires ``trusted``; empty if it cannot."""

    feature_columns = Option(
        "text",
        "The input columns that the model gets, in its order, separated by commas. Required if "
        "the file does not name them.",
        default=None,
    )
    trusted = Option(
        "boolean",
        "Whether you trust the file: loading it may run code in it.",
        default=False,
    )

    def inspect(self) -> None:
        """Check file, options and packages, and set ``columns`` and the images.

        Raises:
            ParameterError: one of them is unsuitable.
        """
        missing = [name for name in self.modules if importlib.util.find_spec(name) is None]
        if missing:
            packages = " and ".join(self.modules[name] for name in missing)
            raise self._error(
                f"is {self.kind}, which needs {packages}: install flexpack[{self.extra}], or name "
                f"{packages} in requirements.in of your project (make image CODE=DIR)"
            )
        self._check_trust()
        try:
            with download_to_localfs(self.model_path) as local:
                self.inspect_file(find_main_file(local))
        except ParameterError:
            raise
        except Exception as error:  # each library raises its own type for a damaged file
            raise self._error(f"is {self.kind} that does not load: {describe(error)}") from error

    def inspect_file(self, local: str) -> None:
        """Check a file, or a folder of files, and set what the pipeline must know about it."""
        raise NotImplementedError

    def load_file(self, local: str) -> Any:
        """Return the object that predicts, on ``self.device``."""
        raise NotImplementedError

    def load_model(self, path: str) -> Any:  # type: ignore[override]  # it has options only
        """Load the file.

        Raises:
            ParameterError: loading it may run code and ``trusted`` is not set; or it replaces a
                model in a stream but takes other columns or images.
        """
        self._check_trust()
        with download_to_localfs(path) as local:
            main = find_main_file(local)
            if self.model_version:
                self._inspect_newer(main)
            return self.load_file(main)

    def _inspect_newer(self, local: str) -> None:
        """Set what the pipeline must know about a file that replaces the launched one."""
        columns, images = self.columns, self.images.declared
        self.inspect_file(local)
        if (self.columns, self.images.declared) != (columns, images):
            raise self._error(
                f"takes {_name_columns(self.columns)}; the job's model takes "
                f"{_name_columns(columns)}, and its messages are read for that. Launch a job with "
                "the newer one"
            )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names in ``feature_columns``; none if it is not set."""
        return split_names(self.feature_columns)

    @property
    def images(self) -> ImageTensors:  # type: ignore[override]  # of the file, not of the class
        """Makes tensors of images; the declaration is the one that ``inspect`` found."""
        return ImageTensors(self.__dict__.get("_images", Images()), self.device)

    def _check_trust(self) -> None:
        if self.runs_code:
            self.require_trust(self.runs_code)

    def require_trust(self, reason: str) -> None:
        """Refuse a file that is not trusted.

        Raises:
            ParameterError: the option ``trusted`` is not set.
        """
        if not self.trusted:
            raise self._error(
                f"is {self.kind}, and {reason}. If you trust whoever wrote it, set the model's "
                "option trusted to true"
            )

    def _error(self, text: str) -> ParameterError:
        return ParameterError(f"--model_path {self.model_path!r}: {text}")


def _name_columns(columns: Sequence[Column]) -> str:
    return ", ".join(f"{each.name} ({each.type})" for each in columns)


def split_names(text: str | None) -> tuple[str, ...]:
    """Return the names in a CSV line, so that one with a comma in it can be quoted.

    Raises:
        ParameterError: one is empty, or is given twice.
    """
    names = [name.strip() for name in next(csv.reader([text or ""], skipinitialspace=True), [])]
    for position, name in enumerate(names):
        if not name:
            raise ParameterError(f"option {text!r}: a name is empty; separate names by commas")
        if name in names[:position]:
            raise ParameterError(f"option {text!r}: names {name!r} twice")
    return tuple(names)


def describe(error: BaseException) -> str:
    """Return a library's error as one line."""
    lines: Sequence[str] = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:300]}"
