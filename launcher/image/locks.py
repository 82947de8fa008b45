"""The lock files: every package of an image, pinned and hashed; a file for each layer.

``docker/locks/<flavour>/`` holds, from the layer that changes least to the one that changes most:

- ``torch.txt``: torch with its CUDA libraries, or nothing;
- ``beam.txt``: Beam, and the template's other imports;
- ``project.txt``: the other requirements in ``docker/requirements.in``.

``launcher.image.resolve`` makes them. Each starts with a checksum of its own text, and the last
also with one of the requirements, so that a build can refuse files that no longer match.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from launcher.errors import InputError
from launcher.image.flavours import TORCH_COMPANIONS, Flavour

REQUIREMENTS = Path("docker") / "requirements.in"
LAYERS = ("torch", "beam", "project")

# The packages of torch's own layer.
TORCH_LAYER = re.compile(r"torch|triton|(nvidia|cuda)-.*")

# Workers have this Python, whatever machine makes the lock.
PYTHON_VERSION = "3.11"

_HEADER = "# Made by 'make lock' from docker/requirements.in: do not edit.\n"
_PASSWORD = re.compile(r"//[^/@\s]+@")
_CHECKSUM = "# sha256 of what follows: "
_REQUIREMENTS_CHECKSUM = "# sha256 of the requirements: "
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


def find_lock_paths(flavour: Flavour) -> dict[str, Path]:
    """Return the lock files of a flavour by layer, relative to the project's root."""
    return {layer: flavour.lock_folder / f"{layer}.txt" for layer in LAYERS}


def read_lock(root: Path, flavour: Flavour) -> str:
    """Return the text of a flavour's lock files, one after another.

    Raises:
        InputError: one does not exist.
    """
    try:
        return "".join((root / path).read_text() for path in find_lock_paths(flavour).values())
    except FileNotFoundError as error:
        raise InputError(
            f"--flavour {flavour.name}: {flavour.lock_folder} is not complete. "
            f"{explain_index(flavour)}"
        ) from error


def read_pins(lock: str) -> dict[str, str]:
    """Return the versions that a lock's text pins, by canonical name."""
    return {canonicalize_name(name): version for name, version in _PIN.findall(lock)}


def read_pin(lock: str, name: str) -> str:
    """Return the version of a package that a lock's text pins.

    Raises:
        InputError: it does not.
    """
    try:
        return read_pins(lock)[canonicalize_name(name)]
    except KeyError:
        raise InputError(
            f"the lock does not pin {name}: name it in {REQUIREMENTS} and run 'make lock'"
        ) from None


def read_requirement_lines(root: Path) -> list[str]:
    """Return the lines of docker/requirements.in, without comments and blank ones.

    Raises:
        InputError: the file does not exist.
    """
    try:
        lines = (root / REQUIREMENTS).read_text().splitlines()
    except FileNotFoundError as error:
        raise InputError(
            f"{root / REQUIREMENTS}: no such file; run this in the project's root"
        ) from error
    return strip_comments(lines)


def read_lines(path: Path) -> list[str]:
    """Return the lines of a user's text file; without a byte order mark of UTF-8.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error


def strip_comments(lines: Iterable[str]) -> list[str]:
    """Return the lines with content, without their comments."""
    stripped = (re.split(r"(?:^|\s)#", line)[0].strip() for line in lines)
    return [line for line in stripped if line]


def parse_requirements(lines: Iterable[str], path: Path = REQUIREMENTS) -> dict[str, Requirement]:
    """Return the requirements among the lines, by canonical name; options are skipped.

    Args:
        path: where the lines are from, for messages.

    Raises:
        InputError: a line is neither a requirement nor an option.
    """
    found: dict[str, Requirement] = {}
    for line in lines:
        if line.startswith("-"):
            continue
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            shown = _PASSWORD.sub("//***@", line)
            why = str(error).partition("\n")[0]
            raise InputError(f"{path}: {shown!r} is not a requirement: {why}") from error
        found[canonicalize_name(requirement.name)] = requirement
    return found


def select_requirements(lines: Iterable[str], flavour: Flavour) -> list[str]:
    """Return the lines of docker/requirements.in for this flavour.

    Raises:
        InputError: a line is neither a requirement nor an option.
    """
    if flavour.torch_version is not None:
        return list(lines)
    torch = {"torch", *TORCH_COMPANIONS}
    return [line for line in lines if not parse_requirements([line]).keys() & torch]


def format_lock(layer: str, body: str, requirement_lines: list[str]) -> str:
    """Return the text of a lock file: its checksums, then its options and pins."""
    header = _HEADER
    if layer == LAYERS[-1]:
        # Only in the last file, so the lower layers stay the same when a package is added.
        header += f"{_REQUIREMENTS_CHECKSUM}{_hash_requirements(requirement_lines)}\n"
    return f"{header}{_CHECKSUM}{_hash(body)}\n{body}"


def check_locks(root: Path, flavour: Flavour) -> None:
    """Refuse locks that were edited, or do not match docker/requirements.in.

    Raises:
        InputError: they are; the message names the packages.
    """
    lines = read_requirement_lines(root)
    lock = read_lock(root, flavour)
    requirements = parse_requirements(select_requirements(lines, flavour))
    differing = list(_find_differences(requirements, read_pins(lock)))
    if differing:
        raise InputError(
            f"{REQUIREMENTS}: {'; '.join(differing)}. The image would be built without it: run "
            "'make lock'"
        )
    for layer, path in find_lock_paths(flavour).items():
        text = (root / path).read_text()
        header, _, body = text.partition(_CHECKSUM)
        checksum, _, body = body.partition("\n")
        if checksum != _hash(body):
            raise InputError(
                f"{path}: was edited since 'make lock' wrote it, so its pins and hashes may not "
                f"match; change {REQUIREMENTS} and run 'make lock'"
            )
        if layer == LAYERS[-1] and _hash_requirements(lines) not in header:
            raise InputError(
                f"{REQUIREMENTS}: has changed since {flavour.lock_folder} was made; run 'make lock'"
            )


def explain_index(flavour: Flavour) -> str:
    """Return what to do for a lock of this flavour."""
    if flavour.is_on_pypi:
        return "Run 'make lock'"
    return (
        f"torch {flavour.torch_version} is not on PyPI: name the index that has it in a pip.conf "
        f"(extra-index-url; pytorch.org, 'Get Started', names it for {flavour.name}), and run "
        "'make lock PIP_CONF=pip.conf'; uv's own variables, UV_INDEX=URL or UV_FIND_LINKS=FOLDER, "
        "work too"
    )


def _find_differences(
    requirements: Mapping[str, Requirement], pins: Mapping[str, str]
) -> Iterator[str]:
    for name, requirement in requirements.items():
        if name not in pins:
            yield f"{requirement} is not locked"
        elif not requirement.specifier.contains(pins[name], prereleases=True):
            yield f"{requirement} is locked to {pins[name]}"


def _hash_requirements(lines: list[str]) -> str:
    return _hash("\n".join(sorted(lines)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
