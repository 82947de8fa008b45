"""Declared columns in whole jobs."""

import gzip

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from template.model import BaseModel, Column
from template.options import PredictConfig
from template.parameters import ParameterError


class Sums(BaseModel):
    columns = (Column("b", "number"), Column("a", "integer"), Column("day", "text", optional=True))

    def load_model(self, path):
        return sum

    def predict(self, df):
        assert list(df.columns) == ["b", "a", "day"]
        assert df.dtypes.astype(str).tolist() == ["float64", "int64", "object"]
        return pd.DataFrame({"sum": df["a"] + df["b"], "day": df["day"]})


class TestJobs:
    def test_files_of_all_kinds(self, predict, tmp_path):
        folder = tmp_path / "day=1"
        folder.mkdir()
        (folder / "a.csv").write_text("a,b\n1,2\n3,old\n")
        (folder / "b.csv.gz").write_bytes(gzip.compress(b"b,a,c\n10,20,x\n"))
        (folder / "c.jsonl").write_text('{"a": 5, "b": 6.5}\n{"a": 5}\n')
        (folder / "d.csv").write_text("b\n1\n")
        pyarrow.parquet.write_table(pa.table({"b": [7], "a": [8]}), folder / "e.parquet")
        outcome = predict(tmp_path / "day=*" / "*", model_class=Sums)
        rows = {row["key"]: (row["sum"], row["day"]) for row in outcome.predictions}
        assert rows == {
            "day=1/a.csv#0": (3.0, "1"),
            "day=1/b.csv.gz#0": (30.0, "1"),
            "day=1/c.jsonl#0": (11.5, "1"),
            "day=1/e.parquet#0": (15.0, "1"),
        }
        errors = {
            letter["source"].rpartition("/")[2]: letter["error"] for letter in outcome.dead_letters
        }
        assert errors == {
            "a.csv row 1": "ValueError: column 'b': 'old' is not a number",
            "c.jsonl row 1": "ValueError: no field 'b', which the model needs; its fields: a",
            "d.csv": "UnreadableError: no column 'a', which the model needs; its columns: b",
        }

    def test_a_job_without_a_file_that_has_the_columns_fails(self, predict, tmp_path):
        (tmp_path / "a.csv").write_text("x,y\n1,2\n")
        outcome = predict(tmp_path / "*.csv", model_class=Sums, max_dead_letter_share=None)
        assert "1 x UnreadableError: no column 'b', 'a', which the model needs" in outcome.failure

    def test_a_folder_has_the_declared_type(self, predict, tmp_path):
        class Days(Sums):
            columns = (Column("day", "integer"),)

            def predict(self, df):
                assert df.dtypes.astype(str).tolist() == ["int64"]
                return df["day"] + 1

        for day in ("1", "x"):
            (tmp_path / f"day={day}").mkdir()
            (tmp_path / f"day={day}" / "a.csv").write_text("b\n1\n")
        outcome = predict(tmp_path / "day=*" / "*.csv", model_class=Days)
        assert [row["day"] for row in outcome.predictions] == [2]
        (letter,) = outcome.dead_letters
        assert "its folder 'day=x': 'x' is not a whole number" in letter["error"]

    def test_column_types_go_before_the_declaration(self, predict, tmp_path):
        class Zips(Sums):
            columns = (Column("zip", "number"),)

            def predict(self, df):
                return df["zip"].map(repr)

        (tmp_path / "a.csv").write_text("zip\n00501\n")
        outcome = predict(tmp_path / "*.csv", model_class=Zips)
        assert [row["zip"] for row in outcome.predictions] == ["501.0"]
        outcome = predict(tmp_path / "*.csv", model_class=Zips, column_types={"zip": "text"})
        assert [row["zip"] for row in outcome.predictions] == ["'00501'"]

    def test_a_type_of_a_column_that_is_not_declared_is_refused_at_launch(self):
        flags = ["--input=a", "--output=b", "--model_path=c", "--column_types=bb:text"]
        flags.append(f"--model_class={__name__}:Sums")
        with pytest.raises(
            ParameterError, match="does not declare a column 'bb'; did you mean 'b'"
        ):
            PredictConfig.from_options(PipelineOptions(flags))
