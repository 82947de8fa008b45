"""Entry file of a template that uses much of Beam's batch model, one feature per line."""

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.coders import VarIntCoder
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import trigger, window
from apache_beam.transforms.userstate import (
    BagStateSpec,
    CombiningValueStateSpec,
    TimeDomain,
    TimerSpec,
    on_timer,
)

NUMBERS = 400


class Options(PipelineOptions):
    @classmethod
    def _add_argparse_args(cls, parser):
        parser.add_argument("--output")


class Numbers(beam.RestrictionProvider):
    def initial_restriction(self, count):
        return OffsetRange(0, count)

    def create_tracker(self, restriction):
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, count, restriction):
        return restriction.size()


class Count(beam.DoFn):
    """Yields numbers with their remainder modulo 2, a hundred at a time, and defers the rest."""

    def process(self, count, tracker=beam.DoFn.RestrictionParam(Numbers())):  # noqa: B008
        start = tracker.current_restriction().start
        for number in range(start, count + 1):
            if not tracker.try_claim(number):
                return
            yield number % 2, number
            if number == start + 99:
                tracker.defer_remainder()
                return


class Remember(beam.DoFn):
    """Counts and keeps the numbers of a key, and reports them when the input has ended."""

    COUNT = CombiningValueStateSpec("count", sum)
    KEPT = BagStateSpec("kept", VarIntCoder())
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def process(
        self,
        element,
        count=beam.DoFn.StateParam(COUNT),  # noqa: B008 - Beam's way
        kept=beam.DoFn.StateParam(KEPT),  # noqa: B008
        end=beam.DoFn.TimerParam(END),  # noqa: B008
    ):
        count.add(1)
        kept.add(element[1])
        end.set(window.GlobalWindow().max_timestamp())

    @on_timer(END)
    def tell(
        self,
        count=beam.DoFn.StateParam(COUNT),  # noqa: B008
        kept=beam.DoFn.StateParam(KEPT),  # noqa: B008
    ):
        yield f"state {count.read()} {sum(kept.read())}"


def part(number):
    yield pvalue.TaggedOutput("odd", number) if number % 2 else number


def add_sides(number, total, counts, evens, counted):
    return f"sides {total} {counts[0]} {len(evens)} {len([*counted[number % 2]])}"


def main():
    options = PipelineOptions()
    with beam.Pipeline(options=options) as pipeline:
        counted = pipeline | beam.Create([NUMBERS]) | beam.ParDo(Count())
        numbers = counted | beam.Values() | beam.Reshuffle()
        parts = numbers | "Part" >> beam.FlatMap(part).with_outputs("odd", main="even")
        total = numbers | "Total" >> beam.CombineGlobally(sum)
        by_two = numbers | "ByTwo" >> beam.Map(lambda number: (number % 2, number))
        counts = by_two | "CountByTwo" >> beam.combiners.Count.PerKey()
        sides = (
            parts.odd
            | "AddSides"
            >> beam.Map(
                add_sides,
                pvalue.AsSingleton(total),
                pvalue.AsDict(counts),
                pvalue.AsList(parts.even),
                pvalue.AsMultiMap(counted),
            )
            | beam.Distinct()
        )
        joined = (
            {"counts": counts, "numbers": by_two}
            | beam.CoGroupByKey()
            | "TellJoined"
            >> beam.MapTuple(
                lambda key, found: f"joined {key} {[*found['counts']]} {len([*found['numbers']])}"
            )
        )
        windowed = (
            by_two
            | beam.Map(lambda pair: window.TimestampedValue(pair, pair[1]))
            | beam.WindowInto(
                window.FixedWindows(NUMBERS // 2),
                trigger=trigger.AfterWatermark(),
                accumulation_mode=trigger.AccumulationMode.DISCARDING,
            )
            | beam.GroupByKey()
            | "TellWindowed" >> beam.MapTuple(lambda key, found: f"window {key} {sum(found)}")
            | "Global" >> beam.WindowInto(window.GlobalWindows())
        )
        remembered = by_two | beam.ParDo(Remember())
        batched = (
            by_two
            | beam.GroupIntoBatches(150)
            | "TellBatches" >> beam.MapTuple(lambda key, batch: f"batch {key} {len(batch)}")
        )
        large = (
            by_two
            | "Large" >> beam.MapTuple(lambda key, _: (key, bytes(50_000)))
            | "GroupLarge" >> beam.GroupByKey()
            | "TellLarge" >> beam.MapTuple(lambda key, found: f"large {key} {sum(map(len, found))}")
        )
        (
            (sides, joined, windowed, remembered, batched, large)
            | beam.Flatten()
            | beam.io.WriteToText(options.view_as(Options).output)
        )


if __name__ == "__main__":
    main()
