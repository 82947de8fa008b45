"""Daft's side of ``bench_pictures.py``, run by the Python of an environment with ``daft`` alone.

``python pictures_daft.py PICTURES OUTPUT`` writes the sum of each image's pixels as JSON Lines.
"""

import json
import resource
import sys
import time
from pathlib import Path

import daft
import numpy as np

SIDE = 224


@daft.udf(return_dtype=daft.DataType.int64())
def sum_pixels(images):
    return [int(np.asarray(image).sum(dtype=np.int64)) for image in images.to_pylist()]


def cpu_seconds():
    usages = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main():
    pictures, output = sys.argv[1:]
    startup, began = cpu_seconds(), time.monotonic()
    image = daft.col("path").download().decode_image(mode="RGB").resize(SIDE, SIDE)
    found = daft.from_glob_path(f"{pictures}/*.jpg").select("path", image.alias("image"))
    rows = found.select("path", sum_pixels(daft.col("image")).alias("value")).to_pydict()
    with Path(output, "daft.jsonl").open("w") as file:
        for path, value in zip(rows["path"], rows["value"], strict=True):
            file.write(json.dumps({"key": path.removeprefix("file://"), "value": value}) + "\n")
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in status if line.startswith("VmHWM"))
    print(
        json.dumps(
            {
                "rows": len(rows["path"]),
                "cpu_sec": cpu_seconds() - startup,
                "wall_sec": time.monotonic() - began,
                "peak_mib": int(peak.split()[1]) / 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
