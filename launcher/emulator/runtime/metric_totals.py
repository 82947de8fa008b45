"""Sums metrics over several executors of one job, each of which counts from zero.

The records are ``MetricUpdate``:
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/MetricUpdate
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from launcher.emulator.runtime.events import Updates

_MEAN = "MeanByteCount"


def add_metrics(earlier: Updates, present: Updates) -> Updates:
    """Return the sums of the metrics of an executor that has ended and of its successor.

    A mean without its count cannot be added up, so the successor's mean stands for both.
    """
    totals = {_identity(update): update for update in earlier}
    for update in present:
        identity = _identity(update)
        totals[identity] = _add(totals[identity], update) if identity in totals else update
    return list(totals.values())


def _identity(update: Mapping[str, Any]) -> str:
    return json.dumps(update["name"], sort_keys=True)


def _add(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    if one["name"]["name"] == _MEAN:
        return other
    if "scalar" in one:
        return {**other, "scalar": one["scalar"] + other["scalar"]}
    filled = [each["distribution"] for each in (one, other) if each["distribution"]["count"]]
    if len(filled) < 2:
        return {**other, "distribution": (filled or [other["distribution"]])[0]}
    count, total = (sum(each[name] for each in filled) for name in ("count", "sum"))
    return {
        **other,
        "distribution": {
            "count": count,
            "sum": total,
            "min": min(each["min"] for each in filled),
            "max": max(each["max"] for each in filled),
            "mean": total / count,
        },
    }
