"""Pub/Sub as a run needs it: an address, and the job's own subscriptions to delete."""

from __future__ import annotations

import http.client

HOST_VARIABLE = "PUBSUB_EMULATOR_HOST"
"""The variable by which the Google clients find the Pub/Sub emulator."""

REMEDY = (
    "it needs Java, and 'gcloud components install pubsub-emulator' or 'apt-get install "
    "google-cloud-cli-pubsub-emulator'"
)
MISSING = (
    "this is a streaming job, and the local Dataflow runs without Pub/Sub: when it was started, "
    f"Google's Pub/Sub emulator was not found or did not work; {REMEDY}. Then "
    "'flexpack emulator stop' and start it again."
)
_CALL_TIMEOUT_SEC = 5.0


def delete_subscription(host: str, subscription: str) -> str | None:
    """Delete a subscription, which need not exist.

    Returns:
        Why it could not be deleted, or None.
    """
    connection = http.client.HTTPConnection(host, timeout=_CALL_TIMEOUT_SEC)
    try:
        connection.request("DELETE", f"/v1/{subscription}")
        answer = connection.getresponse()
        if answer.status in (http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND):
            return None
        return f"status {answer.status}: {answer.read().decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
