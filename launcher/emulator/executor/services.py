"""Which steps of a pipeline talk to a service that is not here, found in its proto.

Beam's BigQuery steps call Google's own servers, wherever the other services are; without
credentials they are refused there, and try on for minutes.
"""

from __future__ import annotations

from collections.abc import Iterator

from apache_beam.portability.api import beam_runner_api_pb2

from launcher.emulator.runtime.errors import WorkflowFailedError

# Beam's Python SDK annotates a composite with its class.
_TYPE = "python_type"
_BIGQUERY = b"apache_beam.io.gcp.bigquery"


def check_services(pipeline: beam_runner_api_pb2.Pipeline) -> None:
    """Check that a pipeline needs no BigQuery.

    Raises:
        WorkflowFailedError: it does; the message names every step.
    """
    found = [
        name
        for root in pipeline.root_transform_ids
        for name in _find_bigquery(pipeline.components, root)
    ]
    if found:
        raise WorkflowFailedError(
            "the local Dataflow has no BigQuery, though Dataflow can "
            f"execute this pipeline: the {'steps' if len(found) > 1 else 'step'} "
            f"{', '.join(map(repr, found))} would call Google's, without credentials. To try the "
            "rest of the pipeline here, let a parameter put files in place of the table."
        )


def _find_bigquery(components: beam_runner_api_pb2.Components, transform_id: str) -> Iterator[str]:
    transform = components.transforms[transform_id]
    if transform.annotations.get(_TYPE, b"").startswith(_BIGQUERY):
        yield transform.unique_name
    else:
        for part in transform.subtransforms:
            yield from _find_bigquery(components, part)
