"""Real clients against the running emulator."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from launcher.emulator.daemon import EmulatorInfo


class Faults:
    """The faults of one running emulator, by its control API."""

    def __init__(self, dataflow_endpoint: str) -> None:
        self._url = f"{dataflow_endpoint}emulator/faults"

    def queue(self, method_id: str, fault: str, **fields: Any) -> None:
        body = json.dumps({"methodId": method_id, "fault": fault, **fields})
        self._call("POST", body.encode())

    def met(self) -> list[str]:
        """Return the faults that were met, in the order in which they were queued."""
        return [fault["fault"] for fault in self._call("GET")["faults"] if fault["met"]]

    def clear(self) -> None:
        self._call("DELETE")

    def _call(self, verb: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self._url, body, method=verb)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


@pytest.fixture
def faults(emulator: EmulatorInfo) -> Iterator[Faults]:
    faults = Faults(emulator.dataflow_endpoint)
    yield faults
    faults.clear()
