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

# A module next to the entry file, which workers have only if they run the template's image.
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

# The template's own windows, coders, keys and combiners, in a module next to the entry file.
OWN_TYPES = '''
import apache_beam as beam
from apache_beam.coders import Coder, StrUtf8Coder, TimestampCoder, TupleCoder
from apache_beam.transforms import window
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, TimerSpec, on_timer


class Colored(window.BoundedWindow):
    def __init__(self, end, color):
        super().__init__(end)
        self.color = color

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash((self.end, self.color))


class ColoredCoder(Coder):
    _pair = TupleCoder([TimestampCoder(), StrUtf8Coder()])

    def encode(self, value):
        return self._pair.encode((value.end, value.color))

    def decode(self, encoded):
        return Colored(*self._pair.decode(encoded))

    def is_deterministic(self):
        return True


class Colors(window.NonMergingWindowFn):
    """Windows of ten seconds, one for odd and one for even numbers."""

    def assign(self, context):
        seconds = int(context.timestamp)
        return [Colored(seconds - seconds % 10 + 10, "odd" if seconds % 2 else "even")]

    def get_window_coder(self):
        return ColoredCoder()


class MergedColors(window.WindowFn):
    """One window for each color, as long as all that have it."""

    # Beam 2.77's worker cannot load a merging WindowFn of less than 128 bytes: it takes the
    # length before them, if that byte is a letter, for a part of their base64.
    def __init__(self):
        self.note = "Until they have 128 bytes, this is here."

    def assign(self, context):
        return Colors().assign(context)

    def merge(self, context):
        for color in {each.color for each in context.windows}:
            same = [each for each in context.windows if each.color == color]
            context.merge(same, Colored(max(each.end for each in same), color))

    def get_window_coder(self):
        return ColoredCoder()


class Key:
    def __init__(self, name):
        self.name = name


class KeyCoder(Coder):
    def encode(self, value):
        return value.name.encode()

    def decode(self, encoded):
        return Key(encoded.decode())

    def is_deterministic(self):
        return True


beam.coders.registry.register_coder(Key, KeyCoder)


class Sum(beam.CombineFn):
    def create_accumulator(self):
        return 0

    def add_input(self, total, number):
        return total + number

    def merge_accumulators(self, totals):
        return sum(totals)

    def extract_output(self, total):
        return total


class Most(Sum):
    def add_input(self, most, number):
        return max(most, number)

    def merge_accumulators(self, found):
        return max(found)


class AtTheEnd(beam.DoFn):
    """Keeps numbers in state until a timer at the end of their window fires."""

    KEPT = BagStateSpec("kept", beam.coders.VarIntCoder())
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def process(
        self,
        element: tuple[Key, int],
        window=beam.DoFn.WindowParam,
        kept=beam.DoFn.StateParam(KEPT),
        end=beam.DoFn.TimerParam(END),
    ):
        kept.add(element[1])
        end.set(window.max_timestamp())

    @on_timer(END)
    def fire(
        self,
        key=beam.DoFn.KeyParam,
        window=beam.DoFn.WindowParam,
        kept=beam.DoFn.StateParam(KEPT),
    ):
        yield f"kept {key.name} {window.color} {sorted(kept.read())}"
'''

OWN_WINDOWS = '''
import argparse

import apache_beam as beam
import own_types
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.transforms.window import GlobalWindows


def key(number) -> tuple[own_types.Key, int]:
    return own_types.Key("low" if number % 10 < 5 else "high"), number


def show(label):
    def format(element, window=beam.DoFn.WindowParam):
        name, value = element
        value = value if isinstance(value, int) else sorted(value)
        return f"{label} {name.name} {window.color} {value}"

    return format


class Packed(beam.PTransform):
    """Two combiners that Beam's runners may make one of."""

    def annotations(self):
        return {python_urns.APPLY_COMBINER_PACKING: b""}

    def expand(self, keyed):
        return {
            "sum": keyed | "Sum" >> beam.CombinePerKey(own_types.Sum()),
            "most": keyed | "Most" >> beam.CombinePerKey(own_types.Most()),
        }


def beside(number, window=beam.DoFn.WindowParam, side=()):
    return f"beside {window.color} {number} {sorted(side)}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", required=True)
    options, rest = parser.parse_known_args()
    rest.append("--experiments=pre_optimize=none")  # or they are packed here already
    with beam.Pipeline(options=PipelineOptions(rest)) as pipeline:
        numbers = (
            pipeline
            | beam.Create(range(20))
            | "Time" >> beam.Map(lambda number: beam.window.TimestampedValue(number, number))
        )
        windows = numbers | "Own windows" >> beam.WindowInto(own_types.Colors())
        keyed = windows | "Key" >> beam.Map(key)
        by_color = numbers | beam.WindowInto(own_types.MergedColors()) | "K" >> beam.Map(key)
        combined = keyed | Packed()
        few = windows | beam.Filter(lambda number: number in (3, 17))
        found = (
            keyed | beam.GroupByKey() | "Show groups" >> beam.Map(show("group")),
            combined["sum"] | "Show sums" >> beam.Map(show("sum")),
            combined["most"] | "Show most" >> beam.Map(show("most")),
            by_color | "Merge" >> beam.GroupByKey() | "Show merged" >> beam.Map(show("merged")),
            few | beam.Map(beside, side=beam.pvalue.AsIter(windows)),
            keyed | beam.ParDo(own_types.AtTheEnd()),
        )
        (
            [each | str(n) >> beam.WindowInto(GlobalWindows()) for n, each in enumerate(found)]
            | beam.Flatten()
            | beam.io.WriteToText(options.output, num_shards=1)
        )


if __name__ == "__main__":
    main()
'''

SOURCES = {
    "pipeline.py": PIPELINE,
    "deeds.py": DEEDS,
    "own_types.py": OWN_TYPES,
    "own_windows.py": OWN_WINDOWS,
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
