"""Windows, coders, keys and combiners from a module that only the template's image has."""

from __future__ import annotations

import importlib.util

from tests.launcher.emulator.runtime.conftest import Bench


def test_the_executor_runs_what_its_own_python_cannot_import(bench: Bench) -> None:
    assert importlib.util.find_spec("own_types") is None
    output = "gs://staging/own/result"
    journal = bench.run("own_windows.py", "own-windows", parameters={"output": output})
    assert journal.states[-1] == "JOB_STATE_DONE", journal.texts()
    lines = bench.store.read("staging", "own/result-00000-of-00001").decode().splitlines()
    windows = [
        (color, key, [n for n in range(start, start + 5) if n % 2 == (color == "odd")])
        for start, key in ((0, "low"), (5, "high"), (10, "low"), (15, "high"))
        for color in ("odd", "even")
    ]
    expected = [
        line
        for color, key, numbers in windows
        for line in (
            f"group {key} {color} {numbers}",
            f"kept {key} {color} {numbers}",
            f"sum {key} {color} {sum(numbers)}",
            f"most {key} {color} {max(numbers)}",
        )
    ]
    expected += [
        f"merged {key} {color} {sorted(first + second)}"
        for (color, key, first), (_, _, second) in zip(windows[:4], windows[4:], strict=True)
    ]
    expected += [
        "beside odd 3 [1, 3, 5, 7, 9]",
        "beside odd 17 [11, 13, 15, 17, 19]",
    ]
    assert sorted(lines) == sorted(expected)
