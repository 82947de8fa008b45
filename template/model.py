"""The contract of a user's model: one class, two methods.

``load_model`` turns a path into whatever object predicts; ``predict`` takes a DataFrame. The
object is loaded on first use, once per process however many threads and unpickled copies ask, and
it is never pickled: what travels to a worker is the path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
from apache_beam.utils.shared import Shared

from template.needs.columns import Column, check_declared_columns
from template.needs.images import Images, stack_images

__all__ = ["BaseModel", "Column", "Images", "stack_images"]


class BaseModel:
    """A model that predicts the rows of a DataFrame. Subclass it in a module, never in ``main``.

    ``device`` is "cpu" or "cuda": ``ApplyModel`` sets it to what the worker has before the model
    is loaded, and ``load_model`` and ``predict`` are free to read it.

    Args:
        model_path: where the weights are, ``gs://...`` or local; handed to ``load_model``.
        model_opts: further arguments of ``load_model``.
        predict_opts: further arguments of the loaded object's ``predict``, see ``predict``.
    """

    columns: ClassVar[Sequence[Column]] = ()
    """The columns that the model expects; without any, ``predict`` gets those of the input."""
    images: ClassVar[Images] = Images()
    """The images that the model expects. Of a model, ``self.images(df)`` makes a tensor of them."""
    device: str = "cpu"
    model_version: str = ""
    """Tells files apart that were written under one path, one after the other."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_declared_columns(cls.columns)

    def __init__(
        self,
        model_path: str,
        model_opts: Mapping[str, Any] | None = None,
        predict_opts: Mapping[str, Any] | None = None,
    ) -> None:
        self.model_path = model_path
        self.model_opts = dict(model_opts or {})
        self.predict_opts = dict(predict_opts or {})
        self._shared = Shared()
        self._loaded: _Loaded | None = None

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
        value = self.load_model(self.model_path, **self.model_opts)
        if value is None:
            raise TypeError(f"{type(self).__name__}.load_model returned None: return the model")
        return _Loaded(value)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}


@dataclass(frozen=True, eq=False)
class _Loaded:
    """Holds the loaded object: Shared needs weak references, which a list or dict refuses."""

    value: Any
