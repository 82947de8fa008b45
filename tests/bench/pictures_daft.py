"""Daft's side of ``bench_pictures.py``, run by the Python of an environment with ``daft``.

``python pictures_daft.py MODEL WORKERS PICTURES OUTPUT``. Daft's native runner has a thread for
each core that the process may use; the model is loaded once per worker, as a class for
``daft.cls``.
"""

import json
import sys
import tempfile
from pathlib import Path

import daft
import network
import numpy as np

BATCH = 64


class RealModel:
    def __init__(self):
        self.network = network.load()

    @daft.method.batch(return_dtype=daft.DataType.int64(), batch_size=BATCH)
    def predict(self, images):
        return network.classify(self.network, stack(images))


@daft.func.batch(return_dtype=daft.DataType.int64(), batch_size=BATCH)
def sum_pixels(images):
    return stack(images).sum(axis=(1, 2, 3), dtype=np.int64).tolist()


def stack(images):
    return np.stack([np.asarray(image) for image in images.to_pylist()])


def predict(model, workers, folder, output):
    side = network.SIDE
    image = daft.col("path").download().decode_image(mode="RGB").resize(side, side)
    found = daft.from_glob_path(f"{folder}/*.jpg").select("path", image.alias("image"))
    function = sum_pixels
    if model == "real":
        function = daft.cls(max_concurrency=workers)(RealModel)().predict
    rows = found.select("path", function(daft.col("image")).alias("value")).to_pydict()
    with Path(output, "daft.jsonl").open("w") as file:
        for path, value in zip(rows["path"], rows["value"], strict=True):
            file.write(json.dumps({"key": path.removeprefix("file://"), "value": value}) + "\n")


def main():
    model, workers, folder, output = sys.argv[1:]
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as before:
        network.copy_some(folder, few)
        predict(model, int(workers), few, before)
    network.wait("ready")
    predict(model, int(workers), folder, output)
    network.wait("done")


if __name__ == "__main__":
    main()
