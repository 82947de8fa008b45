"""uv, which resolves requirements to pins: ``uv pip compile`` for the workers' Python and platform.

The builds of torch that are not on PyPI come from an index that the user has configured: its
address is nowhere in this project. https://docs.astral.sh/uv/pip/compile/
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from datetime import UTC, datetime, timedelta
from pathlib import Path

from packaging.version import Version

from launcher.errors import InputError
from launcher.extras import require_extras
from launcher.image.flavours import TORCH_COMPANIONS, Flavour
from launcher.image.locks import PYTHON_VERSION, read_pins
from launcher.image.tools import ToolError, run_tool

ONLY_WHEELS = "--only-binary=:all:"

# The oldest glibc of a base. Packages of projects may need a newer one, as vLLM does: that of Red
# Hat 9, which is older than Debian 12's.
_PLATFORM = "x86_64-manylinux_2_28"
PROJECT_PLATFORM = "x86_64-manylinux_2_34"
_TIMEOUT_SEC = 300.0
_OLD = timedelta(days=2 * 365)


def build_lock_command(
    requirements: Path | str,
    *,
    constraints: Sequence[Path] = (),
    output: Path | None = None,
    only_names: bool = False,
    platform: str = _PLATFORM,
) -> list[str]:
    """Return the command that resolves a flavour's packages; run it in the project's root.

    Args:
        constraints: files of required versions.
        output: the file for the pins; existing pins are kept if possible. None prints them.
        only_names: omit the hashes.
        platform: the platform whose wheels are used.
    """
    return [
        *(_uv(), "pip", "compile", str(requirements), "--quiet"),
        *(f"--constraints={path}" for path in constraints),
        *(f"--python-version={PYTHON_VERSION}", f"--python-platform={platform}", ONLY_WHEELS),
        *("--no-header", "--no-annotate"),
        *([f"--output-file={output}"] if output else []),
        *([] if only_names else ["--generate-hashes"]),
    ]


class Resolver:
    """uv, for one set of requirements.

    Args:
        folder: an empty one, for its files.
        environ: variables of uv, see ``build_uv_environ``.
        place: uv looks for its configuration here and above.
        platform: the platform whose wheels are used.
    """

    def __init__(
        self, folder: Path, environ: Mapping[str, str], place: Path, platform: str = _PLATFORM
    ) -> None:
        self._folder, self._environ, self._place = folder, environ, place
        self._platform = platform

    def resolve(
        self,
        requirements: Path,
        constraints: str,
        *,
        known: str = "",
        flags: Sequence[str] = (),
        only_names: bool = False,
    ) -> str:
        """Return the pins of all requirements. Blocks, for seconds; reads the package indexes.

        Args:
            constraints: required versions.
        known: pins that are kept if they fit.
            flags: more flags of uv.
            only_names: omit the hashes.

        Raises:
            ToolError: there is no solution.
        """
        output = self._write("pins.txt", known)
        command = build_lock_command(
            requirements.absolute(),
            constraints=[self._write("constraints.txt", constraints)],
            output=output,
            only_names=only_names,
            platform=self._platform,
        )
        run_tool(
            [*command, *flags],
            cwd=self._place,
            environ=self._environ,
            timeout_sec=_TIMEOUT_SEC,
        )
        return output.read_text()

    def find_old(self, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
        """Yield a warning for each new package with a version that is years old.

        A resolver goes back that far if newer versions conflict with the existing pins.
        """
        day = datetime.now(UTC).date() - _OLD
        newest = self._find_newest([name for name in after if name not in before])
        for name, version in newest.items():
            if Version(after[name]) == Version(version):
                continue
            then = self._find_newest([name], f"--exclude-newer={day}").get(name)
            if then and Version(after[name]) <= Version(then):
                yield (
                    f"{name} {after[name]} is more than {_OLD.days // 365} years old, and the "
                    f"newest is {version}. Something holds it back: require {name}>={version} to "
                    "see what"
                )

    def _find_newest(self, names: Sequence[str], *flags: str) -> dict[str, str]:
        """Return the newest version of each package on its own; nothing if one has no version."""
        if not names:
            return {}
        command = build_lock_command("-", only_names=True, platform=self._platform)
        try:
            text = run_tool(
                [*command, "--no-deps", *flags],
                cwd=self._place,
                stdin="\n".join(names),
                environ=self._environ,
                timeout_sec=_TIMEOUT_SEC,
            )
        except ToolError:
            return {}  # There is no wheel of it for this Python, or the index has no dates.
        return read_pins(text)

    def _write(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text)
        return path


def split_pins(text: str) -> list[tuple[str, str]]:
    """Return every pin with its hashes, by canonical name."""
    found = re.findall(r"^[A-Za-z0-9](?:[^\n]*\\\n)*[^\n]*\n?", text, re.MULTILINE)
    return [(name, block) for block in found for name in read_pins(block)]


def format_constraints(pins: Mapping[str, str]) -> str:
    """Return the text of a file of constraints: exactly these versions."""
    return "".join(f"{name}=={version}\n" for name, version in pins.items())


def drop_other_builds(known: str, flavour: Flavour) -> str:
    """Return the pins without those of another flavour's builds, which uv would keep."""
    kept = [
        block
        for name, block in split_pins(known)
        if name not in TORCH_COMPANIONS or flavour.has_build(read_pins(block)[name])
    ]
    return "".join(kept)


def build_uv_environ(
    flavour: Flavour, environ: Mapping[str, str], *, wheels: Sequence[Path]
) -> dict[str, str]:
    """Return the variables of uv, which does not read pip's.

    Args:
        wheels: folders of packages of the user's own; they need not exist.
    """
    links = [environ.get("UV_FIND_LINKS", "")]
    links += [str(folder.absolute()) for folder in wheels if folder.is_dir()]
    variables = dict(environ)
    if not flavour.is_on_pypi:
        links += environ.get("PIP_FIND_LINKS", "").split()
        # PyTorch's index also has old versions of other packages, and uv would not look elsewhere.
        variables.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    variables["UV_FIND_LINKS"] = ",".join(filter(None, links))
    return variables


def read_pip_conf(path: Path) -> dict[str, str]:
    """Return a pip.conf's indexes as uv's variables, so that a lock and a build use the same.

    https://pip.pypa.io/en/stable/topics/configuration/ and
    https://docs.astral.sh/uv/reference/environment/

    Raises:
        InputError: it cannot be read.
    """
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text())
    except (OSError, ConfigParserError) as error:
        raise InputError(f"--pip-conf {str(path)!r}: cannot be read: {error}") from error
    values: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            values |= {name.replace("_", "-"): value for name, value in parser[section].items()}
    variables = {}
    if index := values.get("index-url"):
        variables["UV_DEFAULT_INDEX"] = index
    if more := values.get("extra-index-url", "").split():
        # pip uses the best version of all indexes; by default uv uses the first index that has the
        # package.
        variables |= {"UV_INDEX": " ".join(more), "UV_INDEX_STRATEGY": "unsafe-best-match"}
    if links := values.get("find-links", "").split():
        variables["UV_FIND_LINKS"] = ",".join(links)
    if hosts := values.get("trusted-host", "").split():
        variables["UV_INSECURE_HOST"] = " ".join(hosts)
    return variables


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    if not beside.exists() and shutil.which("uv") is None:
        require_extras("image lock", "dev")
    return str(beside) if beside.exists() else "uv"
