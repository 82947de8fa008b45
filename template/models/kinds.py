"""Find a model file's kind from its content, without loading it or importing a framework."""

from __future__ import annotations

import zipfile
import zlib
from contextlib import closing
from pathlib import Path
from typing import IO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from template.files import download_to_localfs, list_folder
from template.models import folders
from template.models.hugging_face_folder import TASKS
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
_ZLIB_OR_GZIP = 47  # the largest window, and a header of either
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
# Producer, its version, domain, model version, documentation, graph, opset, metadata.
_ONNX_FIELDS = frozenset({0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72})
_HEAD_BYTES = 4096
_KNOWN = (
    "TorchScript, a torch.export program, ONNX, XGBoost, scikit-learn (skops or joblib), a "
    f"Hugging Face folder for {', '.join(task.name for task in TASKS)}, weights of the built-in "
    "model"
)


def find_kind(path: str) -> str:
    """Return the class that loads a file, as ``module:Class``. Blocks while it reads some of it.

    Raises:
        ParameterError: the file does not exist, cannot be read, or is of an unknown kind.
    """
    flag = f"--model_path {path!r}"
    try:
        found, seen = _find(path)
    except ParameterError:
        raise
    except folders.UnclearFolderError as error:
        raise ParameterError(f"{flag}: {error}") from None
    except FileNotFoundError:
        raise ParameterError(f"{flag}: no such file or folder") from None
    except Exception as error:  # each filesystem raises its own exceptions
        raise ParameterError(f"{flag}: cannot be read: {error}") from error
    if found is None:
        raise ParameterError(
            f"{flag}: {seen}; a model without a class is one of: {_KNOWN}. Name the class that "
            "loads any other: --model_class=module:Class"
        )
    return found


def find_main_file(local: str) -> str:
    """Return the model file in a local folder; the path itself if it is the model."""
    files = list_folder(local)
    found = folders.find_model(files, _find_kind_of_file) if files else None
    return files[found.file] if found and found.file else local


def _find(path: str) -> tuple[str | None, str]:
    """Return the class, or a description of what was found instead."""
    if files := list_folder(path):
        found = folders.find_model(files, _find_kind_of_file, path=path)
        return (found.kind, "") if found else (None, f"is a folder that holds {_some(files)}")
    if not FileSystems.exists(path):
        raise FileNotFoundError(path)
    if "://" not in path and Path(path).is_dir():
        return None, "is an empty folder"
    return _find_file(path, unpacks=True)


def _find_kind_of_file(path: str) -> str | None:
    return _find_file(path)[0]


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
    if _is_compressed_pickle(head):
        return SCIKIT_LEARN, ""
    if unpacks and (head.startswith((*_COMPRESSED, _ZIP)) or head[257:262] == b"ustar"):
        return _find_in_archive(path, head)
    if head[8:10] == b'{"':
        return None, "is a safetensors file; name the folder that holds it and config.json"
    return None, f"begins with {head[:16]!r}" if head else "is empty"


def _find_in_archive(path: str, head: bytes) -> tuple[str | None, str]:
    with download_to_localfs(path) as local:
        if not Path(local).is_dir():  # what joblib compressed
            compressed = head.startswith(_COMPRESSED)
            return (SCIKIT_LEARN, "") if compressed else (None, "is a damaged archive")
        files = list_folder(local)
        found = folders.find_model(files, _find_kind_of_file)
    return (found.kind, "") if found else (None, f"is an archive that holds {_some(files)}")


def _some(names: dict[str, str]) -> str:
    return ", ".join(sorted(names)[:5])


def _find_zip(file: IO[bytes]) -> tuple[str | None, str]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return None, "is a damaged or incomplete file: a zip archive without its end"
    seen = f"is a zip archive that holds {', '.join(sorted(names)[:3])}"
    if "schema.json" in names:
        return SCIKIT_LEARN, ""
    below = {name.partition("/")[2] for name in names}  # in the folder that contains everything
    if "models/model.json" in below:
        return EXPORTED_PROGRAM, ""
    if "data.pkl" in below:
        is_program = any(name.startswith("code/") for name in below)
        return TORCHSCRIPT if is_program else STATE_DICT, ""
    return None, seen


def _is_onnx(head: bytes) -> bool:
    """Return whether a file begins like a ModelProto: a small version, then another field."""
    return len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 64 and head[2] in _ONNX_FIELDS


def _is_compressed_pickle(head: bytes) -> bool:
    """Return whether a file begins like one that joblib compressed with its default method."""
    try:
        return zlib.decompressobj(_ZLIB_OR_GZIP).decompress(head).startswith(_PICKLES)
    except zlib.error:
        return False
