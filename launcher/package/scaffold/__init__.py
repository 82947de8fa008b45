"""A new project of the user's: the files that ``flexpack init`` writes.

Their templates are beside this module: ``common`` for every project, and a folder for each kind.
``project_name`` and similar words stand for the project's own names, even in file names.
"""

from __future__ import annotations

import importlib.util
import json
import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from launcher.errors import InputError
from launcher.package.model_file import ModelFile

KINDS = ("table", "image", "text")
FILE = "file"
"""The kind of a project whose model is a file that needs no class."""
DATA = "data"
SAMPLE_PROGRAM = "make_sample.py"

_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_LONGEST_NAME = 40  # it becomes part of the names of jobs and buckets
_TAKEN = ("flexpack", "tests", "data", "make_sample")
_SUFFIX = ".in"
_CHECKS = "checks"
_WEIGHTS = "model.pth"
_FOR_IMAGES: Mapping[str, str] = {"xgboost": "xgboost-cpu"}
"""Packages that an image can have in a smaller form."""
_OWN_SAMPLE = """\
`make_sample.py` made `@INPUT@`, with one row that is bad on purpose, and trained `data/model.pth`.
For your own data and model, set `INPUT`, `WEIGHTS` (a file or a folder) and `PARAMETERS` in the
Makefile or in a command, `make try INPUT='my/files*' WEIGHTS=my.pth PARAMETERS=`, and change what
`tests/test_sample.py` expects."""
_FILE_SAMPLE = """\
`data/@NAME@` is a copy of your file. `make_sample.py` made `@INPUT@` with made-up values. For your
own data, set `INPUT` in the Makefile or in a command, `make try INPUT='my/files*'`, and change what
`tests/test_sample.py` expects."""
_LOCK = " Run `make lock` before the first `make template`."
_TITLES: Mapping[str, str] = {
    "table": "Predicts rows of a table",
    "image": "Predicts pictures",
    "text": "Predicts texts",
}
_INPUTS: Mapping[str, str] = {
    "table": "data/sample.csv",
    "image": "data/sample/*",
    "text": "data/sample.jsonl",
    FILE: "data/sample.csv",
}
_GLOBS: Mapping[str, str] = {
    "table": "in/*.csv",
    "image": "in/*.jpg",
    "text": "in/*.jsonl",
    FILE: "in/*.csv",
}
_PARAMETERS: Mapping[str, str] = {
    "table": "key_column=customer",
    "image": "",
    "text": "key_column=id",
    FILE: "",
}


@dataclass(frozen=True, kw_only=True)
class Scaffold:
    """The inputs of a new project.

    Attributes:
        name: the name of its package and, in lower case, of everything else.
        kind: one of ``KINDS``; ``FILE`` with a ``file``.
        requirement: how pip installs flexpack.
        bin_folder: has the first ``python`` and ``flexpack`` of the project.
        file: the model file; None if the project trains a model of its own.
    """

    name: str
    kind: str
    requirement: str
    bin_folder: Path
    file: ModelFile | None = None

    @property
    def model(self) -> str:
        """The name of the model's class."""
        return f"{self.name}.model:{_class_prefix(self.name)}Model"


def check_name(name: str) -> None:
    """Check that a package may have that name.

    Raises:
        InputError: it may not; the message says why.
    """
    problem = _find_problem(name)
    if problem:
        raise InputError(f"NAME {name!r}: {problem}")


def build_files(scaffold: Scaffold) -> dict[str, str]:
    """Return the text of every file of a project, by its path in the project."""
    texts = {
        path: text
        for folder in ("common", scaffold.kind)
        for path, text in _read_files(resources.files(__name__) / folder)
    }
    # Images for a model file use the same placeholders as the kind ``image``.
    places = "image" if scaffold.file and scaffold.file.takes_images else scaffold.kind
    replaced = {
        **_describe_model(scaffold.file),
        "project_name": scaffold.name,
        "project-name": scaffold.name.replace("_", "-"),
        "ProjectName": _class_prefix(scaffold.name),
        "@CHECKS@\n": texts.pop(_CHECKS),
        "@REQUIREMENT@": scaffold.requirement,
        "@BIN@": str(scaffold.bin_folder),
        "@TITLE@": f"Runs {scaffold.file.kind}" if scaffold.file else _TITLES[scaffold.kind],
        "@INPUT@": _INPUTS[places],
        "@GLOB@": _GLOBS[places],
        "@MADE@": _INPUTS[places] + ("" if scaffold.file else f" {DATA}/{_WEIGHTS}"),
        "@PARAMETERS@": _PARAMETERS[scaffold.kind],
    }
    pattern = re.compile("|".join(map(re.escape, replaced)))

    def fill(text: str) -> str:
        return pattern.sub(lambda found: replaced[found[0]], text)

    # They contain names of their own.
    replaced["@SAMPLE@"] = fill(replaced["@SAMPLE@"])

    return {fill(path): fill(text) for path, text in texts.items()}


def write_project(scaffold: Scaffold, folder: Path) -> list[Path]:
    """Write a project into a folder that is empty or does not exist; return its files.

    Raises:
        InputError: the folder is not empty, or cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"NAME {str(folder)!r}: already exists, and nothing is overwritten")
        written = []
        for path, text in sorted(build_files(scaffold).items()):
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x") as opened:
                opened.write(text)
            written.append(file)
        if scaffold.file:
            written.append(scaffold.file.copy(folder / DATA))
    except OSError as error:
        raise InputError(f"NAME {str(folder)!r}: cannot be written: {error.strerror}") from error
    return written


def _describe_model(file: ModelFile | None) -> dict[str, str]:
    """Return the texts about the model that stand for names in the files."""
    if file is None:
        return {"@NAME@": _WEIGHTS, "@PACKAGES@": "", "@SAMPLE@": _OWN_SAMPLE}
    module, _, base = file.model_class.partition(":")
    columns = [f"    {_quote(name)}: {_quote(type_)},\n" for name, type_ in file.columns.items()]
    options = [f"\n    {name} = {_quote(value)}" for name, value in file.options.items()]
    packages = [_FOR_IMAGES.get(name, name) for name in file.packages]
    return {
        "@NAME@": file.name,
        "@KIND@": file.kind,
        "@MODULE@": module,
        "@BASE@": base,
        "@COLUMNS@": f"{{\n{''.join(columns)}}}",
        "@OPTIONS@\n": "".join(options) + "\n" if options else "",
        "@PACKAGES@": "".join(f"{name}\n" for name in packages),
        "@SAMPLE@": _FILE_SAMPLE + (_LOCK if packages else ""),
    }


def _quote(value: object) -> str:
    """Return a value as Python's formatters write it."""
    has_simple_quotes = isinstance(value, str) and '"' not in value
    return json.dumps(value, ensure_ascii=False) if has_simple_quotes else repr(value)


def _find_problem(name: str) -> str:
    if not _NAME.fullmatch(name):
        words = re.findall(r"[a-z0-9]+", name.lower())
        valid = "_".join(words).lstrip("0123456789_")
        hint = f"; did you mean {valid!r}?" if _NAME.fullmatch(valid) else ""
        return f"a package's name has lower-case letters, digits and single '_' between them{hint}"
    if len(name) > _LONGEST_NAME:
        return f"longer than {_LONGEST_NAME} characters; other names contain it"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "is a Python keyword"
    if name in ("template", "launcher"):
        return "is the name of one of flexpack's own packages; choose another"
    if name in _TAKEN:
        return "has a special meaning here; choose another"
    if name in sys.stdlib_module_names:
        return "is a module of Python's standard library, which it would hide; choose another"
    if _is_installed(name):
        return "is an installed package, which it would hide; choose another"
    return ""


def _is_installed(name: str) -> bool:
    """Return whether a module of that name exists outside the current folder."""
    found = importlib.util.find_spec(name)
    if found is None:
        return False
    places = [*(found.submodule_search_locations or ()), *([found.origin] if found.origin else [])]
    here = Path.cwd()
    return not all(Path(place).resolve() in (here / name, here / f"{name}.py") for place in places)


def _class_prefix(name: str) -> str:
    words = name.split("_")
    if len(words) > 1 and words[-1] == "model":
        words.pop()
    return "".join(word.capitalize() for word in words)


def _read_files(folder: Traversable, below: str = "") -> list[tuple[str, str]]:
    found = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _read_files(each, f"{below}{each.name}/")
        elif each.name.endswith(_SUFFIX):
            found.append((below + each.name.removesuffix(_SUFFIX), each.read_text("utf-8")))
    return found
