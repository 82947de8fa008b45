"""Measures photographs: a raw loop, flexpack, Daft and Ray Data side by side: make bench-pictures.

All sides read the same JPEG files, resize them to 224x224 (bilinear, ignoring proportions) before
the model sees them, and return a value for each. With the *free* model, which sums pixels, only
decoding and feeding cost time; the sums show which sides have the pixels of the loop. The *real*
one is EfficientNet-Lite0. Every side first has one thread on one core, then two workers on two
cores. Two workers are two processes for the loop; for flexpack they are two workers of the local
Dataflow, measured from the launch to the job's end, and also two threads of one process, as on a
worker with a GPU. The fast side of flexpack lets the JPEG decoder halve large pictures and torch
resize them. Rounds are interleaved. Figures are medians for all processes of a side together,
measured after its start and a first run on a few pictures. Ratios are taken within the same round.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import pictures
from tests.bench.environments import SYSTEMS, EnvironmentMissingError, make_environment
from tests.bench.plot import plot_pictures
from tests.bench.results import summarize_pictures
from tests.bench.rounds import Round, run_rounds
from tests.bench.side import SideFailedError, measure

_FOLDER = Path("build/bench")
_EXACT = ("flexpack", "flexpack threads")
_HERE = [sys.executable, "-m", "tests.bench.pictures_sides"]


@dataclass(frozen=True)
class Case:
    """What one comparison predicts, and on how many cores."""

    size: str
    model: str
    workers: int
    sides: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.size}, {self.model} model, {self.workers} core{'s'[: self.workers - 1]}"


CASES = (
    Case("imagenet", "free", 1, ("raw", "flexpack", "flexpack fast", "daft", "ray")),
    Case("imagenet", "free", 2, ("raw", "flexpack", "flexpack threads", "daft", "ray")),
    Case("imagenet", "real", 1, ("raw", "flexpack", "flexpack fast", "daft", "ray")),
    Case("imagenet", "real", 2, ("raw", "flexpack", "flexpack threads", "daft", "ray")),
    Case("12-megapixels", "free", 1, ("raw", "flexpack", "flexpack fast", "daft", "ray")),
)


def compare(case: Case, folder: Path, pythons: Mapping[str, Path]) -> Round:
    """Run each side once, and check that it gave a value for each picture."""
    names = {path.name for path in folder.glob("*.jpg")}
    found: Round = {}
    expected: dict[str, int] = {}
    for side in case.sides:
        if side in SYSTEMS and side not in pythons:
            continue
        with tempfile.TemporaryDirectory(prefix="flexpack-bench-") as output:
            command = _command(side, case, pythons)
            (figures,) = measure([*command, str(folder), output], cores=case.workers)
            values = read_values(Path(output))
        if values.keys() != names:
            raise SideFailedError(f"{side} gave {len(values)} values for {len(names)} pictures")
        expected = expected or values
        alike = sum(values[name] == value for name, value in expected.items()) / len(names)
        if side in _EXACT and alike != 1:
            raise SideFailedError(f"{case.name}: {side} gives the loop's values for {alike:.1%}")
        differences = [abs(values[name] / value - 1) for name, value in expected.items() if value]
        found[side] = {
            **figures,
            "pictures": len(names),
            "same_values": alike,
            "brightness_off": statistics.mean(differences) if case.model == "free" else 0.0,
        }
    return found


def _command(side: str, case: Case, pythons: Mapping[str, Path]) -> list[str]:
    if side in SYSTEMS:
        program = Path(__file__).with_name(f"pictures_{side}.py")
        return [str(pythons[side]), str(program), case.model, str(case.workers)]
    if side == "flexpack fast":
        return [*_HERE, "flexpack", f"fast {case.model}", str(case.workers)]
    return [*_HERE, side.split()[-1], case.model, str(case.workers)]


def read_values(output: Path) -> dict[str, int]:
    """Return the value of each picture, by its file name."""
    rows = [
        json.loads(line)
        for path in output.glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return {Path(row["key"]).name: row["value"] for row in rows}


def show(results: Mapping[str, Any]) -> None:
    """Print a table of each case."""
    print(f"\n{results['date']}, {results['machine']}; medians")
    for case, sides in summarize_pictures(results).items():
        rounds = results["rounds"][case]
        print(f"\n{case}: {sides['raw']['pictures']:,.0f} pictures, {len(rounds)} rounds, "
              f"load {min(each['load'] for each in rounds)} to "
              f"{max(each['load'] for each in rounds)}")  # fmt: skip
        print(f"{'':17}{'CPU ms':>9}{'CPU s':>9}{'wall s':>9}{'of raw, CPU':>13}"
              f"{'of raw, wall':>14}{'peak MiB':>10}{'same values':>13}{'brightness off':>16}"
              f"{'start-up CPU s':>16}")  # fmt: skip
        for side, run in sides.items():
            print(f"{side:17}{1000 * run['cpu_sec'] / run['pictures']:9.2f}{run['cpu_sec']:9.2f}"
                  f"{run['wall_sec']:9.2f}{run['of_raw_cpu']:13.2f}{run['of_raw_wall']:14.2f}"
                  f"{run['peak_mib']:10.0f}{run['same_values']:13.1%}"
                  f"{run['brightness_off']:16.3%}{run['startup_cpu_sec']:16.1f}")  # fmt: skip
    for reason in results["given"]["missing"].values():
        print(f"\nnot measured: {reason}")


def make_cases(
    folder: Path, counts: Mapping[str, int], cases: Mapping[str, Case], pythons: Mapping[str, Path]
) -> dict[str, Callable[[], Round]]:
    """Write missing pictures that the cases need, and return the functions that run the cases."""
    runs: dict[str, Callable[[], Round]] = {}
    for name, case in cases.items():
        count = counts["real" if case.model == "real" else case.size]
        place = folder / f"{case.size}-{count}"
        if not place.exists():
            print(f"  writing {count:,} pictures of {case.size}", file=sys.stderr)
            with tempfile.TemporaryDirectory(dir=folder) as unfinished:
                written = Path(unfinished, place.name)
                pictures.write_pictures(written, count, pictures.SIZES[case.size])
                written.rename(place)
        runs[name] = functools.partial(compare, case, place, pythons)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=6000, help="for the free model")
    parser.add_argument("--real", type=int, default=400, help="pictures for the real model")
    parser.add_argument("--large", type=int, default=60, help="pictures of 12 megapixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="begin no case after so many")
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES])
    parser.add_argument("--without", nargs="*", choices=SYSTEMS, default=[], help="systems")
    parser.add_argument("--json", type=Path, default=_FOLDER / "pictures.json")
    parser.add_argument("--plot", type=Path, help="default: beside --json")
    parser.add_argument("--show", action="store_true", help="print what the file --json holds")
    arguments = parser.parse_args()
    plot = arguments.plot or arguments.json.with_suffix(".svg")
    if arguments.show:
        results = json.loads(arguments.json.read_text())
        show(results)
        plot_pictures(summarize_pictures(results), plot)
        return

    pythons, missing = {}, {}
    for system in SYSTEMS.keys() - set(arguments.without):
        try:
            pythons[system] = make_environment(system, _FOLDER / system)
        except EnvironmentMissingError as error:
            missing[system] = str(error)
            print(f"  {error}", file=sys.stderr)
    cores = len(os.sched_getaffinity(0))
    cases = {
        case.name: case
        for case in CASES
        if case.workers <= cores and case.name in (arguments.cases or [case.name])
    }
    counts = {
        "imagenet": arguments.pictures,
        "real": arguments.real,
        "12-megapixels": arguments.large,
    }
    folder = _FOLDER / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    runs = make_cases(folder.resolve(), counts, cases, pythons)
    try:
        results = run_rounds(
            arguments.json,
            {"pictures": counts, "systems": SYSTEMS, "missing": missing},
            runs,
            rounds=arguments.rounds,
            seconds=arguments.seconds,
        )
    except SideFailedError as error:
        sys.exit(str(error))
    show(results)
    plot_pictures(summarize_pictures(results), plot)


if __name__ == "__main__":
    main()
