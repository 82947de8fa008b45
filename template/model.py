"""The contract of a user's model: one class, two methods.

``load_model`` turns a path into an object that predicts; ``predict`` takes a DataFrame. The object
is loaded on first use, once per process for all threads and unpickled copies, and it is never
pickled: only the path travels to a worker.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
from apache_beam.utils.shared import Shared

from template.needs.columns import Column, check_declared_columns
from template.needs.images import Images, stack_images
from template.needs.options import Option, check_declared_options, find_options, settle_options
from template.parameter_records import did_you_mean

__all__ = ["BaseModel", "Column", "Images", "Option", "stack_images"]

_ATTRIBUTES = frozenset({"model_path", "model_opts", "predict_opts"})
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class BaseModel:
    """A model that predicts the rows of a DataFrame. Subclass it in a module, never in ``main``.

    ``device`` is "cpu" or "cuda", or "cuda:0" and so on for the copies of a model on a worker with
    several GPUs: ``ApplyModel`` sets it before the model is loaded, and ``load_model`` and
    ``predict`` are free to read it.

    Args:
        model_path: where the weights are, ``gs://...`` or local; handed to ``load_model``.
        model_opts: values of the options that the class declares, which become attributes of the
            model, and other arguments of ``load_model``.
        predict_opts: further arguments of the loaded object's ``predict``, see ``predict``.

    Raises:
        ValueError: an option's declaration refuses its value, or a required one is missing.
    """

    columns: Sequence[Column] = ()
    """The columns that the model expects; without any, ``predict`` gets the input's columns."""
    images: ClassVar[Images] = Images()
    """The images that the model expects. On a model, ``self.images(df)`` makes a tensor of them."""
    takes_all_gpus: ClassVar[bool] = False
    """Set it if a model spreads itself over all GPUs of a worker; only one copy is then loaded."""
    device: str = "cpu"
    model_version: str = ""
    """Distinguishes files written to the same path one after another."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_declared_options(cls, {*dir(BaseModel), *_ATTRIBUTES})
        check_declared_columns(cls.columns)

    def __init__(
        self,
        model_path: str,
        model_opts: Mapping[str, Any] | None = None,
        predict_opts: Mapping[str, Any] | None = None,
    ) -> None:
        self.model_path = model_path
        options = find_options(type(self))
        self.model_opts = {**(model_opts or {})}
        self.predict_opts = {**(predict_opts or {})}
        for name, value in settle_options(options, self.predict_opts | self.model_opts).items():
            self.model_opts.pop(name, None)
            to_predict = options[name].passed_to == "predict"
            (self.predict_opts if to_predict else self.model_opts)[name] = value
            setattr(self, name, value)
        self._shared = Shared()
        self._loaded: _Loaded | None = None

    def inspect(self) -> None:
        """Read from the file what the model has to declare, such as ``columns``.

        Override it if necessary. Called once, at the launch, before anything is read; the workers
        get the model in this state. A ParameterError ends the launch with its message.
        """

    def load_model(self, path: str, **opts: Any) -> Any:
        """Load the object that predicts. Override it; called once per process."""
        raise NotImplementedError(f"{type(self).__name__} does not define load_model(path)")

    def predict(self, df: pd.DataFrame) -> Any:
        """Predict every row of ``df``. Override it unless the loaded object predicts frames.

        Returns:
            A DataFrame, Series, array, tensor or sequence with one entry per row; or None, which
            adds no column to the key.
        """
        return pd.DataFrame(self.ensure_model().predict(df, **self.predict_opts))

    def ensure_model(self) -> Any:
        """Return the loaded object, loading it on the first call in this process.

        Blocks while another thread loads it.
        """
        if self._loaded is None:
            tag = (self.model_path, self.model_version, self.device)
            self._loaded = self._shared.acquire(self._load, tag=tag)
        return self._loaded.value

    def _load(self) -> _Loaded:
        declared = find_options(type(self))
        taken = find_arguments(self.load_model)
        opts = {
            name: value
            for name, value in self.model_opts.items()
            if name not in declared or taken is None or name in taken
        }
        value = self.load_model(self.model_path, **opts)
        if value is None:
            raise TypeError(f"{type(self).__name__}.load_model returned None: return the model")
        return _Loaded(value)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}


def check_predict(model: BaseModel, loaded: Any) -> None:
    """Check that the class or the loaded object defines ``predict``.

    Raises:
        TypeError: neither does.
    """
    is_own = getattr(model.predict, "__func__", None) is not BaseModel.predict
    if is_own or callable(getattr(loaded, "predict", None)):
        return
    names = [name for name in dir(type(model)) if name not in dir(BaseModel)]
    raise TypeError(
        f"{type(model).__name__} has no predict(df), and neither does the object that its "
        f"load_model returned ({type(loaded).__name__}){did_you_mean('predict', names)}"
    )


def find_arguments(load_model: Callable[..., Any]) -> set[str] | None:
    """Return the names of ``load_model``'s arguments besides the path; None if it takes any."""
    parameters = list(inspect.signature(load_model).parameters.values())
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return None
    return {each.name for each in parameters[1:] if each.kind in _BY_NAME}


@dataclass(frozen=True, eq=False)
class _Loaded:
    """Holds the loaded object: Shared needs weak references, which a list or dict refuses."""

    value: Any
