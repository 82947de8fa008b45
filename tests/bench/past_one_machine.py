"""Compute what 100 million photographs and a billion rows would take on Dataflow's machines.

``python -m tests.bench.past_one_machine`` prints a table from the CPU seconds that a picture and a
row cost in ``results/``, from the published speed of each card (``cards.json``) and from the
machines of the launcher's catalogue. launcher/README.md shows the table.

The formulas: a machine predicts as many pictures a second as its cards can predict or its vCPUs can
decode, whichever is less, ``min(cards * speed, vcpus / cpu_sec_per_picture)``; the cards wait for
the rest of the time. Worker-hours are pictures / rate / 3600. A vCPU is assumed to be as fast as a
core of the measured machine; a worker's start takes no time.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.accelerators.catalogue import MachineType, find_machine_type, load_catalogue
from tests.bench.results import FOLDER, summarize_pictures, summarize_tables

PICTURES = 100_000_000
ROWS = 1_000_000_000
CARDS = Path(__file__).with_name("cards.json")
_ROW_MACHINE = "n1-standard-4"
_CASE = "imagenet, free model, 1 core"
_DECODINGS = {"equal pixels": "flexpack", "fast": "flexpack fast"}
_FORMATS = {"idx": "IDX images", "csv": "CSV", "parquet": "Parquet"}


@dataclass(frozen=True)
class Costs:
    """Measured CPU seconds for decoding and feeding a picture, and for a row with a small model."""

    pictures: Mapping[str, float]
    rows: Mapping[str, float]
    measured: str


def load_costs(folder: Path = FOLDER) -> Costs:
    """Read the figures of ``make bench-pictures`` and ``make bench-tables``."""
    pictures, tables = (
        json.loads((folder / name).read_text()) for name in ("pictures.json", "tables.json")
    )
    sides = summarize_pictures(pictures)[_CASE]
    return Costs(
        {
            name: sides[side]["cpu_sec"] / sides[side]["pictures"]
            for name, side in _DECODINGS.items()
        },
        {
            name: found["flexpack"]["row_us"] / 1e6
            for name, found in summarize_tables(tables).items()
        },
        f"{pictures['machine']}, {pictures['date']}",
    )


def predict_per_second(machine: MachineType, cards: int, speed: float, cpu_sec: float) -> float:
    """Return how many pictures a second a machine predicts."""
    return min(cards * speed, machine.vcpus / cpu_sec)


def find_waiting(machine: MachineType, cards: int, speed: float, cpu_sec: float) -> float:
    """Return the share of the time, from 0 to 1, that the cards wait for pictures."""
    return 1 - predict_per_second(machine, cards, speed, cpu_sec) / (cards * speed)


def find_balance(machines: tuple[MachineType, ...], speed: float, cpu_sec: float) -> MachineType:
    """Return the smallest machine whose card never waits, or otherwise the largest one."""
    feeding = (each for each in machines if each.vcpus / cpu_sec >= speed)
    return next(feeding, machines[-1])


def build_table(costs: Costs, cards: Mapping[str, Any]) -> str:
    """Return the tables as Markdown."""
    return "\n".join([*_picture_lines(costs, cards), "", *_row_lines(costs)])


def _picture_lines(costs: Costs, cards: Mapping[str, Any]) -> Iterator[str]:
    equal, fast = costs.pictures.values()
    yield (
        "100 million photographs of about 500x375 pixels, ResNet-50, one card a worker. Decoding "
        f"and feeding one takes {1000 * equal:.2f} CPU-ms, {1000 * fast:.2f} if fast "
        f"({costs.measured}):"
    )
    yield ""
    yield (
        "| card, published pictures/s | machine | vCPUs | pictures/s | card waits | worker-hours "
        "| fast: pictures/s | card waits | worker-hours | vCPUs that keep it busy |"
    )
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    sources = []
    for card in cards["cards"]:
        accelerator = load_catalogue().find(card["type"])
        assert accelerator is not None
        machines = accelerator.find_machines(1)
        for speed in card["speeds"]:
            rate = speed["imagesPerSecond"]
            sources.append(f"[card-{len(sources) + 1}]: {speed['source']}")
            balanced = (find_balance(machines, rate, cpu_sec) for cpu_sec in (equal, fast))
            for machine in sorted({machines[0], *balanced}, key=lambda each: each.vcpus):
                cells = [
                    f"{card['type'].removeprefix('nvidia-')}, [{rate:,.0f}, {speed['how']}]"
                    f"[card-{len(sources)}]",
                    f"`{machine.name}`",
                    f"{machine.vcpus}",
                ]
                for cpu_sec in (equal, fast):
                    fed = predict_per_second(machine, 1, rate, cpu_sec)
                    cells += [
                        f"{fed:,.0f}",
                        f"{find_waiting(machine, 1, rate, cpu_sec):.0%}",
                        f"{PICTURES / fed / 3600:,.1f}",
                    ]
                needed = (f"{math.ceil(rate * cpu_sec):,}" for cpu_sec in (equal, fast))
                yield "| " + " | ".join([*cells, ", ".join(needed)]) + " |"
    yield ""
    yield from sources


def _row_lines(costs: Costs) -> Iterator[str]:
    machine = find_machine_type(_ROW_MACHINE)
    assert machine is not None
    yield f"A billion rows with a small model on the CPU, workers of `{machine.name}`:"
    yield ""
    yield "| rows | CPU-us a row | rows/s of a worker | worker-hours |"
    yield "|---|---:|---:|---:|"
    for name, cpu_sec in costs.rows.items():
        rate = machine.vcpus / cpu_sec
        cells = (f"{1e6 * cpu_sec:.1f}", f"{rate:,.0f}", f"{ROWS / rate / 3600:,.1f}")
        yield f"| {_FORMATS[name]} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the figures")
    arguments = parser.parse_args()
    table = build_table(load_costs(arguments.results), json.loads(CARDS.read_text()))
    print(table)


if __name__ == "__main__":
    main()
