"""Bar charts of the results of ``bench_pictures.py``, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.bench.side import Figures

_FIGURES = {"cpu": "CPU ms a picture", "wall": "wall ms a picture", "peak": "peak memory, MiB"}
_COLOURS = {
    "raw": "#9aa0a6",
    "flexpack": "#1a73e8",
    "flexpack fast": "#8ab4f8",
    "flexpack threads": "#8ab4f8",
    "daft": "#e8710a",
    "ray": "#9334e6",
}


def plot_pictures(summary: Mapping[str, Mapping[str, Figures]], path: Path) -> None:
    """Draw a row of three charts for each case."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "flexpack"  # the same figures give the same file
    from matplotlib import pyplot

    if not summary:
        return
    chart, rows = pyplot.subplots(
        len(summary), len(_FIGURES), figsize=(11, 1.9 * len(summary)), squeeze=False
    )
    for (case, sides), axes in zip(summary.items(), rows, strict=True):
        names = list(sides)[::-1]
        for (figure, title), axis in zip(_FIGURES.items(), axes, strict=True):
            values = [_value(sides[name], figure) for name in names]
            bars = axis.barh(names, values, color=[_COLOURS[name] for name in names])
            labels = [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in values]
            axis.bar_label(bars, labels, padding=2, fontsize=8)
            axis.margins(x=0.15)
            axis.set_title(f"{case}\n{title}", fontsize=9)
            axis.tick_params(labelsize=8)
            axis.spines[["top", "right"]].set_visible(False)
    chart.tight_layout()
    chart.savefig(path, metadata={"Date": None})
    pyplot.close(chart)
    print(f"chart: {path}")


def _value(run: Figures, figure: str) -> float:
    if figure == "peak":
        return run["peak_mib"]
    return 1000 * run[f"{figure}_sec"] / run["pictures"]
