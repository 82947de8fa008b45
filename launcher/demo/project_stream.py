"""``make run-stream`` of a project: its sample as messages, through the streaming template.

It runs on the local Dataflow to which the shell's variables point. It makes topics and
subscriptions, launches the template, publishes each row of the input as a message, shows the
replies and the dead letters, and drains the job once every message has an answer, or on Ctrl-C.
"""

from __future__ import annotations

import csv
import json
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from launcher import Dataflow, FlexpackError, InputError, wait_for_job
from launcher.commands.parser import CommandParser, KeyValues
from launcher.demo.steps import PROJECT, REGION, CommandFailedError, run_flexpack
from launcher.demo.topics import create_topic, find_subscription, receive
from launcher.package.declaration import read_declaration

_TIMEOUT_SEC = 300.0
_SHOWN = 5
_NUMBER = "number"
"""The attribute that says which message a reply answers; replies carry the attributes."""
_FLAGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
"""The words in CSV for a declared boolean."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stream and return its exit status: 1 if messages got no answer."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("job_name")
    parser.add_argument("--spec", required=True, help="gs:// path of the streaming template")
    parser.add_argument("--staging-location", required=True)
    parser.add_argument("--model-class", required=True, help="MODULE:CLASS, for its columns' types")
    parser.add_argument("--input", required=True, nargs="+", type=Path, help="local files")
    parser.add_argument("--parameters", action=KeyValues, default={})
    try:
        args = parser.parse_args(argv)
        declared = read_declaration(args.model_class, python=Path(sys.executable), root=Path.cwd())
        messages = list(read_messages(args.input, declared.types))
        return _run(args.job_name, args.spec, args.staging_location, messages, args.parameters)
    except CommandFailedError as error:
        return error.exit_status
    except FlexpackError as error:
        print(f"run-stream: {error}", file=sys.stderr)
        return error.exit_status


def _run(
    job_name: str,
    spec: str,
    staging: str,
    messages: Sequence[tuple[bytes, str]],
    parameters: dict[str, str],
) -> int:
    if not os.environ.get("PUBSUB_EMULATOR_HOST"):
        raise InputError(
            "the local Dataflow has no Pub/Sub: install gcloud's component pubsub-emulator and "
            "Java; then run 'flexpack emulator stop' and try again"
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


def read_messages(paths: Sequence[Path], types: Mapping[str, str]) -> Iterator[tuple[bytes, str]]:
    """Yield the payload and content type of a message for each row, or image, of local files.

    Args:
        types: types of the model's columns, by name. In CSV, other columns are texts, like keys; if
            the model declares no columns, a column is numeric if all its values are.

    Raises:
        InputError: a file does not exist, or its format has no rows that are messages.
    """
    for path in paths:
        if not path.is_file():
            raise InputError(f"INPUT={path}: no such file")
        kind = path.suffix.lower()
        if kind == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
                if any(None in row for row in rows):
                    raise InputError(f"INPUT={path}: a row has more fields than the header")
                for row in _read_rows(rows, types):
                    yield json.dumps(row, allow_nan=False).encode(), "application/json"
        elif kind in (".jsonl", ".ndjson"):
            for line in path.read_bytes().splitlines():
                if line.strip():
                    yield line, "application/json"
        elif kind in (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"):
            yield path.read_bytes(), "image/*"
        else:
            raise InputError(f"INPUT={path}: only CSV, JSON Lines and images become messages here")


def _read_rows(
    rows: Sequence[Mapping[str, str | None]], types: Mapping[str, str]
) -> Iterator[dict[str, object]]:
    """Yield rows as JSON values: null for an empty cell, text for a value of another type."""
    if not types and rows:
        types = {
            name: "number"
            for name in rows[0]
            if all(isinstance(_read_number(row[name]), int | float | None) for row in rows)
        }
    for row in rows:
        yield {name: _read_cell(text, types.get(name, "text")) for name, text in row.items()}


def _read_cell(text: str | None, type_: str) -> object:
    if not text:
        return None
    if type_ in ("number", "integer"):
        return _read_number(text)
    if type_ == "boolean":
        return _FLAGS.get(text.strip().lower(), text)
    return text


def _read_number(text: str | None) -> float | str | None:
    """Return a number, None for a missing value or NaN, or text that is not a number, unchanged."""
    if not text:
        return None
    if "_" in text:  # which Python permits between digits
        return text
    try:
        number: float = int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            return text
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else text


class _Answers:
    """The replies and dead letters by the number of their message; filled by two threads."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, str]] = {"reply": {}, "dead letter": {}}

    def taker(self, kind: str) -> Any:
        """Return a function that takes the messages of one topic, and shows the first of them."""

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
