"""What kind of model a file is, by its content; nothing of it is loaded, no framework imported."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from contextlib import closing
from typing import IO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from template.files import list_folder
from template.parameters import ParameterError

STATE_DICT = "template.models.fashion_mnist:FashionMnistModel"
TORCHSCRIPT = "template.models.torchscript:TorchScriptModel"
EXPORTED_PROGRAM = "template.models.exported_program:ExportedProgramModel"

_ZIP = b"PK\x03\x04"
# A pickle of protocol 2 whose first object is torch's magic number.
_OLD_STATE_DICT = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_HEAD_BYTES = 4096
_KNOWN = "TorchScript, a program of torch.export, weights of the built-in model"


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


def _find(path: str) -> tuple[str | None, str]:
    if list_folder(path):
        return None, "is a folder of no known kind"
    if not FileSystems.exists(path):
        raise FileNotFoundError(path)
    with closing(FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)) as file:
        return _find_in_file(file)


def _find_in_file(file: IO[bytes]) -> tuple[str | None, str]:
    head = file.read(_HEAD_BYTES)
    if head.startswith(_OLD_STATE_DICT):
        return STATE_DICT, ""
    if head.startswith(_ZIP):
        try:
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile:
            return None, "is a damaged or incomplete file: a zip archive without its end"
        return _find_in_zip({name.partition("/")[2] for name in names}), (
            f"is a zip archive that holds {', '.join(sorted(names)[:3])}"
        )
    return None, f"begins with {head[:16]!r}" if head else "is empty"


def _find_in_zip(names: Collection[str]) -> str | None:
    """Return the kind by the names in an archive, without the folder that all are in."""
    if "models/model.json" in names:
        return EXPORTED_PROGRAM
    if "data.pkl" in names:
        is_program = any(name.startswith("code/") for name in names)
        return TORCHSCRIPT if is_program else STATE_DICT
    return None
