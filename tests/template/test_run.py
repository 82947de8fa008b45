"""From flags to a job: what is run, what is refused, and the entry file."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from template.model import BaseModel, Column
from template.run import run

PROJECT = Path(__file__).parents[2]


def test_run_waits_and_returns_zero(write_idx, images, weights, tmp_path):
    output = tmp_path / "out" / "p"
    flags = [f"--input={write_idx(images(5))}", f"--output={output}", f"--model_path={weights}"]
    assert run(["--runner=FnApiRunner", "--device=cpu", *flags]) == 0
    (file,) = output.parent.glob("*.jsonl")
    assert len(file.read_text().splitlines()) == 5


def test_each_mistake_is_reported_in_one_line(tmp_path, weights, capsys):
    flags = [f"--output={tmp_path}/p", f"--model_path={weights}"]
    assert run([f"--input={tmp_path}/none.csv", *flags]) == 2
    assert run([f"--input={tmp_path}/none.csv", *flags, "--bach_size=3"]) == 2
    assert run(flags) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"--input '{tmp_path}/none.csv'",
        "--bach_size",
        "--input",
    ]


class Weighs(BaseModel):
    columns = (Column("weight_kg", "number", optional=True),)

    def load_model(self, path):
        return True

    def predict(self, df):
        return df


def test_a_job_warns_of_an_optional_column_that_no_file_has(tmp_path, caplog):
    (tmp_path / "in.csv").write_text("weight\n1\n")
    names = {"input": "in.csv", "output": "p", "model_path": "m"}
    flags = [f"--{name}={tmp_path}/{value}" for name, value in names.items()]
    assert run(["--runner=FnApiRunner", f"--model_class={__name__}:Weighs", *flags]) == 0
    warnings = [each.getMessage() for each in caplog.records if "weight_kg" in each.getMessage()]
    assert len(warnings) == 1
    assert "did you mean 'weight'?" in warnings[0]


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=PROJECT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


def test_the_entry_file_shows_no_trace_for_a_mistake(tmp_path):
    done = python("-m", "template.main", "--ouput=x")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "--ouput: no such parameter; did you mean 'output'?"
    assert "Traceback" not in done.stderr


def test_the_entry_file_defines_nothing():
    body = ast.parse((PROJECT / "template" / "main.py").read_text()).body
    assert not [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert ast.unparse(body[-1]) == (
        "if __name__ == '__main__':\n    gc.freeze()\n    sys.exit(run(sys.argv[1:]))"
    )
