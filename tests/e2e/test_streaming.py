"""The streaming template on the local Dataflow, with Google's Pub/Sub emulator at both ends."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api_core.exceptions import GoogleAPICallError
from PIL import Image

from launcher.emulator import daemon
from launcher.emulator.pubsub import find_program
from tests.processes import find_descendants, find_listeners, is_loopback
from tests.streaming_job import ENDED, Job, find_processes, kill, wait_until
from tests.support import PROJECT, run

pytestmark = pytest.mark.skipif(
    find_program() is None, reason="Google's Pub/Sub emulator is not installed"
)

_SCORE_TOLERANCE = 1e-6
_REGION = "us-central1"


@pytest.fixture(scope="session", autouse=True)
def _pubsub_host(emulator_env) -> Iterator[None]:
    """The Pub/Sub client knows this variable only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUBSUB_EMULATOR_HOST", emulator_env["PUBSUB_EMULATOR_HOST"])
        yield


@pytest.fixture(scope="module")
def spec(lake, emulator_env):
    path = f"{lake.root}/templates/streaming.json"
    run("flexpack", "build", path, "--template=streaming", "--image=local/flexpack",
        env=emulator_env)  # fmt: skip
    return path


@pytest.fixture
def topics(request):
    """Topics of one test: images in, predictions out, dead letters."""
    from tests.pubsub_client import Topic

    prefix = re.sub(r"\W", "-", request.node.name)
    return [Topic(f"{prefix}-{name}") for name in ("images", "predictions", "dead-letters")]


@pytest.fixture
def launch(lake, emulator_env, spec, staged_weights, topics, request):
    """Launch the template on the test's topics; the job is cancelled after the test."""
    started = []

    def launch(**parameters):
        images, predictions, dead_letters = topics
        given = {
            "input_subscription": images.subscription,
            "output_topic": predictions.path,
            "dead_letter_topic": dead_letters.path,
            "model_path": staged_weights,
        } | parameters
        name = re.sub(r"[^a-z]", "-", request.node.name)
        printed = run(
            *("flexpack", "run", name, "--template-file-gcs-location", spec),
            *("--staging-location", f"{lake.root}/staging", "--no-check", "--async"),
            *(f"--parameters={name}={value}" for name, value in given.items() if value),
            env=emulator_env,
        ).stdout
        started.append(Job(re.search(r"job id +(\S+)", printed)[1], emulator_env))
        return started[-1]

    yield launch
    for job in started:
        if job.state not in ENDED:
            job("cancel")


@pytest.fixture(scope="session")
def pictures(image_set):
    from template.demo.report import read_idx

    return read_idx(str(image_set.images))


def encode(picture, number):
    """Return payload and attributes of an image, in one of the forms that a message can have."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    forms = (
        (picture.tobytes(), {"content_type": "application/octet-stream"}),
        (json.dumps({"image": picture.tolist()}).encode(), {"content_type": "application/json"}),
        (json.dumps({"image": base64.b64encode(picture.tobytes()).decode()}).encode(), {}),
        (stream.getvalue(), {"content_type": "image/png"}),
    )
    payload, attributes = forms[number % len(forms)]
    return payload, attributes | {"number": str(number)}


def count_numbers(received):
    return len({each.attributes["number"] for each in received})


def check_predictions(received, expected, numbers):
    """Check that there is a prediction of every number, and that each is torch's."""
    found = {int(each.attributes["number"]) for each in received}
    assert found == set(numbers)
    for each in received:
        class_index, score = expected[int(each.attributes["number"]) % len(expected)]
        assert each.json["class_index"] == class_index
        assert each.json["score"] == pytest.approx(score, abs=_SCORE_TOLERANCE)


@pytest.mark.gcloud
@pytest.mark.wide
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_ten_thousand_messages(
    lake, emulator_env, spec, staged_weights, topics, pictures, expected
):
    """The real gcloud launches and drains; every message is predicted or a dead letter."""
    images, predictions, dead_letters = topics

    def gcloud(*arguments):
        return run("gcloud", *arguments, env=emulator_env).stdout

    launched = json.loads(
        gcloud(
            *("dataflow", "flex-template", "run", "by-gcloud-streaming", f"--region={_REGION}"),
            *(f"--template-file-gcs-location={spec}", f"--staging-location={lake.root}/staging"),
            f"--parameters=input_subscription={images.subscription}",
            f"--parameters=output_topic={predictions.path}",
            f"--parameters=dead_letter_topic={dead_letters.path}",
            f"--parameters=model_path={staged_weights}",
            "--parameters=sdk_container_image=local/flexpack",
            "--format=json",
        )
    )
    job = Job(launched["job"]["id"], emulator_env)
    count = 10_000
    poison = {5_000: b"\x89PNG is not all", 7_001: b'{"image": [1, 2]}', 9_999: b'{"image": 3}'}
    images.publish(
        (poison[number], {"number": f"poison {number}"})
        if number in poison
        else encode(pictures[number % len(pictures)], number)
        for number in range(count)
    )

    predictions.receive_until(lambda received: count_numbers(received) == count - 3)
    gcloud("dataflow", "jobs", "drain", job.id, f"--region={_REGION}")
    job.wait_for("JOB_STATE_DRAINED")

    check_predictions(predictions.received, expected, set(range(count)) - set(poison))
    letters = dead_letters.receive_until(lambda received: len(received) >= len(poison))
    by_number = {letter.attributes["number"]: letter.json for letter in letters}
    assert set(by_number) == {f"poison {number}" for number in poison}
    for number, payload in poison.items():
        assert base64.b64decode(by_number[f"poison {number}"]["payload"]) == payload
    assert "not an image" in by_number["poison 5000"]["error"]
    assert "image of shape (2,)" in by_number["poison 7001"]["error"]
    assert "a JSON int, not a list" in by_number["poison 9999"]["error"]
    assert job.metrics()["dead_letters"] >= len(poison)
    listed = gcloud("dataflow", "jobs", "list", f"--region={_REGION}")
    assert re.search(rf"{job.id} +by-gcloud-streaming +Streaming .*Drained", listed)


def test_drain_predicts_what_is_buffered(launch, topics, pictures, expected):
    images, predictions, _ = topics
    job = launch(max_batch_duration_ms=60_000)
    images.publish(encode(pictures[number], number) for number in range(7))
    wait_until(lambda: job.metrics()["rows_read"] == 7, job.messages)
    assert job.metrics()["predictions"] == 0

    job.drain()

    received = predictions.receive_until(lambda received: len(received) >= 7)
    check_predictions(received, expected, range(7))
    assert {each.json["key"] for each in received} == {each.json["message_id"] for each in received}
    assert job.metrics() == {"rows_read": 7, "predictions": 7, "dead_letters": 0}
    assert "not acknowledged" not in job.messages()


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_every_socket_of_a_running_stream_is_on_loopback(launch, topics, emulator):
    job = launch()
    wait_until(lambda: "Executing operation" in job.messages(), job.messages)
    (executor,) = find_processes("launcher.emulator.executor", job.id)
    listeners = find_listeners({emulator.pid, *find_descendants(emulator.pid)})
    assert len([pid for pid in listeners.values() if pid == executor]) >= 4
    assert emulator.pubsub_port in {int(address.rpartition(":")[2]) for address in listeners}
    assert [address for address in listeners if not is_loopback(address)] == []


def test_messages_one_by_one(launch, lake, topics, pictures):
    """They are still predicted in batches; without a topic, dead letters go to files."""
    images, predictions, _ = topics
    job = launch(
        max_batch_duration_ms=1_000,
        batch_size=8,
        dead_letter_topic=None,
        dead_letter_output=f"{lake.root}/letters/images",
    )
    images.publish([(b'{"image": "?"}', {"number": "0"}), encode(pictures[0], 0)])
    predictions.receive_until(lambda received: received)
    for number in range(1, 17):
        images.publish([encode(pictures[number], number)])
    predictions.receive_until(lambda received: len(received) == 17)
    job.drain()

    text = job("metrics").stdout
    count, most = re.search(r"^batch_size .*count=(\d+) .*max=(\d+)", text, re.MULTILINE).groups()
    assert int(most) <= 8
    assert int(count) < 17, "fewer batches than messages"
    (letter,) = lake.read_rows("letters/images-")
    assert letter["error"].startswith("UndecodableError: field image: not base64")
    assert base64.b64decode(letter["payload"]) == b'{"image": "?"}'
    assert letter["source"] == f"message {letter['message_id']}"


@pytest.mark.slow
def test_the_model_is_replaced_while_the_job_runs(launch, lake, topics, pictures, staged_weights):
    """One file is overwritten: a model that fits takes over, one that does not is refused."""
    import torch

    from template.models.fashion_mnist_network import FashionMnistNetwork

    images, predictions, _ = topics
    pattern = f"{lake.root}/models/update-*.pth"
    job = launch(model_update_pattern=pattern, key_column="number", message_format="pixels")

    def predict():
        before = len(predictions.received)
        images.publish([(pictures[0].tobytes(), {"number": str(before)})])
        received = predictions.receive_until(lambda received: len(received) > before)
        assert received[-1].json["key"] == str(before)
        return received[-1].json

    def overwrite(state):
        stream = io.BytesIO()
        torch.save(state, stream)
        return lake.upload("models/update-1.pth", stream.getvalue())

    assert predict()["model_id"] == staged_weights
    known = {staged_weights}
    for seed in (3, 4):
        torch.manual_seed(seed)
        network = FashionMnistNetwork().eval()
        path = overwrite(network.state_dict())
        wait_until(lambda: predict()["model_id"] not in known, job.messages)
        answer = predict()
        assert answer["model_id"].startswith(f"{path}#20"), "with the time of its writing"
        pixels = torch.tensor(pictures[:1], dtype=torch.float32) / 255
        with torch.inference_mode():
            score, class_index = network(pixels).softmax(1).max(1)
        assert answer["class_index"] == class_index.item()
        assert answer["score"] == pytest.approx(score.item(), abs=_SCORE_TOLERANCE)
        known.add(answer["model_id"])

    overwrite({"weight": torch.zeros(2)})
    refused = re.compile(
        rf"model {path}#\S+ is refused, {re.escape(answer['model_id'])} keeps serving"
    )
    wait_until(lambda: predict() and refused.search(job.messages()), job.messages)
    assert predict()["model_id"] == answer["model_id"]
    job.drain()
    assert re.search(r"^models_refused +flexpack .* 1$", job("metrics").stdout, re.MULTILINE)


def test_a_subscription_that_is_not_there(launch, topics):
    job = launch(input_subscription=f"projects/{PROJECT}/subscriptions/nowhere")
    job.wait_for("JOB_STATE_FAILED")
    assert "gcloud pubsub subscriptions create" in job.messages()


@pytest.mark.wide
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
def test_nothing_is_lost_when_a_worker_and_the_executor_are_killed(
    launch, topics, pictures, expected
):
    images, predictions, _ = topics
    job = launch(max_batch_duration_ms=500)
    count, published = 3_000, 0
    deeds = {500: "worker_boot.py", 1_200: "launcher.emulator.executor"}
    while published < count or deeds:
        numbers = range(published, min(published + 100, count))
        images.publish(encode(pictures[each % len(pictures)], each) for each in numbers)
        published = numbers.stop
        wanted = published // 2
        predictions.receive_until(lambda received, wanted=wanted: count_numbers(received) >= wanted)
        for after in [each for each in deeds if count_numbers(predictions.received) >= each]:
            kill(deeds.pop(after), job.id)
    predictions.receive_until(lambda received: count_numbers(received) == count)
    # What the killed executor had published and not yet acknowledged is delivered again.
    wait_until(lambda: job.metrics()["rows_read"] >= count, job.messages)

    check_predictions(predictions.received, expected, range(count))
    reported = job.messages()
    assert "was killed by signal 9 (SIGKILL)" in reported
    assert "A new one takes its place" in reported
    job.drain()
    assert "are not acknowledged" not in job.messages()
    counted = job.metrics()
    # Messages that a killed executor had acknowledged are counted; others may be counted twice.
    assert counted["rows_read"] >= count
    assert counted["predictions"] == counted["rows_read"]


def find_process(argument):
    """Return the process that has this argument, and not the leash that holds it."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # not a process, or one that has just ended
            words = (process / "cmdline").read_bytes().decode().split("\0")
            if argument in words and not any(word.endswith("leash.py") for word in words):
                found.append(int(process.name))
    (pid,) = found
    return pid


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
def test_nothing_is_lost_when_pubsub_is_restarted(launch, topics, pictures, expected, emulator):
    """Messages that the job has read are predicted; later ones are not mistaken for them."""
    images, predictions, dead_letters = topics
    job = launch(max_batch_duration_ms=5_000)
    images.publish(encode(pictures[number], number) for number in range(50))
    wait_until(lambda: job.metrics()["rows_read"] == 50, job.messages)

    os.kill(find_process(f"--port={emulator.pubsub_port}"), signal.SIGKILL)

    def make_again():
        with contextlib.suppress(GoogleAPICallError):
            for topic in (images, predictions, dead_letters):
                topic.create()
            return True

    wait_until(make_again, job.messages)  # It is started again, empty.
    images.publish(encode(pictures[number], number) for number in range(50, 100))

    predictions.receive_until(lambda received: count_numbers(received) == 100)
    check_predictions(predictions.received, expected, range(100))
    assert "is tried again" in job.messages()


def test_without_pubsub_a_streaming_job_says_what_is_missing(tmp_path):
    """The program is looked up next to gcloud; without gcloud on the path it is not found."""
    assert find_program({"PATH": str(tmp_path)}) is None
    info = daemon.EmulatorInfo(pid=1, dataflow_port=2, storage_port=3, data_dir=tmp_path)
    assert "PUBSUB_EMULATOR_HOST" not in daemon.shell_variables(info, project="p")


def test_a_folder_of_hugging_face_in_cloud_storage(launch, lake, topics, tmp_path):
    transformers = pytest.importorskip("transformers")
    from tests.template.models.hugging_face_folders import SIZES, draw_texts, save_folder

    network = save_folder(tmp_path, "BertForSequenceClassification", num_labels=3, **SIZES)
    for path in tmp_path.iterdir():
        lake.upload(f"models/sentiment/{path.name}", path.read_bytes())
    messages, predictions, dead_letters = topics
    job = launch(model_path=f"{lake.root}/models/sentiment", key_column="id")
    texts = draw_texts(30)
    messages.publish(
        (json.dumps({"id": str(number), "text": text}).encode(), {})
        for number, text in enumerate([*texts, None])
    )
    received = predictions.receive_until(lambda received: len(received) >= len(texts))
    (letter,) = dead_letters.receive_until(lambda received: received)
    job.drain()

    assert "column 'text': the text is missing" in letter.json["error"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    plain = transformers.pipeline("text-classification", model=network, tokenizer=tokenizer)
    assert {each.json["key"] for each in received} == set(map(str, range(len(texts))))
    for each in received:
        (wanted,) = plain(texts[int(each.json["key"])])
        assert each.json["label"] == wanted["label"]
        assert each.json["score"] == pytest.approx(wanted["score"], abs=_SCORE_TOLERANCE)
