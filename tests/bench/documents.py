"""The generated parts of documents, from ``results/``: figures, targets and estimates.

``python -m tests.bench.documents`` writes them between their marks; a test compares them. After a
new measurement, put the JSON of the bench into ``results/`` and run it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import past_one_machine
from tests.bench.results import FOLDER, find_shares, summarize_pictures, summarize_tables

_ROOT = Path(__file__).parents[2]
_NAMES = {
    "raw": "raw Pillow loop",
    "flexpack": "**flexpack**",
    "flexpack fast": "**flexpack**, fast",
    "flexpack threads": "**flexpack**, one process",
    "daft": "Daft",
    "ray": "Ray Data",
}
_FORMATS = {"idx": "IDX to JSON Lines", "csv": "CSV to CSV", "parquet": "Parquet to Parquet"}
_LOOPS = {
    "json": "torch, writing with json",
    "orjson": "torch, writing with orjson",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "flexpack": "**flexpack**",
}
_WANTED = {"idx": 0.98, "csv": 0.85, "parquet": 0.90}
_FREE, _FREE_2 = "imagenet, free model, 1 core", "imagenet, free model, 2 cores"
_LEAST_SHARED_SEC = 1.0  # of CPU; what less work shows of its shares is noise
_LARGE = "12-megapixels, free model, 1 core"


@dataclass(frozen=True)
class Aim:
    """A ratio that flexpack should reach; ``measured`` is None if the case was not measured."""

    name: str
    wanted: float
    measured: float | None
    most: bool = False

    @property
    def verdict(self) -> str:
        """Whether it was reached, or by how much it was missed."""
        if self.measured is None:
            return "not measured"
        off = round(self.measured, 2) / self.wanted - 1
        reached = off <= 0 if self.most else off >= 0
        return "reached" if reached else f"missed by {abs(off):.0%}"


def read_results(name: str) -> dict[str, Any]:
    """Return what a file of results holds."""
    results: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return results


def build_sections() -> dict[Path, dict[str, str]]:
    """Return the text of each part by its document and the name of its marks."""
    pictures, tables = read_results("pictures"), read_results("tables")
    paper = past_one_machine.build_table(
        past_one_machine.load_costs(), json.loads(past_one_machine.CARDS.read_text())
    )
    return {
        _ROOT / "tests/README.md": {
            "photographs": "\n".join(_picture_lines(pictures)),
            "rows": "\n".join(_row_lines(tables)),
            "growth": "\n".join(_growth_lines(read_results("growth"))),
            "aims": "\n".join(_aim_lines(list(find_aims(pictures, tables)))),
        },
        _ROOT / "launcher/README.md": {"past one machine": paper},
    }


def _picture_lines(results: Mapping[str, Any]) -> Iterator[str]:
    for case, sides in summarize_pictures(results).items():
        rounds = results["rounds"][case]
        loads = [each["load"] for each in rounds]
        yield (
            f"| {case}: {sides['raw']['pictures']:,.0f} pictures, {_count(rounds)}, load "
            f"{min(loads):.0f} to {max(loads):.0f} | CPU-ms a picture | of the loop, CPU | wall s "
            "| of the loop, wall | peak memory | same values |"
        )
        yield "|---|---:|---:|---:|---:|---:|---:|"
        for side, run in sides.items():
            cells = (
                _NAMES[side],
                f"{1000 * run['cpu_sec'] / run['pictures']:.2f}",
                f"{run['of_raw_cpu']:.2f}",
                f"{run['wall_sec']:.1f}",
                f"{run['of_raw_wall']:.2f}",
                f"{run['peak_mib']:,.0f} MiB",
                f"{run['same_values']:.1%}",
            )
            yield f"| {' | '.join(cells)} |"
        yield ""
    yield f"Measured {results['date']} on {results['machine']}."


def _row_lines(results: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "| | loop | CPU-us a row | flexpack's share of its slope | extra us a row of model time "
        "to reach the target | constant, CPU s | peak memory |"
    )
    yield "|---|---|---:|---:|---:|---:|---:|"
    for file_format, sides in summarize_tables(results).items():
        for side, run in sides.items():
            cells = (
                _FORMATS[file_format],
                _LOOPS[side],
                f"{run['row_us']:.2f}",
                f"{run['flexpack_of_it']:.2f}",
                _find_model_cost(run["row_us"], sides["flexpack"]["row_us"], _WANTED[file_format]),
                f"{run['constant_sec']:.2f}",
                f"{run['peak_mib']:,.0f} MiB",
            )
            yield f"| {' | '.join(cells)} |"
    rounds = min(filter(None, results["rounds"].values()), key=len)
    loads = [each["load"] for found in results["rounds"].values() for each in found]
    sizes = ", ".join(f"{size:,}" for size in results["given"]["sizes"])
    yield ""
    yield (
        f"Measured {results['date']} on {results['machine']}: {_count(rounds)} of {sizes} rows, "
        f"load {min(loads):.0f} to {max(loads):.0f}."
    )


def _growth_lines(results: Mapping[str, Any]) -> Iterator[str]:
    cases = {case: rounds[0]["sides"] for case, rounds in results["rounds"].items()}
    yield "| | rows | 1 worker, wall s | 2 workers, wall s | times as fast | even share |"
    yield "|---|---:|---:|---:|---:|---:|"
    for file_format, name in _FORMATS.items():
        alone, shared = (cases[f"{file_format}, rows, {workers} workers"] for workers in (1, 2))
        smallest, *sizes = shared
        for size in sizes:
            least, most = find_shares(shared[size], shared[smallest])
            share = f"{least / most:.2f}" if most >= _LEAST_SHARED_SEC else ""
            walls = alone[size]["wall_sec"], shared[size]["wall_sec"]
            yield (
                f"| {name} | {int(size):,} | {walls[0]:.1f} | {walls[1]:.1f} "
                f"| {walls[0] / walls[1]:.2f} | {share} |"
            )
    yield ""
    blocks = {name: cases[f"{each}, rows of a block"] for each, name in _FORMATS.items()}
    sizes = list(next(iter(blocks.values())))
    yield f"| CPU s with blocks of | {' | '.join(f'{int(size):,} rows' for size in sizes)} |"
    yield f"|---{'|---:' * len(sizes)}|"
    for name, runs in blocks.items():
        seconds = (f"{runs[size]['cpu_sec']:.2f}" for size in sizes)
        yield f"| {name} | {' | '.join(seconds)} |"
    yield ""
    yield "| small files | CPU-ms a file | wall s | peak memory |"
    yield "|---:|---:|---:|---:|"
    for count, run in cases["small files"].items():
        yield (
            f"| {int(count):,} | {1000 * run['cpu_sec'] / int(count):.2f} | {run['wall_sec']:.1f} "
            f"| {run['peak_mib']:,.0f} MiB |"
        )
    yield ""
    loads = [found["load"] for rounds in results["rounds"].values() for found in rounds]
    yield (
        f"Measured {results['date']} on {results['machine']}: one round, load {min(loads):.0f} to "
        f"{max(loads):.0f}."
    )


def _find_model_cost(loop_us: float, our_us: float, wanted: float) -> str:
    """Return how much more a model must cost for ``loop / ours`` to reach the target."""
    return f"{max(0.0, (wanted * our_us - loop_us) / (1 - wanted)):.1f}"


def find_aims(pictures: Mapping[str, Any], tables: Mapping[str, Any]) -> Iterator[Aim]:
    """Yield the ratios that flexpack should reach, with the measured ones."""
    cases, formats = summarize_pictures(pictures), summarize_tables(tables)

    def share(case: str, side: str, other: str, figure: str = "cpu_sec") -> float | None:
        runs = cases.get(case, {})
        return runs[other][figure] / runs[side][figure] if {side, other} <= runs.keys() else None

    yield Aim("the raw loop's CPU, equal pixels", 0.95, share(_FREE, "flexpack", "raw"))
    yield Aim("the same, fast", 1.2, share(_FREE, "flexpack fast", "raw"))
    yield Aim("the same, fast, 12 megapixels", 3.0, share(_LARGE, "flexpack fast", "raw"))
    for other, wanted in (("daft", 1.5), ("ray", 2.5)):
        yield Aim(f"{_NAMES[other]}'s CPU", wanted, share(_FREE, "flexpack", other))
        yield Aim(f"{_NAMES[other]}'s CPU, fast", wanted, share(_FREE, "flexpack fast", other))
    for side, name in (("flexpack", "workers"), ("flexpack threads", "threads")):
        for other in ("daft", "ray"):
            for figure, what in (("wall_sec", "wall time"), ("peak_mib", "peak memory")):
                text = f"{_NAMES[other]}'s {what} on 2 cores, two {name}"
                yield Aim(text, 1.0, share(_FREE_2, side, other, figure))
    for file_format, sides in formats.items():
        for loop in (each for each in sides if each not in ("flexpack", "orjson")):
            name = f"{_FORMATS[file_format]}, slope of {_LOOPS[loop]}"
            yield Aim(name, _WANTED[file_format], sides[loop]["flexpack_of_it"])
    for file_format, sides in formats.items():
        constant = sides["flexpack"]["constant_sec"]
        yield Aim(f"{_FORMATS[file_format]}, constant in CPU s", 0.35, constant, most=True)


def _aim_lines(aims: list[Aim]) -> Iterator[str]:
    yield "| flexpack against | wanted | measured | |"
    yield "|---|---:|---:|---|"
    for aim in aims:
        measured = "" if aim.measured is None else f"{aim.measured:.2f}"
        bound = "at most " if aim.most else ""
        yield f"| {aim.name} | {bound}{aim.wanted:.2f} | {measured} | {aim.verdict} |"


def _count(rounds: list[Any]) -> str:
    return f"medians of {len(rounds)} rounds" if len(rounds) > 1 else "one round"


def place(text: str, name: str, part: str) -> str:
    """Return a document with a part between its marks.

    Raises:
        ValueError: it lacks the marks.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if begin not in text or end not in text:
        raise ValueError(f"the document has no part {begin} ... {end}")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{part}\n{end}{rest.partition(end)[2]}"


def build_document(path: Path, parts: Mapping[str, str]) -> str:
    """Return a document with all of its parts."""
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = place(text, name, part)
    return text


def main() -> None:
    for path, parts in build_sections().items():
        path.write_text(build_document(path, parts), encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
