"""Ray Data's side of ``bench_pictures.py``, run by the Python of an environment with ``ray[data]``.

``python pictures_ray.py MODEL WORKERS PICTURES OUTPUT``. As its documentation advises, images are
resized as they are read, and a model that must be loaded is a class whose actors hold it. The
actors reserve no CPU, like actors with a GPU, so that pictures are read at the same time.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import network
import numpy as np
import ray

BATCH = 64


class RealModel:
    def __init__(self):
        self.network = network.load()

    def __call__(self, batch):
        values = network.classify(self.network, np.stack(list(batch["image"])))
        return {"key": batch["path"], "value": np.array(values)}


def sum_pixels(batch):
    return {"key": batch["path"], "value": batch["image"].sum(axis=(1, 2, 3), dtype=np.int64)}


def predict(model, workers, folder, output):
    size = (network.SIDE, network.SIDE)
    images = ray.data.read_images(folder, size=size, mode="RGB", include_paths=True)
    if model == "free":
        rows = images.map_batches(sum_pixels, batch_size=BATCH)
    else:
        actors = ray.data.ActorPoolStrategy(size=workers)
        rows = images.map_batches(RealModel, batch_size=BATCH, compute=actors, num_cpus=0)
    with Path(output, "ray.jsonl").open("w") as file:
        for batch in rows.iter_batches(batch_size=None):
            for key, value in zip(batch["key"], batch["value"], strict=True):
                file.write(json.dumps({"key": str(key), "value": int(value)}) + "\n")


def main():
    model, workers, folder, output = sys.argv[1:]
    # Not 15, because other load on the machine must affect it as much as the other sides.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (its name)
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    ray.init(num_cpus=int(workers), include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as before:
        network.copy_some(folder, few)
        predict(model, int(workers), few, before)
    network.wait("ready")
    predict(model, int(workers), folder, output)
    network.wait("done")
    ray.shutdown()


if __name__ == "__main__":
    main()
