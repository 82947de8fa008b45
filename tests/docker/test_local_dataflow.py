"""A built image on the local Dataflow: the very image runs, not this machine's Python."""

from __future__ import annotations

import json

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from launcher.emulator import daemon
from tests.docker import standins
from tests.support import BIN, PROJECT, run

pytestmark = [pytest.mark.buildah, pytest.mark.slow]
IMAGE = "europe-west1-docker.pkg.dev/my-project/flexpack/flexpack:1.0"
BUCKET = "flexpack-oci-tests"


@pytest.fixture
def emulator_env_with_image(tmp_path, image):
    images = tmp_path / "images.toml"
    images.write_text(f'["{IMAGE}"]\noci = "{image}"\n')
    data_dir = tmp_path / "data"
    info = daemon.start_detached(port=0, storage_port=0, data_dir=data_dir, images=images)
    try:
        yield {"PATH": f"{BIN}:/usr/bin:/bin", **daemon.environment(info, project=PROJECT)}
    finally:
        daemon.stop(data_dir)


def test_launcher_and_workers_run_in_the_image(emulator_env_with_image, garments):
    env = emulator_env_with_image
    client = storage.Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": env["STORAGE_EMULATOR_HOST"]},
    )
    bucket = client.create_bucket(BUCKET)
    bucket.blob(garments.images.name).upload_from_filename(garments.images)
    bucket.blob("weights.pth").upload_from_filename(garments.weights)
    spec = f"gs://{BUCKET}/batch.json"
    run("flexpack", "build", spec, f"--image={IMAGE}", env=env)
    run(
        *("flexpack", "run", "oci-job", f"--template-file-gcs-location={spec}", "--wait"),
        f"--staging-location=gs://{BUCKET}/staging",
        f"--parameters=input=gs://{BUCKET}/{garments.images.name}",
        f"--parameters=output=gs://{BUCKET}/out/predictions",
        f"--parameters=model_path=gs://{BUCKET}/weights.pth",
        env=env,
    )
    rows = [
        json.loads(line)
        for blob in bucket.list_blobs(prefix="out/predictions")
        for line in blob.download_as_text().splitlines()
    ]
    expected = garments.predict_with_torch()
    assert len(rows) == len(expected)
    for row in rows:
        index, score = expected[int(row["key"].rpartition("#")[2])]
        assert row["class_index"] == index
        assert row["score"] == pytest.approx(score, abs=1e-5)
    # The staged graph names the packages' place: in the image, which has no virtual environment.
    (console,) = [b for b in bucket.list_blobs(prefix="staging") if b.name.endswith("console_logs")]
    assert ".venv" not in console.download_as_text()


def test_the_containers_end_with_the_emulator(emulator_env_with_image, tmp_path):
    def containers():
        found = json.loads(standins.run("buildah", "containers", "--json")) or []
        return [c["containername"] for c in found if c["containername"].startswith("flexpack-em")]

    assert len(containers()) == 1
    daemon.stop(tmp_path / "data")
    assert containers() == []
