"""GPUs of Dataflow workers: how a user names them and how the service wants to hear it.

Syntax of the service option ``worker_accelerator``:
https://cloud.google.com/dataflow/docs/gpu/use-gpus#service-option
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from launcher.errors import InputError

WORKER_ACCELERATOR = "worker_accelerator"

_SYNTAX = re.compile(
    r"(?P<type>[a-z][a-z0-9-]*)(:(?P<count>[1-9][0-9]*)(:(?P<driver>[a-z0-9][a-z0-9.]*))?)?"
)


@dataclass(frozen=True)
class Accelerator:
    """The GPUs of one worker.

    Attributes:
        type: Compute Engine's name, for example ``nvidia-l4``.
        count: GPUs per worker.
        driver: version that Dataflow installs, for example ``latest``; None takes its default.
    """

    type: str
    count: int = 1
    driver: str | None = None

    @classmethod
    def parse(cls, text: str) -> Accelerator:
        """Read ``TYPE[:COUNT[:DRIVER]]``, for example ``nvidia-l4:1:latest``.

        Raises:
            InputError: the text has another form.
        """
        match = _SYNTAX.fullmatch(text)
        if not match:
            raise InputError(
                f"--accelerator {text!r}: expected TYPE[:COUNT[:DRIVER]] with a COUNT of at least "
                "1, for example nvidia-l4:1 or nvidia-l4:1:latest"
            )
        return cls(match["type"], int(match["count"] or 1), match["driver"])


def encode_worker_accelerator(accelerator: Accelerator) -> str:
    """Return the service option that attaches the GPUs and installs their driver."""
    install = "install-nvidia-driver"
    if accelerator.driver:
        install += f":{accelerator.driver}"
    return f"{WORKER_ACCELERATOR}=type:{accelerator.type};count:{accelerator.count};{install}"
