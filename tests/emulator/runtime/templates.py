"""Entry files of the Flex Templates that the tests launch, by file name."""

PIPELINE = """
import argparse
import os

import apache_beam as beam
import deeds
from apache_beam.options.pipeline_options import PipelineOptions


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", required=True)
    parser.add_argument("--folder", required=True)
    options, rest = parser.parse_known_args()
    with beam.Pipeline(options=PipelineOptions(rest)) as pipeline:
        counted = (
            pipeline
            | "Numbers" >> beam.Create(range(10))
            | "Shuffle" >> beam.Reshuffle()
            | "Count" >> beam.ParDo(deeds.Count(options.folder))
        )
        # Shuffled, or the two steps would be one stage, on one worker because of the state.
        keyed = counted | "Key" >> beam.Map(lambda _: (0, 1)) | "Apart" >> beam.Reshuffle()
        keyed | "Total" >> beam.ParDo(deeds.Total(options.folder))
        (
            counted
            | "Format" >> beam.MapTuple("{} {}".format)
            | "Write" >> beam.io.WriteToText(options.output, num_shards=1)
        )


if __name__ == "__main__":
    main()
"""

# A module beside the entry file: workers have it only if they run the template's image.
DEEDS = '''
import faulthandler
import logging
import os
import signal
import time
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.userstate import CombiningValueStateSpec


class Count(beam.DoFn):
    """Counts; at number 7 does what the file ``deed`` in its folder says."""

    def __init__(self, folder):
        self._folder = folder
        self._seen = Metrics.counter("tests", "seen")
        self._sizes = Metrics.distribution("tests", "sizes")

    def process(self, number):
        self._seen.inc()
        self._sizes.update(number)
        if number == 7:
            logging.warning("seven is here")
            print("seven is printed")
            os.write(1, b"an odd byte \\xe9\\n")
            deed = Path(self._folder, "deed").read_text()
            getattr(self, deed)()
        yield number, os.getpid()

    def nothing(self):
        pass

    def fail(self):
        raise ValueError("seven is too much")

    def raise_once_then_die_once(self):
        if self._first("raised"):
            raise ValueError("seven is too much this time")
        if self._first("died"):
            os.kill(os.getpid(), signal.SIGKILL)

    def sleep(self):
        Path(self._folder, "pids").write_text(f"{os.getpid()} {os.getppid()}")
        time.sleep(600)

    def hang(self):
        print("no line end", end="")
        faulthandler.dump_traceback_later(0.2, exit=True)
        time.sleep(600)

    def _first(self, name):
        return is_first(self._folder, name)


class Total(beam.DoFn):
    """Counts in state; once, in the middle, it raises."""

    TOTAL = CombiningValueStateSpec("total", sum)

    def __init__(self, folder):
        self._folder = folder
        self._totals = Metrics.distribution("tests", "totals")

    def process(self, element, total=beam.DoFn.StateParam(TOTAL)):
        total.add(1)
        self._totals.update(total.read())
        if total.read() == 5 and is_first(self._folder, "raised in state"):
            raise ValueError("five is too much this time")


def is_first(folder, name):
    path = Path(folder, name)
    first = not path.exists()
    path.touch()
    return first
'''

SOURCES = {
    "pipeline.py": PIPELINE,
    "deeds.py": DEEDS,
    "raises.py": (
        "print('about to fail', flush=True)\nraise RuntimeError('the entry file says no')\n"
    ),
    "strict.py": "import argparse\nargparse.ArgumentParser().parse_args()\n",
    "stages_nothing.py": "print('all done')\n",
    "leaves_a_daemon.py": (
        "import subprocess, sys\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "print('daemon', subprocess.Popen(sleep, start_new_session=True).pid, flush=True)\n"
    ),
    "leaves_files.py": (
        "import tempfile, time\nprint('folder', tempfile.mkdtemp(), flush=True)\ntime.sleep(600)\n"
    ),
    "asks_for_metrics.py": "raise ValueError('Can not query metrics. Job id is unknown.')\n",
    "slow.py": ("import os, time\nprint('process', os.getpid(), flush=True)\ntime.sleep(600)\n"),
}
