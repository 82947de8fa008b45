"""Making the lock files: ``uv pip compile`` on ``docker/requirements.in``, split into layers.

The builds of torch that are not on PyPI come from an index that the user has configured: its
address is nowhere in this project. https://docs.astral.sh/uv/pip/compile/
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from launcher.errors import ImageError, InputError
from launcher.image.flavours import Flavour, default_flavour, find_flavour
from launcher.image.locks import (
    LAYERS,
    PYTHON_VERSION,
    REQUIREMENTS,
    explain_index,
    find_lock_paths,
    format_lock,
    parse_requirements,
    read_lock,
    read_pins,
    read_requirement_lines,
)
from launcher.image.tools import ToolError, run_tool

# Packages of the user's own, which the build sees too.
WHEELS = Path("docker") / "wheels"

# What template/ imports; with all that these need, it is the part of an image that users share.
TEMPLATE_PACKAGES = ("apache-beam", "torch", "pandas", "numpy", "pyarrow", "pillow", "orjson")

# Built with torch: an index has one build of them for each of its flavours.
TORCH_COMPANIONS = ("torchvision", "torchaudio", "torchcodec", "fbgemm-gpu", "xformers")

_TORCH_LAYER = re.compile(r"torch|triton|(nvidia|cuda)-.*")
_PLATFORM = "x86_64-manylinux_2_28"
_TIMEOUT_SEC = 300.0
_OLD = timedelta(days=2 * 365)
_ONLY_WHEELS = "--only-binary=:all:"


@dataclass(frozen=True)
class LockResult:
    """What became of a flavour's lock.

    Attributes:
        before: the pins that were there, by name; empty for a new lock.
        after: the pins that are there now.
        warnings: what the user may not have meant.
        problem: why the lock was left as it is.
    """

    flavour: Flavour
    before: Mapping[str, str]
    after: Mapping[str, str]
    changed: bool = False
    warnings: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def changes(self) -> list[str]:
        """One line for each package that came, went, or has another version."""
        lines = []
        for name in sorted(self.before.keys() | self.after.keys()):
            old, new = self.before.get(name), self.after.get(name)
            if old is None:
                lines.append(f"+ {name} {new}")
            elif new is None:
                lines.append(f"- {name} {old}")
            elif old != new:
                lines.append(f"  {name} {old} -> {new}")
        return lines


def build_lock_command(
    requirements: Path | str,
    *,
    constraints: Sequence[Path] = (),
    output: Path | None = None,
    only_names: bool = False,
) -> list[str]:
    """Return the command that resolves a flavour's packages, to be run in the project's root.

    Args:
        constraints: files of versions that are asked for.
        output: where the pins go; those that are there already are kept where possible. None
            prints them.
        only_names: do without the hashes.
    """
    return [
        *(_uv(), "pip", "compile", str(requirements), "--quiet"),
        *(f"--constraints={path}" for path in constraints),
        *(f"--python-version={PYTHON_VERSION}", f"--python-platform={_PLATFORM}", _ONLY_WHEELS),
        *("--no-header", "--no-annotate"),
        *([f"--output-file={output}"] if output else []),
        *([] if only_names else ["--generate-hashes"]),
    ]


def write_locks(
    root: Path, flavours: Sequence[Flavour], *, environ: Mapping[str, str] = os.environ
) -> list[LockResult]:
    """Make new locks. Blocks, for seconds each; reads the package indexes.

    A pin stays where it is as long as the requirements allow; delete the files to get the newest.
    A flavour without a lock starts from the pins of the default one.

    Raises:
        InputError: the requirements are not there.
        ImageError: they cannot be resolved.
    """
    lines = read_requirement_lines(root)
    parse_requirements(lines)
    return [_write_lock(root, flavour, lines, environ) for flavour in flavours]


def _write_lock(
    root: Path, flavour: Flavour, lines: list[str], environ: Mapping[str, str]
) -> LockResult:
    before = _read_known(root, flavour)
    with tempfile.TemporaryDirectory() as directory:
        resolver = _Resolver(root, flavour, lines, environ, Path(directory))
        try:
            pins = resolver.resolve(before or _read_known(root, find_flavour(default_flavour())))
            shared = resolver.find_shared(pins)
        except ToolError as error:
            if flavour.is_on_pypi or f"torch=={flavour.torch_version}" not in error.output:
                raise ImageError(f"{flavour.lock_folder}: {error}") from error
            problem = explain_index(flavour)
            return LockResult(flavour, read_pins(before), {}, problem=problem)
        after = read_pins(pins)
        _check_builds(flavour, after)
        changed = False
        for layer, body in _split(pins, shared, _find_sources(lines)).items():
            path = root / find_lock_paths(flavour)[layer]
            text = format_lock(layer, body, lines)
            if not path.exists() or path.read_text() != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
                changed = True
        old = read_pins(before)
        warnings = (*_find_downgrades(flavour, old, after), *resolver.find_old(old, after))
    return LockResult(flavour, old, after, changed=changed, warnings=warnings)


class _Resolver:
    """uv, asked about one flavour with the project's requirements."""

    def __init__(
        self,
        root: Path,
        flavour: Flavour,
        lines: list[str],
        environ: Mapping[str, str],
        folder: Path,
    ) -> None:
        self._root, self._lines, self._folder = root, lines, folder
        self._flavour = flavour
        self._environ = _uv_environ(root, flavour, environ)

    def resolve(self, known: str) -> str:
        """Return the pins of all requirements with their hashes, ``known`` ones where they fit."""
        output = self._write("all.txt", _drop_other_builds(known, self._flavour))
        torch = self._write("torch.txt", f"torch=={self._flavour.torch_version}\n")
        self._run(self._root / REQUIREMENTS, [torch], output)
        return output.read_text()

    def find_shared(self, pins: str) -> frozenset[str]:
        """Return the names of the template's own packages and of all that these need."""
        requirements = parse_requirements(self._lines)
        named = [str(requirements[name]) for name in TEMPLATE_PACKAGES if name in requirements]
        options = [line for line in self._lines if line.startswith("-")]
        own = self._write("own.in", "\n".join([*options, *named]) + "\n")
        known = self._write("known.txt", _format_constraints(pins))
        output = self._folder / "own.txt"
        self._run(own, [known], output, only_names=True)
        return frozenset(read_pins(output.read_text()))

    def find_old(self, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
        """Yield a warning for each package that came with a version that is years old.

        A resolver goes back that far where newer versions do not fit what is pinned already.
        """
        if not before:
            return
        day = datetime.now(UTC).date() - _OLD
        newest = self._find_newest([name for name in after if name not in before])
        for name, version in newest.items():
            if Version(after[name]) == Version(version):
                continue
            then = self._find_newest([name], f"--exclude-newer={day}").get(name)
            if then and Version(after[name]) <= Version(then):
                yield (
                    f"{self._flavour.lock_folder}: {name} {after[name]} is more than "
                    f"{_OLD.days // 365} years old, and the newest is {version}. Something in "
                    f"{REQUIREMENTS} holds it back: ask for {name}>={version} to see what"
                )

    def _find_newest(self, names: Sequence[str], *flags: str) -> dict[str, str]:
        """Return the newest versions of packages by themselves; of none where one has none."""
        if not names:
            return {}
        command = [*build_lock_command("-", only_names=True), "--no-deps", *flags]
        try:
            text = run_tool(
                command,
                cwd=self._folder,
                stdin="\n".join(names),
                environ=self._environ,
                timeout_sec=_TIMEOUT_SEC,
            )
        except ToolError:
            return {}  # No wheel of it for this Python, or an index without dates.
        return read_pins(text)

    def _run(
        self, requirements: Path, constraints: list[Path], output: Path, *, only_names: bool = False
    ) -> None:
        command = build_lock_command(
            requirements,
            constraints=constraints,
            output=output,
            only_names=only_names,
        )
        run_tool(command, cwd=self._root, environ=self._environ, timeout_sec=_TIMEOUT_SEC)

    def _write(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text)
        return path


def _read_known(root: Path, flavour: Flavour) -> str:
    try:
        return read_lock(root, flavour)
    except InputError:
        return ""


def _format_constraints(pins: str) -> str:
    return "".join(f"{name}=={version}\n" for name, version in read_pins(pins).items())


def _drop_other_builds(known: str, flavour: Flavour) -> str:
    """Return the pins without those of another flavour's builds, which uv would keep."""
    kept = [
        block
        for name, block in _blocks(known)
        if name not in TORCH_COMPANIONS or _is_build_of(flavour, read_pins(block)[name])
    ]
    return "".join(kept)


def _is_build_of(flavour: Flavour, version: str) -> bool:
    return version.partition("+")[2] == flavour.torch_version.partition("+")[2]


def _check_builds(flavour: Flavour, pins: Mapping[str, str]) -> None:
    """Refuse packages that were built for another flavour of torch.

    Raises:
        ImageError: there is one.
    """
    if (found := pins["torch"]) != flavour.torch_version:
        # A configured index or folder has a build of its own, which pip and uv prefer.
        raise ImageError(
            f"{flavour.lock_folder}: resolved to torch {found} instead of "
            f"{flavour.torch_version}; make this lock without UV_FIND_LINKS and UV_INDEX"
        )
    for name in TORCH_COMPANIONS:
        if name in pins and not _is_build_of(flavour, pins[name]):
            raise ImageError(
                f"{flavour.lock_folder}: resolved to {name} {pins[name]}, which is not built for "
                f"torch {flavour.torch_version} and would not import. Give uv an index or a "
                "folder that has the build, by UV_INDEX=URL or UV_FIND_LINKS=FOLDER "
                f"(pytorch.org, 'Get Started', names it for {flavour.name}), or leave this "
                "flavour out: 'flexpack image lock FLAVOUR'"
            )


def _find_downgrades(
    flavour: Flavour, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[str]:
    for name, old in before.items():
        new = after.get(name)
        if new is not None and Version(new) < Version(old):
            yield (
                f"{flavour.lock_folder}: {name} went back from {old} to {new}: a package in "
                f"{REQUIREMENTS} needs the older one. Test what used the newer"
            )


def _find_sources(lines: list[str]) -> frozenset[str]:
    """Return the names of the packages that are built from source: ``--no-binary=NAME``."""
    found = (re.fullmatch(r"--no-binary[= ]\s*(\S+)", line) for line in lines)
    return frozenset(
        canonicalize_name(name) for match in found if match for name in match[1].split(",")
    )


def _split(pins: str, shared: frozenset[str], sources: frozenset[str]) -> dict[str, str]:
    """Return the body of each layer's lock file."""
    blocks: dict[str, list[str]] = {layer: [] for layer in LAYERS}
    options: dict[str, list[str]] = {layer: [_ONLY_WHEELS + "\n"] for layer in LAYERS}
    for name, block in _blocks(pins):
        if name not in shared:
            layer = "project"
        else:
            layer = "torch" if _TORCH_LAYER.fullmatch(name) else "beam"
        blocks[layer].append(block)
        if name in sources:
            options[layer].append(f"--no-binary={name}\n")
    return {layer: "".join(options[layer] + blocks[layer]) for layer in LAYERS}


def _blocks(pins: str) -> list[tuple[str, str]]:
    """Return every pin with its hashes, by canonical name."""
    found = re.findall(r"^[A-Za-z0-9](?:[^\n]*\\\n)*[^\n]*\n?", pins, re.MULTILINE)
    return [(next(iter(read_pins(block))), block) for block in found]


def _uv_environ(root: Path, flavour: Flavour, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of uv, which does not read pip's."""
    links = [environ.get("UV_FIND_LINKS", "")]
    if (root / WHEELS).is_dir():
        links.append(str((root / WHEELS).absolute()))
    variables = dict(environ)
    if not flavour.is_on_pypi:
        links += environ.get("PIP_FIND_LINKS", "").split()
        # PyTorch's index has other packages too, in old versions; uv would look nowhere else.
        variables.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    variables["UV_FIND_LINKS"] = ",".join(filter(None, links))
    return variables


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else "uv"
