"""``make run-stream`` of a project: its sample as messages, through the streaming template.

Runs on the local Dataflow to which the shell's variables point. It makes topics and subscriptions,
launches the template, publishes each row of the input as a message, shows the replies and the dead
letters, and drains the job when every message has one, or on Ctrl-C.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from launcher import Dataflow, FlexpackError, InputError, wait_for_job
from launcher.commands.parser import CommandParser, KeyValues
from launcher.demo.steps import PROJECT, REGION, CommandFailedError, run_flexpack
from launcher.demo.topics import create_topic, find_subscription, receive

_TIMEOUT_SEC = 300.0
_SHOWN = 5
_NUMBER = "number"
"""The attribute that says which message a reply answers; replies carry the attributes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stream and return its exit status: 1 if messages got no answer."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("job_name")
    parser.add_argument("--spec", required=True, help="gs:// path of the streaming template")
    parser.add_argument("--staging-location", required=True)
    parser.add_argument("--input", required=True, nargs="+", type=Path, help="local files")
    parser.add_argument("--parameters", action=KeyValues, default={})
    try:
        args = parser.parse_args(argv)
        return _run(args.job_name, args.spec, args.staging_location, args.input, args.parameters)
    except CommandFailedError as error:
        return error.exit_status
    except FlexpackError as error:
        print(f"run-stream: {error}", file=sys.stderr)
        return error.exit_status


def _run(
    job_name: str, spec: str, staging: str, inputs: Sequence[Path], parameters: dict[str, str]
) -> int:
    messages = list(read_messages(inputs))
    if not os.environ.get("PUBSUB_EMULATOR_HOST"):
        raise InputError(
            "the local Dataflow has no Pub/Sub: it needs gcloud's component pubsub-emulator, and "
            "Java; then 'flexpack emulator stop' and again"
        )
    topics = {name: create_topic(f"{job_name}-{name}") for name in ("in", "out", "dead")}
    given = {
        "input_subscription": find_subscription(topics["in"]),
        "output_topic": topics["out"],
        "dead_letter_topic": topics["dead"],
        **parameters,
    }
    place = (f"--project={PROJECT}", f"--region={REGION}")
    run_flexpack(
        *("run", job_name, f"--template-file-gcs-location={spec}", *place),
        f"--staging-location={staging}",
        *(f"--parameters={name}={value}" for name, value in given.items()),
    )
    dataflow = Dataflow(PROJECT, REGION)
    (job,) = dataflow.list(name=job_name)
    answers = _Answers()
    for name, kind in (("out", "reply"), ("dead", "dead letter")):
        take = answers.taker(kind)
        threading.Thread(target=receive, args=(topics[name], take), daemon=True).start()
    try:
        _publish(topics["in"], messages)
        print(f"\npublished {len(messages)} messages to {topics['in']}", flush=True)
        _wait(dataflow, job.id, answers, len(messages))
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
    run_flexpack("jobs", "drain", job.id, *place)
    wait_for_job(dataflow, job.id, timeout_sec=_TIMEOUT_SEC)
    replies, letters = (len(answers.found[kind]) for kind in ("reply", "dead letter"))
    lost = len(messages) - replies - letters
    print(
        f"\n{len(messages)} messages: {replies} predicted, {letters} dead-lettered, "
        f"{lost} without an answer"
    )
    return 1 if lost else 0


def read_messages(paths: Sequence[Path]) -> Iterator[tuple[bytes, str]]:
    """Yield payload and content type of a message for each row, or image, of local files.

    Raises:
        InputError: a file does not exist, or its format has no rows that are messages.
    """
    for path in paths:
        if not path.is_file():
            raise InputError(f"INPUT={path}: no such file")
        kind = path.suffix.lower()
        if kind == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as file:
                for row in csv.DictReader(file):
                    cells = {name: _parse_cell(text) for name, text in row.items()}
                    yield json.dumps(cells).encode(), "application/json"
        elif kind in (".jsonl", ".ndjson"):
            for line in path.read_bytes().splitlines():
                if line.strip():
                    yield line, "application/json"
        elif kind in (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"):
            yield path.read_bytes(), "image/*"
        else:
            raise InputError(f"INPUT={path}: only CSV, JSON Lines and images become messages here")


def _parse_cell(text: str | None) -> object:
    """Return a cell as JSON holds it: a number, a text, or null for an empty one."""
    try:
        number = json.loads(text or "null")
    except ValueError:
        return text
    return number if isinstance(number, int | float | None) else text


class _Answers:
    """The replies and dead letters by the number of their message; filled by two threads."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, str]] = {"reply": {}, "dead letter": {}}

    def taker(self, kind: str) -> Any:
        """Return what takes the messages of one topic, and shows the first of them."""

        def take(message: Any, _: float) -> None:
            found = self.found[kind]
            found[message.attributes[_NUMBER]] = text = message.data.decode()
            if len(found) <= _SHOWN:
                print(f"{kind:11}  {text}", flush=True)
            elif len(found) == _SHOWN + 1:
                print(f"{kind:11}  ...", flush=True)

        return take

    def __len__(self) -> int:
        return sum(map(len, self.found.values()))


def _publish(topic: str, messages: Sequence[tuple[bytes, str]]) -> None:
    from google.cloud import pubsub_v1

    client = pubsub_v1.PublisherClient()
    futures = [
        client.publish(topic, payload, content_type=content_type, **{_NUMBER: str(number)})
        for number, (payload, content_type) in enumerate(messages)
    ]
    for future in futures:
        future.result(timeout=_TIMEOUT_SEC)


def _wait(dataflow: Dataflow, job_id: str, answers: _Answers, count: int) -> None:
    """Wait until every message has an answer."""
    deadline = time.monotonic() + _TIMEOUT_SEC
    while len(answers) < count and time.monotonic() < deadline:
        if dataflow.get(job_id).current_state.is_terminal:
            raise FlexpackError(f"the job has ended: flexpack jobs messages {job_id}")
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
