"""Statistics of recorded rounds: medians, ratios, and lines through sizes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.side import Figures

FOLDER = Path(__file__).with_name("results")
"""Where the figures are that the documents give."""


def summarize_pictures(results: Mapping[str, Any]) -> dict[str, dict[str, Figures]]:
    """Return medians by case and side, with the ratios to the raw loop of the same round."""
    summary: dict[str, dict[str, Figures]] = {}
    for case, rounds in results["rounds"].items():
        for side in rounds[0]["sides"] if rounds else ():
            runs = [found["sides"][side] for found in rounds]
            raw = [found["sides"]["raw"] for found in rounds]
            ratios = {
                f"of_raw_{figure}": median_ratio(
                    [run[f"{figure}_sec"] for run in raw], [run[f"{figure}_sec"] for run in runs]
                )
                for figure in ("cpu", "wall")
            }
            summary.setdefault(case, {})[side] = {**medians(runs), **ratios}
    return summary


def find_shares(run: Mapping[str, Any], smallest: Mapping[str, Any]) -> tuple[float, float]:
    """Return the CPU seconds of a job's least and most busy workers, less those of a tiny job."""
    idle = statistics.mean(smallest["workers_cpu_sec"])
    least, *_, most = sorted(used - idle for used in run["workers_cpu_sec"])
    return least, most


def fit(runs: Sequence[Figures]) -> tuple[float, float]:
    """Return CPU-seconds per row, and the CPU-seconds that do not depend on the rows."""
    slope, constant = np.polyfit([run["rows"] for run in runs], [run["cpu_sec"] for run in runs], 1)
    return float(slope), float(constant)


def summarize_tables(results: Mapping[str, Any]) -> dict[str, dict[str, Figures]]:
    """Return the figures of each side of each format."""
    summary: dict[str, dict[str, Figures]] = {}
    for file_format, rounds in results["rounds"].items():
        if not rounds:
            continue
        fits = {
            side: [fit(found["sides"][side]) for found in rounds] for side in rounds[0]["sides"]
        }
        ours = [slope for slope, _ in fits["flexpack"]]
        summary[file_format] = {
            side: {
                "row_us": float(np.median([slope for slope, _ in lines])) * 1e6,
                "constant_sec": float(np.median([constant for _, constant in lines])),
                "flexpack_of_it": median_ratio([slope for slope, _ in lines], ours),
                "largest_cpu_sec": medians([found["sides"][side][-1] for found in rounds])[
                    "cpu_sec"
                ],
                "peak_mib": medians([found["sides"][side][-1] for found in rounds])["peak_mib"],
            }
            for side, lines in fits.items()
        }
    return summary


def medians(runs: Sequence[Figures]) -> Figures:
    """Return the median of each figure."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median of the ratios within each round."""
    return statistics.median(
        over / under for over, under in zip(numerators, denominators, strict=True)
    )
