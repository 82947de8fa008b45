"""Loads a checkpoint as the workers will, and prints what it holds as JSON.

``checkpoint.py FILE [MODULE:CLASS]``: with a class, its own ``load_model`` loads the file too.
"""

from __future__ import annotations

import importlib
import json
import pickle
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Of torch.save: a zip archive, or, before torch 1.6, a pickle.
_FIRST_BYTES = (b"PK", b"\x80\x02")


def main(path: str, model_class: str | None) -> dict[str, Any]:
    """Return the report: sizes and dtypes, or the first ``problem`` and its ``detail``."""
    import torch

    report: dict[str, Any] = {"file_bytes": Path(path).stat().st_size}
    with Path(path).open("rb") as file:
        start = file.read(2)
    if start not in _FIRST_BYTES:
        return report | {"problem": "unreadable", "detail": f"it begins with {start!r}"}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        return report | {"problem": "pickled", "detail": _first_line(error)}
    except Exception as error:  # whatever torch or the file system says about a broken file
        return report | {"problem": "unreadable", "detail": _first_line(error)}
    if not isinstance(state, Mapping):
        return report | {"problem": "no-state-dict", "detail": type(state).__name__}
    tensors = [value for value in _leaves(state) if isinstance(value, torch.Tensor)]
    report["tensor_bytes"] = sum(tensor.nbytes for tensor in tensors)
    dtypes = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors)
    report["dtypes"] = dict(dtypes)
    if model_class is not None:
        module, _, name = model_class.partition(":")
        try:
            model = getattr(importlib.import_module(module), name)(path)
            model.ensure_model()
        except Exception as error:  # the user's own code may raise anything
            return report | {"problem": "misfit", "detail": f"{type(error).__name__}: {error}"}
    return report


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    return [value]


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    found = main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    sys.stdout.write(f"{json.dumps(found)}\n")
