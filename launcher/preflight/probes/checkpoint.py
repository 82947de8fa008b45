"""Loads a checkpoint as the workers will, and prints its contents as JSON.

``checkpoint.py PATH [MODULE:CLASS [PARAMETERS]]``: with a class, its own ``load_model`` loads the
file too. PARAMETERS are those of the launch, as a JSON object, with the model's options. An empty
class means a launch without one: the file's kind must not need a class.
"""

from __future__ import annotations

import importlib
import json
import pickle
import sys
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Files of torch.save: a zip archive or, before torch 1.6, a pickle.
_FIRST_BYTES = (b"PK", b"\x80\x02")
# GGUF, HDF5 (Keras), gzip, XGBoost, the text of LightGBM and JSON, other pickles, zlib.
_OTHERS = (b"GGUF", b"\x89HDF", b"\x1f\x8b", b"binf", b"tree\n", b"{")
_OTHER_PICKLES = (b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x78")


def main(path: str, model_class: str | None, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the report: sizes and dtypes, or the first ``problem`` and its ``detail``."""
    import torch

    if Path(path).is_dir():
        sizes = [each.stat().st_size for each in Path(path).rglob("*") if each.is_file()]
        return {"file_bytes": sum(sizes)} | _load_model(path, model_class, parameters)
    report: dict[str, Any] = {"file_bytes": Path(path).stat().st_size}
    with Path(path).open("rb") as file:
        start = file.read(16)
    if not start:
        return report | {"problem": "unreadable", "detail": "it is empty"}
    if _is_of_another_kind(path, start):  # the model class may load it: see below
        return report | _load_model(path, model_class, parameters)
    if start[:2] not in _FIRST_BYTES:
        return report | {"problem": "unreadable", "detail": f"it begins with {start[:2]!r}"}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        return report | {"problem": "pickled", "detail": _first_line(error)}
    except Exception as error:  # a broken file: any error from torch or the file system
        return report | {"problem": "unreadable", "detail": _first_line(error)}
    if not isinstance(state, Mapping):
        return report | {"problem": "no-state-dict", "detail": type(state).__name__}
    tensors = [value for value in _leaves(state) if isinstance(value, torch.Tensor)]
    report["tensor_bytes"] = sum(tensor.nbytes for tensor in tensors)
    dtypes = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors)
    report["dtypes"] = dict(dtypes)
    return report | _load_model(path, model_class, parameters)


def _load_model(
    path: str, model_class: str | None, parameters: Mapping[str, str]
) -> dict[str, Any]:
    """Return why a model class cannot load the file, or nothing."""
    if not model_class:
        return _load_by_kind(path, parameters, is_launch=model_class is not None)
    module, _, name = model_class.partition(":")
    try:
        class_ = getattr(importlib.import_module(module), name)
        options = _read_options(class_, parameters)
        if options is not None:
            (class_(path, options) if options else class_(path)).ensure_model()
    except Exception as error:  # the user's own code may raise anything
        return {"problem": "misfit", "detail": f"{type(error).__name__}: {error}"}
    return {}


def _load_by_kind(path: str, parameters: Mapping[str, str], *, is_launch: bool) -> dict[str, Any]:
    """Return why a file that needs no class cannot be loaded, or nothing.

    Without a launch there are no class and options yet, so only damage is reported.
    """
    try:
        from template.models.kinds import STATE_DICT, find_kind
        from template.parameters import ParameterError
    except ImportError:  # the image is not flexpack's
        return {}
    try:
        reference = find_kind(path)
        if reference == STATE_DICT:
            return _load_model(path, reference, parameters) if is_launch else {}
        module, _, name = reference.partition(":")
        class_ = getattr(importlib.import_module(module), name)
        options = _read_options(class_, parameters)
        if options is not None:
            class_(path, options).inspect()
    except ParameterError as error:
        text = str(error).removeprefix(f"--model_path {path!r}: ")
        if error.__cause__ is not None or "damaged" in text or "is empty" in text:
            return {"problem": "unreadable", "detail": text}
        depends_on_launch = "option" in text or "--model_class" in text
        return (
            {} if depends_on_launch and not is_launch else {"problem": "unusable", "detail": text}
        )
    except Exception as error:  # the model does not have the option
        detail = f"{type(error).__name__}: {error}"
        return {"problem": "unusable", "detail": detail} if is_launch else {}
    return {}


def _read_options(class_: Any, parameters: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the model's options; None if they are wrong or missing, which other checks report."""
    # By name, because the template's version in this process may differ from the launcher's.
    found: dict[str, Any] = {name: getattr(class_, name, None) for name in dir(class_)}
    declared = {name: each for name, each in found.items() if type(each).__name__ == "Option"}
    try:
        options = dict(json.loads(parameters.get("model_opts") or "{}"))
        for name, option in declared.items():
            if name in parameters:
                options[name] = option.read(parameters[name])
            elif option.is_required and name not in options:
                return None
    except (TypeError, ValueError):
        return None
    return options


def _is_of_another_kind(path: str, start: bytes) -> bool:
    """Return whether a file is a model, but not from torch.save: a model class may load it."""
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < Path(path).stat().st_size:
        return True  # safetensors
    if (
        start.startswith((*_OTHERS, *_OTHER_PICKLES))
        or Path(path).suffix == ".onnx"
        or _is_onnx(start)
    ):
        return True
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] or name for name in archive.namelist()]
        is_program = any(name.startswith(("code/", "models/", "data/weights/")) for name in names)
        return is_program or "data.pkl" not in names  # TorchScript, torch.export, Keras, NumPy
    return False


def _is_onnx(start: bytes) -> bool:
    """Return whether a file begins like ONNX: field 1 is a small version, the next is text."""
    return start[:1] == b"\x08" and start[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42")


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    return [value]


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    file, class_name, launch = [*sys.argv[1:], None, None][:3]
    found = main(str(file), class_name, json.loads(launch or "{}"))
    sys.stdout.write(f"{json.dumps(found)}\n")
