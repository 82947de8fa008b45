"""What kind of model a file is, by its content; nothing of it is loaded, no framework imported."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import IO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from template.files import download_to_localfs, list_folder
from template.parameters import ParameterError

STATE_DICT = "template.models.fashion_mnist:FashionMnistModel"
TORCHSCRIPT = "template.models.torchscript:TorchScriptModel"
EXPORTED_PROGRAM = "template.models.exported_program:ExportedProgramModel"

ONNX = "template.models.onnx:OnnxModel"
XGBOOST = "template.models.xgboost:XGBoostModel"
SCIKIT_LEARN = "template.models.scikit_learn:ScikitLearnModel"

_ZIP = b"PK\x03\x04"
# A pickle of protocol 2 whose first object is torch's magic number.
_OLD_STATE_DICT = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
# Producer, its version, domain, version of the model, documentation, graph, opset, metadata.
_ONNX_FIELDS = frozenset({0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72})
_HEAD_BYTES = 4096
_MOST_FILES = 64
"""Of a folder, that are looked at."""
_KNOWN = (
    "TorchScript, a program of torch.export, ONNX, XGBoost, scikit-learn by skops or joblib, "
    "weights of the built-in model"
)


def find_kind(path: str) -> str:
    """Return the class that loads a file, as ``module:Class``. Blocks while it reads some of it.

    Raises:
        ParameterError: the file does not exist, cannot be read, or is of no known kind.
    """
    flag = f"--model_path {path!r}"
    try:
        found, seen = _find(path)
    except ParameterError:
        raise
    except FileNotFoundError:
        raise ParameterError(f"{flag}: no such file or folder") from None
    except Exception as error:  # every filesystem has its own exceptions
        raise ParameterError(f"{flag}: cannot be read: {error}") from error
    if found is None:
        raise ParameterError(
            f"{flag}: {seen}; a model without a class is one of: {_KNOWN}. Name the class that "
            "loads any other: --model_class=module:Class"
        )
    return found


def find_main_file(local: str) -> str:
    """Return the model file in a local folder; a file, or a folder that is a model, is itself."""
    folder = Path(local)
    if not folder.is_dir():
        return local
    found = _find_in_folder(folder)
    return str(folder if found is None else found[1])


def _find(path: str) -> tuple[str | None, str]:
    """Return the class, or what was found instead."""
    if files := list_folder(path):
        top = [name for name in files if "/" not in name]
        known = {name: _find_file(files[name])[0] for name in top[:_MOST_FILES]}
        return _choose(known, f"is a folder that holds {', '.join(sorted(files)[:5])}")
    if not FileSystems.exists(path):
        raise FileNotFoundError(path)
    return _find_file(path, unpacks=True)


def _find_file(path: str, *, unpacks: bool = False) -> tuple[str | None, str]:
    with closing(FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)) as file:
        head = file.read(_HEAD_BYTES)
        if head.startswith(_ZIP) and not path.lower().endswith(".zip"):
            return _find_zip(file)
    if head.startswith(_OLD_STATE_DICT):
        return STATE_DICT, ""
    if head.startswith(_PICKLES) and len(head) > 2:
        return SCIKIT_LEARN, ""
    if head.startswith(b"{") and b"learner" in head[:64]:
        return XGBOOST, ""
    if _is_onnx(head):
        return ONNX, ""
    if unpacks and (head.startswith((*_COMPRESSED, _ZIP)) or head[257:262] == b"ustar"):
        return _find_in_archive(path, head)
    return None, f"begins with {head[:16]!r}" if head else "is empty"


def _find_in_archive(path: str, head: bytes) -> tuple[str | None, str]:
    with download_to_localfs(path) as local:
        if not Path(local).is_dir():  # what joblib compressed
            compressed = head.startswith(_COMPRESSED)
            return (SCIKIT_LEARN, "") if compressed else (None, "is a damaged archive")
        found = _find_in_folder(Path(local))
        names = sorted(each.name for each in Path(local).iterdir())
    return found[0] if found else None, f"is an archive that holds {', '.join(names[:5])}"


def _find_in_folder(folder: Path) -> tuple[str, Path] | None:
    files = [each for each in sorted(folder.iterdir())[:_MOST_FILES] if each.is_file()]
    known = {str(each): _find_file(str(each))[0] for each in files}
    models = [(kind, Path(name)) for name, kind in known.items() if kind]
    return models[0] if len(models) == 1 else None


def _choose(known: Mapping[str, str | None], seen: str) -> tuple[str | None, str]:
    models = {name: kind for name, kind in known.items() if kind}
    if len(models) > 1:
        return None, f"is a folder of several models: {', '.join(models)}"
    return next(iter(models.values()), None), seen


def _find_zip(file: IO[bytes]) -> tuple[str | None, str]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return None, "is a damaged or incomplete file: a zip archive without its end"
    seen = f"is a zip archive that holds {', '.join(sorted(names)[:3])}"
    if "schema.json" in names:
        return SCIKIT_LEARN, ""
    below = {name.partition("/")[2] for name in names}  # in the folder that all are in
    if "models/model.json" in below:
        return EXPORTED_PROGRAM, ""
    if "data.pkl" in below:
        is_program = any(name.startswith("code/") for name in below)
        return TORCHSCRIPT if is_program else STATE_DICT, ""
    return None, seen


def _is_onnx(head: bytes) -> bool:
    """Say whether a file begins as a ModelProto does: a small version, then a field of it."""
    return len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 64 and head[2] in _ONNX_FIELDS
