"""Prints, as JSON, the size of a pipeline proto and its largest steps.

``graph.py PIPELINE_PB``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_MOST_STEPS = 5


def main(path: str) -> dict[str, Any]:
    """Return the bytes of the whole and of the largest steps' functions and data."""
    from apache_beam.portability.api import beam_runner_api_pb2

    content = Path(path).read_bytes()
    pipeline = beam_runner_api_pb2.Pipeline.FromString(content)
    steps = {
        transform.unique_name: len(transform.spec.payload)
        for transform in pipeline.components.transforms.values()
        if transform.spec.payload
    }
    largest = sorted(steps.items(), key=lambda step: step[1], reverse=True)[:_MOST_STEPS]
    return {"bytes": len(content), "steps": dict(largest)}


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(main(sys.argv[1]))}\n")
