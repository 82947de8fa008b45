"""``flexpack try``, in this process: what is predicted, and what the user sees when it fails."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from template.trial.run import try_rows

MODELS = """
    import json
    from template.files import download_file_to_localfs
    from template.model import BaseModel, Column, Images, Option

    class Doubles(BaseModel):
        def load_model(self, path):
            return open(path).read()
        def predict(self, df):
            return {"twice": df["n"].astype(float) * 2, "rows": [len(df)] * len(df)}

    class Sizes(Doubles):
        def predict(self, df):
            return [list(image.shape) for image in df["image"]]

    class LoadRaises(Doubles):
        def load_model(self, path):
            return json.loads("{")

    class LoadImports(Doubles):
        def load_model(self, path):
            import no_such_module

    class Interrupted(Doubles):
        def predict(self, df):
            import signal
            signal.raise_signal(signal.SIGINT)
            return df["n"]

    class Suffixed(Doubles):
        suffix = Option("text", "What is appended.")

    class PredictRaises(Doubles):
        def predict(self, df):
            raise ValueError("of no use")

    class OneForAll(Doubles):
        def predict(self, df):
            return [1, 2, 3, 4, 5]

    class Reader(Doubles):
        def load_model(self, path):
            with download_file_to_localfs(path) as file:
                return open(file).read()

    class Late(BaseModel):
        def load_model(self, path):
            return {}
        def predit(self, df):
            return df["n"]

    class Optional(Doubles):
        columns = [Column("weight_kg", "number", optional=True)]
        def predict(self, df):
            return df["weight_kg"]

    class Pictures(Doubles):
        images = Images(4)
        def predict(self, df):
            return self.images(df).mean((1, 2, 3))

    class Times(Doubles):
        factor = Option("number", "What to multiply by.", default=2.0)
        def predict(self, df):
            return df["n"] * self.factor

    class HoldsAFile(Doubles):
        def __init__(self, path):
            super().__init__(path)
            self.file = open(path, "rb")
"""


@pytest.fixture
def attempt(tmp_path, monkeypatch, capsys):
    """Try a model of a module of its own name; return status, stdout and stderr."""
    name = f"models_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(MODELS))
    (tmp_path / "model.txt").write_text("weights")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def attempt(input_, model="Doubles", rows=20, **parameters):
        flags = {"input": input_, "model_path": "model.txt", "model_class": f"{name}:{model}"}
        flags |= parameters
        status = try_rows([f"--{key}={value}" for key, value in flags.items()], rows)
        return status, *capsys.readouterr()

    return attempt


def write(suffix: str, numbers: list[object]) -> str:
    path = f"in.{suffix}"
    frame = pd.DataFrame({"id": [f"r{n}" for n in range(len(numbers))], "n": numbers})
    match suffix:
        case "csv":
            frame.to_csv(path, index=False)
        case "csv.gz":
            Path(path).write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
        case "jsonl":
            frame.to_json(path, orient="records", lines=True)
        case "parquet":
            frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl", "parquet"])
def test_the_first_rows_of_a_table_are_predicted_as_one_block(attempt, suffix):
    path = write(suffix, list(range(3000)))
    status, out, err = attempt(path, rows=7, key_column="id")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["key", "twice", "rows"]
    assert [line.split() for line in lines[1:8]] == [[f"r{n}", f"{2 * n}", "7"] for n in range(7)]
    assert "the first 7 rows: 7 predicted, 0 dead letters" in lines
    assert re.search(r"^load_model [\d.]+ s, predict [\d.]+ s, [\d,]+ rows a second; ", out, re.M)
    assert re.search(r"^peak memory \d+ MB, of which \d+ MB are imports$", out, re.M)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_bad_row_among_the_first_is_shown_with_its_reason(attempt, suffix):
    path = write(suffix, [1, "old", 3, *range(4, 90)])
    status, out, err = attempt(path, rows=4, key_column="id")
    assert status == 0
    assert "\nr2 " in out
    assert "\ndead letters\nr1  ValueError: " in out
    assert "the first 4 rows: 3 predicted, 1 dead letter\n" in out
    assert err.startswith("predict raised ValueError: could not convert string to float: 'old'")
    assert 'in predict\n    return {"twice": df["n"].astype(float) * 2' in err


def test_rows_of_several_files_are_taken_until_there_are_enough(attempt):
    for number in range(4):
        Path(f"in-{number}.csv").write_text("n\n1\n2\n3\n")
    status, out, _ = attempt("in-*.csv", rows=7)
    assert status == 0
    keys = [line.split()[0] for line in out.splitlines() if line.startswith("in-")]
    assert len(keys) == 7
    assert keys[:6] == [f"in-{file}.csv#{row}" for file in (0, 1) for row in range(3)]
    assert keys[6].startswith("in-2.csv#")


def test_pictures_and_one_that_is_broken(attempt):
    for number, size in enumerate([(4, 5), (6, 7)]):
        Image.new("RGB", size).save(f"{number}.png")
    Path("2.png").write_bytes(b"\x89PNG")
    status, out, _ = attempt("*.png", model="Sizes")
    assert status == 0
    assert "[5,4,3]" in out
    assert "[7,6,3]" in out
    assert "\ndead letters\n2.png  UnreadableError" in out
    assert "\n3 rows: 2 predicted, 1 dead letter\n" in out


def test_idx(attempt, write_idx, images):
    path = write_idx(images(9))
    status, out, _ = attempt(path, model="Sizes", rows=3)
    assert status == 0
    assert "the first 3 rows: 3 predicted" in out


@pytest.mark.parametrize("given", [{"factor": "3"}, {"model_opts": '{"factor": 3}'}])
def test_options_of_the_model(attempt, given):
    status, out, err = attempt(write("csv", [5]), model="Times", **given)
    assert (status, err) == (0, "")
    assert "in.csv#0  15" in out


def test_no_rows(attempt):
    Path("in.csv").write_text("n\n")
    status, out, err = attempt("in.csv")
    assert (status, err) == (0, "")
    assert out.startswith("0 rows: 0 predicted, 0 dead letters\n")


@pytest.mark.parametrize(
    ("model", "last_line", "frames"),
    [
        ("LoadRaises", "json.decoder.JSONDecodeError: Expecting property name", ["load_model"]),
        ("OneForAll", "UnusablePredictionError: predict returned 5 entries for 1 rows", []),
        ("HoldsAFile", "RuntimeError: Unable to pickle fn", []),
    ],
)
def test_what_would_fail_a_job_is_shown_from_the_models_frames_on(
    attempt, model, last_line, frames
):
    status, out, err = attempt(write("csv", [1, 2]), model=model)
    assert (status, out) == (1, "")
    assert last_line in err
    assert "apache_beam/" not in err
    assert "while running" not in err
    assert f"{os.sep}template{os.sep}" not in err
    found = re.findall(r"models_\w+\.py\", line \d+, in (\w+)", err)
    assert found == frames
    assert err.endswith("flexpack: a job would fail like this\n")


def test_a_failure_of_load_model_names_the_file_or_the_package(attempt):
    _, _, err = attempt(write("csv", [1]), model="LoadRaises")
    assert "\nflexpack: --model-path 'model.txt': load_model could not load it\n" in err
    _, _, err = attempt(write("csv", [1]), model="LoadImports")
    assert "\nflexpack: 'no_such_module' is not installed: add its package to the project's" in err


def test_ctrl_c_ends_a_trial_and_blames_no_job(attempt):
    assert attempt(write("csv", [1]), model="Interrupted") == (130, "", "")


def test_a_message_names_the_flag_of_try(attempt):
    status, _, err = attempt(write("csv", [1]), model="Suffixed")
    assert (status, err) == (2, "flexpack: --parameters suffix: is required. What is appended.\n")
    _, _, err = attempt(write("csv", [1]), batch_size="three")
    assert err.startswith("flexpack: --parameters batch_size 'three': does not match ")


def test_a_model_that_predicts_nothing(attempt):
    status, out, err = attempt(write("csv", [1, 2]), model="PredictRaises")
    assert status == 1
    assert err.startswith("predict raised ValueError: of no use")
    assert "2 rows: 0 predicted, 2 dead letters" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"model": "Dobles"}, "has no 'Dobles'; its models: Doubles, "),
        ({"model_class": "nowhere:M"}, "no module 'nowhere' can be imported"),
        ({"input_": "no.csv"}, "--input 'no.csv': no file matches"),
        ({"input_": "*.txt"}, "has no known format; pass --parameters input_format"),
        ({"threshold": "1"}, "--parameters threshold: neither the batch template nor the model"),
        ({"device": "gpu"}, "--parameters device 'gpu': not one of auto, cuda, cpu"),
        ({"colum_types": "n:text"}, "--parameters colum_types: no such parameter; did you mean 'c"),
    ],
)
def test_wrong_flags(attempt, flags, message):
    Path("in.txt").touch()
    write("csv", [1])
    status, out, err = attempt(**{"input_": "in.csv", **flags})
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_module_that_cannot_be_imported_shows_its_own_frames(attempt, tmp_path):
    (tmp_path / "broken_at_import.py").write_text("x = 1\nraise OSError('no disk')\n")
    status, _, err = attempt(write("csv", [1]), model_class="broken_at_import:M")
    assert status == 2
    assert err.startswith("Traceback (most recent call last):\n")
    assert "importlib" not in err
    assert err.splitlines()[1].endswith('broken_at_import.py", line 2, in <module>')


def test_a_mistake_in_a_declaration_shows_the_users_line_and_the_message_once(attempt, tmp_path):
    text = "from template.model import BaseModel, Column\n\nCOLUMNS = [Column('n', 'nubmer')]\n"
    (tmp_path / "typo_in_column.py").write_text(text)
    status, _, err = attempt(write("csv", [1]), model_class="typo_in_column:M")
    assert status == 2
    _, place, line, *rest = err.splitlines()
    assert place.endswith('typo_in_column.py", line 3, in <module>')
    assert line.strip() == "COLUMNS = [Column('n', 'nubmer')]"
    assert rest[-1].startswith("flexpack: MODULE:CLASS 'typo_in_column:M': importing ")
    assert err.count("did you mean 'number'") == 1
    assert "template/needs" not in err


def test_a_model_file_that_does_not_exist_is_named_without_a_trace(attempt):
    status, _, err = attempt(write("csv", [1]), model="Reader", model_path="lat.zip")
    assert (status, err) == (2, "flexpack: --model-path 'lat.zip': no such file or folder\n")


def test_weights_without_their_class_say_first_what_to_do(attempt, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({f"layer{n}.weight": torch.zeros(2) for n in range(9)}, tmp_path / "w.pth")
    model_class = "template.models.fashion_mnist:FashionMnistModel"
    status, _, err = attempt(write("csv", [1]), model_class=model_class, model_path="w.pth")
    assert status == 1
    assert err.startswith(
        "ValueError: w.pth: not the weights of this network, the built-in model's"
    )
    problems = err.partition(": --model_class=module:Class. ")[2]
    assert "File" not in err
    assert problems.splitlines()[0].endswith(" more")


def test_a_class_without_predict_is_refused_when_it_is_loaded(attempt):
    status, _, err = attempt(write("csv", [1]), model="Late")
    assert status == 1
    assert err.startswith(
        "TypeError: Late has no predict(df), and neither does the object that its load_model "
        "returned (dict); did you mean 'predit'?"
    )


def test_a_renamed_optional_column_is_a_warning(attempt):
    Path("in.csv").write_text("weight\n1\n")
    status, out, err = attempt("in.csv", model="Optional")
    assert status == 0
    assert "1 predicted" in out
    assert err.count("lack column 'weight_kg'") == 1
    assert "did you mean 'weight'?" in err


def test_a_table_for_a_model_of_images_says_that_it_has_no_column_of_them(attempt):
    status, out, err = attempt(write("csv", [1]), model="Pictures")
    assert status == 1
    assert "ValueError: no column 'image', which the model needs; its columns: id, n" in out
    assert "Traceback" not in err


def test_a_key_column_that_does_not_exist(attempt):
    status, out, _ = attempt(write("csv", [1]), key_column="idd")
    assert status == 1
    assert "no column 'idd', which key_column names; did you mean 'id'?; its columns: id, n" in out


def wait_for(path: Path, text: str, count: int) -> None:
    deadline = time.monotonic() + 60
    while path.read_text().count(text) < count:
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.05)


def test_watch_predicts_again_when_a_file_changes(tmp_path):
    (tmp_path / "own.py").write_text(textwrap.dedent(MODELS))
    (tmp_path / "model.txt").write_text("weights")
    (tmp_path / "in.csv").write_text("n\n1\n")
    output = tmp_path / "output"
    command = ["--rows=20", "--watch", "--input=in.csv", "--model_path=model.txt"]
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "template.trial", *command, "--model_class=own:Doubles"],
            cwd=tmp_path, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        wait_for(output, "Ctrl-C ends", 1)
        assert "in.csv#0  2" in output.read_text()
        (tmp_path / "in.csv").write_text("n\n21\n")
        wait_for(output, "Ctrl-C ends", 2)
        assert "in.csv#0  42" in output.read_text()
        (tmp_path / "own.py").write_text("def\n")
        wait_for(output, "Ctrl-C ends", 3)
        assert "SyntaxError" in output.read_text()
    finally:
        process.send_signal(2)
        assert process.wait(20) == 0
