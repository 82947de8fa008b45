"""The sides of ``bench_tables.py``, each run in a separate process with one thread.

``python -m tests.bench.tables_sides FORMAT SIDE WEIGHTS OUTPUT FILE...`` predicts the files one
after the other, each into ``OUTPUT/<number of the file>``. ``flexpack:256`` has blocks of 256 rows.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import apache_beam as beam
import apache_beam.runners.portability.fn_api_runner.fn_runner  # imports do not count
import pandas as pd
import pyarrow as pa
import torch
from apache_beam.options.pipeline_options import PipelineOptions
from pyarrow import csv, parquet

from template.batch import build_batch_pipeline
from template.options import PredictConfig
from tests.bench import tables, variants
from tests.bench.side import run_parts

_PANDAS_ROWS = 10_000
_ARROW_ROWS = 1024 * 64
_MODEL = "tests.bench.tables:ChurnModel"

Run = Callable[[Path, Path, Path], None]
"""Predicts a file (flexpack: or a pattern) with weights into a folder."""


def run_pandas_csv(file: Path, weights: Path, output: Path) -> None:
    """Pandas' own method for a file that may not fit into memory."""
    network = tables.load_network(weights)
    with (output / "rows.csv").open("w") as written:
        for frame in pd.read_csv(file, chunksize=_PANDAS_ROWS):
            rows = _predict_frame(network, frame)
            rows.to_csv(written, index=False, header=written.tell() == 0)


def run_pandas_parquet(file: Path, weights: Path, output: Path) -> None:
    """Pandas reads and writes whole files only."""
    network = tables.load_network(weights)
    _predict_frame(network, pd.read_parquet(file)).to_parquet(output / "rows.parquet", index=False)


def _predict_frame(network: tables.Network, frame: pd.DataFrame) -> pd.DataFrame:
    risk = tables.predict_risk(network, frame[tables.FEATURES].to_numpy("float32"))
    return pd.DataFrame({"key": frame[tables.KEY], "leaves": risk > 0.5, "risk": risk})


def run_arrow_csv(file: Path, weights: Path, output: Path) -> None:
    """Batches of a megabyte, which is Arrow's default."""
    network = tables.load_network(weights)
    options = csv.ReadOptions(use_threads=False)
    with (
        csv.open_csv(file, read_options=options) as batches,
        csv.CSVWriter(output / "rows.csv", _ARROW_SCHEMA) as writer,
    ):
        for batch in batches:
            writer.write_batch(_predict_batch(network, batch))


def run_arrow_parquet(file: Path, weights: Path, output: Path) -> None:
    network = tables.load_network(weights)
    with (
        parquet.ParquetFile(file) as found,
        parquet.ParquetWriter(output / "rows.parquet", _ARROW_SCHEMA) as writer,
    ):
        for batch in found.iter_batches(_ARROW_ROWS, use_threads=False):
            writer.write_batch(_predict_batch(network, batch))


_ARROW_SCHEMA = pa.schema([("key", pa.string()), ("leaves", pa.bool_()), ("risk", pa.float32())])


def _predict_batch(network: tables.Network, batch: pa.RecordBatch) -> pa.RecordBatch:
    frame = batch.select(tables.FEATURES).to_pandas()
    risk = tables.predict_risk(network, frame.to_numpy("float32"))
    return pa.record_batch([batch[tables.KEY], risk > 0.5, risk], schema=_ARROW_SCHEMA)


def run_flexpack(
    file: Path | str, weights: Path, output: Path, block_rows: int | None = None
) -> None:
    """The batch template as it is packaged."""
    values = parameters(file, weights, output)
    if block_rows is not None:
        values["batch_size"] = str(block_rows)
    flags = ["--runner=FnApiRunner", *(f"--{name}={value}" for name, value in values.items())]
    options = PipelineOptions(flags)
    with beam.Pipeline(options=options) as pipeline:
        build_batch_pipeline(pipeline, PredictConfig.from_options(options))


def parameters(file: Path | str, weights: Path, output: Path) -> dict[str, str]:
    """Return the options of a launch that predicts a file or pattern, IDX or a table."""
    values = {
        "input": str(file),
        "output": str(output / "rows"),
        "model_path": str(weights),
        "device": "cpu",
    }
    suffix = Path(file).suffix[1:]
    if suffix not in ("csv", "parquet"):
        return values  # the file says that its weights are the built-in model's
    return {
        **values,
        "output_format": suffix,
        "model_class": _MODEL,
        "key_column": tables.KEY,
    }


SIDES: Mapping[str, Mapping[str, Run]] = {
    "idx": {
        "json": variants.run_raw,
        "orjson": variants.run_raw_orjson,
        "flexpack": run_flexpack,
    },
    "csv": {"pandas": run_pandas_csv, "pyarrow": run_arrow_csv, "flexpack": run_flexpack},
    "parquet": {
        "pandas": run_pandas_parquet,
        "pyarrow": run_arrow_parquet,
        "flexpack": run_flexpack,
    },
}


def main() -> None:
    file_format, side, weights, output, *files = sys.argv[1:]
    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    parts = []
    for number, file in enumerate(files):
        folder = Path(output, str(number))
        folder.mkdir()
        parts.append((Path(file), Path(weights), folder))
    name, _, block_rows = side.partition(":")
    run = SIDES[file_format][name]
    if block_rows:
        run = functools.partial(run_flexpack, block_rows=int(block_rows))
    run_parts(functools.partial(run, *part) for part in parts)


if __name__ == "__main__":
    main()
