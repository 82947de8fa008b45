"""The record of a run."""

import hashlib
import json
from datetime import datetime

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from template import __version__
from template.batch import build_batch_pipeline
from template.options import PredictConfig
from template.parameters import BATCH
from template.sources import find_files
from template.sources.inputs import InputFiles


def test_it_says_what_ran_on_what(write_idx, images, weights, tmp_path):
    path = write_idx(images(5))
    (tmp_path / "x-bad-idx3-ubyte").write_text("no images")
    digest = "sha256:" + "0" * 64
    options = PipelineOptions(
        [
            "--runner=FnApiRunner",
            f"--input={tmp_path}/x-*",
            f"--output={tmp_path}/out/p",
            f"--model_path={weights}",
            "--device=cpu",
            "--job_name=nightly",
            f"--sdk_container_image=europe-docker.pkg.dev/p/r/i:1.2@{digest}",
        ]
    )
    pipeline = beam.Pipeline(options=options)
    build_batch_pipeline(pipeline, PredictConfig.from_options(options))
    pipeline.run().wait_until_finish()
    record = json.loads((tmp_path / "out" / "p-run.json").read_text())
    times = [
        datetime.fromisoformat(record["times"][name])
        for name in ("launched", "started", "finished")
    ]
    assert times == sorted(times)
    assert len(record.pop("run_id")) == 32
    bad, good = find_files(f"{tmp_path}/x-*")
    del record["times"]
    parameters = record.pop("parameters")
    assert set(parameters) == {parameter.name for parameter in BATCH.parameters}
    assert parameters["input"] == f"{tmp_path}/x-*"
    assert parameters["model_class"] == "template.models.fashion_mnist:FashionMnistModel"
    assert (parameters["batch_size"], parameters["max_dead_letter_share"]) == (1024, None)
    assert parameters["passthrough_columns"] == []
    assert record == {
        "job_name": "nightly",
        "status": "DONE",
        "verdict": None,
        "counts": {"rows_read": 6, "predictions": 5, "dead_letters": 1, "unread_files": 1},
        "dead_letter_reasons": [
            {
                "reason": "UnreadableError: not an IDX file: it begins with 6e6f2069, not "
                "with 0000",
                "count": 1,
            }
        ],
        "dead_letters_of_other_reasons": 0,
        "template": {"name": "batch", "version": __version__},
        "image": {"reference": "europe-docker.pkg.dev/p/r/i:1.2", "digest": digest},
        "model": {
            "path": str(weights),
            "size": weights.stat().st_size,
            "generation": f"{weights.stat().st_mtime:.6f}",
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        },
        "input": {
            "file_count": 2,
            "bytes": path.stat().st_size + 9,
            "files": [
                {"path": file.path, "size": file.size, "generation": file.generation}
                for file in (bad, good)
            ],
            "files_not_listed": 0,
        },
        "output_files": [
            {"path": f"{tmp_path}/out/p-00000-of-00001.jsonl", "kind": "predictions", "rows": 5},
            {
                "path": f"{tmp_path}/out/p-errors-00000-of-00001.jsonl",
                "kind": "dead_letters",
                "rows": 1,
            },
        ],
    }
    assert (good.path, good.generation) == (str(path), f"{path.stat().st_mtime:.6f}")


def test_it_lists_many_files_in_part(tmp_path):
    (tmp_path / "a.csv").write_text("abc")
    (file,) = find_files(f"{tmp_path}/*")
    inputs = InputFiles.of([file] * 10_007)
    assert (inputs.count, inputs.size, len(inputs.files)) == (10_007, 30_021, 10_000)


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_a_name_that_is_not_utf8_is_written_with_an_escape(predict, tmp_path, output_format):
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "caf\udce9.jsonl"
    path.write_text('{"image":[0]}\nnonsense\n')
    (folder / "\udce9.txt").write_text("text")
    (folder / "\udce9.png").write_text("no image")
    outcome = predict(folder / "*", output_format=output_format)
    assert {letter["key"] for letter in outcome.dead_letters} == {
        None,
        r"caf\udce9.jsonl#0",
        r"caf\udce9.jsonl#1",
        rf"{folder}/\udce9.png",
    }
    assert {letter["source"].partition(" ")[0] for letter in outcome.dead_letters} == {
        rf"{folder}/caf\udce9.jsonl",
        rf"{folder}/\udce9.txt",
        rf"{folder}/\udce9.png",
    }
    assert [file["path"] for file in outcome.record["input"]["files"]] == [
        rf"{folder}/caf\udce9.jsonl",
        rf"{folder}/\udce9.png",
        rf"{folder}/\udce9.txt",
    ]


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_rows_of_a_file_whose_name_is_not_utf8_are_predicted(
    predict, write_idx, images, tmp_path, output_format
):
    write_idx(images(2)).rename(tmp_path / "\udce9-idx3-ubyte")
    outcome = predict(tmp_path / "*-idx3-ubyte", output_format=output_format)
    assert outcome.counters == {"rows_read": 2, "predictions": 2, "dead_letters": 0}
