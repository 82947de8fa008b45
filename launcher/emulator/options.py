"""The options of a local Dataflow, each declared once.

The flags of ``flexpack emulator start``, the checks, and the command line of the detached process
are derived from them. Standard library only.
"""

from __future__ import annotations

import dataclasses
import os
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.emulator.instance import EmulatorOptionError

DEFAULT_PORT = 9100
WARM_VARIABLE = "FLEXPACK_EMULATOR_WARM"
"""Variable for tests: 0 means ``--no-warm``."""


@dataclass(frozen=True)
class Option:
    """An option's form on the command line.

    Attributes:
        least, most: bounds of a whole number; None for a path and a switch.
    """

    name: str
    default: Any
    help: str
    metavar: str | None
    least: int | None
    most: int | None

    @property
    def is_switch(self) -> bool:
        return self.default is False

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"


def _option(
    default: Any,
    help_text: str,
    *,
    metavar: str | None = None,
    least: int | None = None,
    most: int | None = None,
) -> Any:
    looks = {"help": help_text, "metavar": metavar, "least": least, "most": most}
    return dataclasses.field(default=default, metadata=looks)


@dataclass(frozen=True, kw_only=True)
class EmulatorOptions:
    """The options of a local Dataflow; port 0 picks a free one.

    The console listens on the third port after ``port`` if that is free. If ``max_jobs`` is None,
    one job runs per core, but at least four.
    """

    data_dir: Path = _option(
        Path(".flexpack"),
        "where its jobs and objects are kept (default: %(default)s)",
        metavar="DIR",
    )
    port: int = _option(
        DEFAULT_PORT,
        "of Dataflow; 0 picks free ones (default: %(default)s)",
        least=0,
        most=65532,  # The three ports after it are Cloud Storage's, Pub/Sub's and the console's.
    )
    storage_port: int | None = _option(
        None, "of Cloud Storage (default: the one after --port)", least=0, most=65535
    )
    images: Path | None = _option(
        None, "images.toml, which says what stands for each container image", metavar="FILE"
    )
    max_jobs: int | None = _option(
        None,
        "run this many jobs at once, while the others wait (default: one per core, at least 4)",
        metavar="N",
        least=1,
    )

    pubsub_port: int | None = _option(
        None, "of Pub/Sub (default: the second after --port)", least=0, most=65535
    )
    pubsub_heap_mb: int | None = _option(
        None,
        "memory for Pub/Sub's messages, which it keeps until their subscription is deleted "
        "(default: 2048)",
        metavar="MB",
        least=64,
    )
    keep_jobs: int | None = _option(
        None,
        "keep this many finished jobs with their files, and delete older ones (default: 1000)",
        metavar="N",
        least=0,
    )
    running_sec: int | None = _option(
        None,
        "keep each job RUNNING at least this long, for clients that expect to see it, such as "
        "Terraform (default: 0)",
        metavar="N",
        least=0,
    )
    no_console: bool = _option(False, "do not serve the console")
    no_warm: bool = _option(
        False,
        "start every process of a job from scratch: saves some 400 MB of memory but costs seconds",
    )

    @property
    def is_warm(self) -> bool:
        """Whether jobs' processes are forked from a waiting one that has imported everything."""
        return not self.no_warm and os.environ.get(WARM_VARIABLE) != "0"

    def check(self) -> None:
        """
        Raises:
            EmulatorOptionError: a number is out of its bounds, or two ports are the same.
        """
        for option in OPTIONS:
            value = getattr(self, option.name)
            if option.least is None or value is None:
                continue
            if option.most is not None and not option.least <= value <= option.most:
                raise EmulatorOptionError(
                    f"{option.flag} {value}: must be from 1 to {option.most}, or 0 for a free port"
                )
            if value < option.least:
                raise EmulatorOptionError(f"{option.flag} {value}: must be {option.least} or more")

        flags: dict[int, str] = {}
        for flag, port in self._ports().items():
            if port and (other := flags.setdefault(port, flag)) != flag:
                raise EmulatorOptionError(
                    f"{flag} {port}: {other} {port} uses this port already; give them different "
                    "ports, or only --port"
                )

    def _ports(self) -> dict[str, int]:
        """Return the ports that must be as given, by flag; 0 for a free one."""
        port, storage_port, pubsub_port = self.port, self.storage_port, self.pubsub_port
        return {
            "--port": port,
            "--storage-port": (port and port + 1) if storage_port is None else storage_port,
            "--pubsub-port": (port and port + 2) if pubsub_port is None else pubsub_port,
        }

    def to_arguments(self) -> list[str]:
        """Return the command line that ``parse_arguments`` reads; paths are absolute."""
        given = [(option, getattr(self, option.name)) for option in OPTIONS]
        return [
            option.flag
            if option.is_switch
            else f"{option.flag}={value.resolve() if isinstance(value, Path) else value}"
            for option, value in given
            if value is not None and value is not False
        ]


OPTIONS = tuple(
    Option(name=field.name, default=field.default, **field.metadata)
    for field in dataclasses.fields(EmulatorOptions)
)


def parse_arguments(arguments: Sequence[str] | None = None) -> EmulatorOptions:
    """Return the options of a command line, by default this process's."""
    parser = ArgumentParser()
    for option in OPTIONS:
        if option.is_switch:
            parser.add_argument(option.flag, action="store_true")
            continue
        kind = Path if option.least is None else int
        parser.add_argument(option.flag, type=kind, default=option.default)
    return EmulatorOptions(**vars(parser.parse_args(arguments)))
