"""A run that predicts too little fails its job, and leaves its files and its record."""

from __future__ import annotations

import json

import pytest

from tests.support import run


@pytest.fixture(scope="module")
def spec(lake, emulator_env):
    path = f"{lake.root}/templates/verdict.json"
    run("flexpack", "build", path, "--image", "local/flexpack", env=emulator_env)
    return path


@pytest.fixture
def launch(lake, emulator_env, spec, staged_weights):
    def launch(job_name, status, **parameters):
        given = {"model_path": staged_weights, "output": f"{lake.root}/verdict/p"} | parameters
        printed = run(
            *("flexpack", "run", job_name, "--template-file-gcs-location", spec, "--wait"),
            *("--staging-location", f"{lake.root}/staging"),
            *(f"--parameters={name}={value}" for name, value in given.items()),
            env=emulator_env,
            status=status,
        )
        record = json.loads(lake.bucket.blob("verdict/p-run.json").download_as_text())
        return printed.stdout + printed.stderr, record

    return launch


def test_an_unpredicted_run_fails_and_replaces_the_one_before(lake, launch, staged_images):
    _, record = launch("well", 0, input=staged_images, max_dead_letter_share=0)
    assert record["status"] == "DONE"
    (images,) = record["input"]["files"]
    blob = lake.bucket.get_blob(staged_images.removeprefix(f"{lake.root}/"))
    assert images == {"path": staged_images, "size": blob.size, "generation": str(blob.generation)}
    weights = lake.bucket.get_blob(record["model"]["path"].removeprefix(f"{lake.root}/"))
    assert record["model"]["generation"] == str(weights.generation)
    assert (record["job_name"], record["image"]["reference"]) == ("well", "local/flexpack")
    earlier = [file["path"] for file in record["output_files"]]
    assert lake.list_names("verdict/p-0") == [
        path.removeprefix(f"{lake.root}/") for path in earlier
    ]
    lake.upload("verdict/p-00007-of-00009.jsonl", b"")  # a user's own file
    table = lake.upload("verdict-data/t.csv", b"a,b\n1,2\n3,4\n")

    printed, record = launch("badly", 1, input=table)

    assert "JOB_STATE_FAILED" in printed
    assert (
        "none of the 2 rows read was predicted. Most frequent reasons: 2 x ValueError: neither a "
        "column image nor pixel1"
    ) in printed
    assert f"The dead letters are in {lake.root}/verdict/p-errors-*.jsonl" in printed
    for name, files in (("dead letters ", "-errors-*.jsonl"), ("record       ", "-run.json")):
        assert f"  {name} gcloud storage cat '{lake.root}/verdict/p{files}'" in printed
    assert "    2 x ValueError: neither a column image nor pixel1" in printed
    assert (record["status"], record["counts"]["dead_letters"]) == ("FAILED", 2)
    assert lake.list_names("verdict/") == [
        "verdict/p-00007-of-00009.jsonl",
        "verdict/p-errors-00000-of-00001.jsonl",
        "verdict/p-run.json",
    ]


def test_a_pattern_finds_each_object_with_its_generation(lake, launch, image_set):
    content = image_set.images.read_bytes()
    for name in ("day=1/x-idx3-ubyte.gz", "day=2/x-idx3-ubyte.gz", "day=2/deep/x-idx3-ubyte.gz"):
        lake.upload(f"verdict-in/{name}", content)
    lake.upload("verdict-in/day=2/y-idx3-ubyte.gz", b"no images")
    printed, record = launch("pattern", 0, input=f"{lake.root}/verdict-in/*/*.gz")
    output = f"{lake.root}/verdict/p"
    assert printed.splitlines()[-5:] == [
        f"  predictions   gcloud storage cat '{output}-?????-of-?????.jsonl'",
        f"  dead letters  gcloud storage cat '{output}-errors-*.jsonl'",
        f"    1 x {record['dead_letter_reasons'][0]['reason']}",
        "    1 file could not be read at all; each counts as one row",
        f"  record        gcloud storage cat '{output}-run.json'",
    ]
    assert record["input"]["files"] == [
        {
            "path": f"{lake.root}/{blob.name}",
            "size": blob.size,
            "generation": str(blob.generation),
        }
        for blob in lake.bucket.list_blobs(prefix="verdict-in/day")
        if "deep" not in blob.name
    ]
    assert record["counts"]["predictions"] == 2000
