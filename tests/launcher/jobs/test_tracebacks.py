"""The last traceback of a log: the user's own frames, and all lines of its exception."""

from __future__ import annotations

import pytest

import template
from launcher.jobs.tracebacks import (
    find_exception,
    find_last_traceback,
    find_own_place,
    leave_out_libraries,
    shorten_tracebacks,
)

CONSOLE = """\
INFO:root:starting
Traceback (most recent call last):
  File "/template/first.py", line 1, in <module>
    import first
ModuleNotFoundError: No module named 'first'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/template/main.py", line 42, in <module>
    import sendgrid
ModuleNotFoundError: No module named 'sendgrid'
python failed with exit status 1
Error: Template launch failed: exit status 1
"""


def test_the_last_traceback_is_cut_out():
    assert find_last_traceback(CONSOLE) == (
        "Traceback (most recent call last):\n"
        '  File "/template/main.py", line 42, in <module>\n'
        "    import sendgrid\n"
        "ModuleNotFoundError: No module named 'sendgrid'"
    )
    assert find_last_traceback("nothing of the kind") == ""


def test_the_frames_of_libraries_are_left_out():
    traceback = """\
Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 604, in invoke_setup
  File "/usr/lib/python3.11/site-packages/apache_beam/utils/shared.py", line 289, in acquire
    return self._acquire()
           ^^^^^^^^^^^^^^^
  File "/template/model.py", line 2, in load_model
    helper()
  File "/usr/lib/python3.11/site-packages/helper.py", line 1, in helper
    raise ValueError("no")
ValueError: no"""
    assert (
        leave_out_libraries(traceback)
        == """\
Traceback (most recent call last):
  ... 2 frames of libraries
  File "/template/model.py", line 2, in load_model
    helper()
  File "/usr/lib/python3.11/site-packages/helper.py", line 1, in helper
    raise ValueError("no")
ValueError: no"""
    )
    assert leave_out_libraries("ValueError: no") == "ValueError: no"


FRAMES = """\
Traceback (most recent call last):
  File "/template/model.py", line 2, in load_model
    import sendgrid
"""


def test_the_last_frame_of_each_traceback_stays():
    frames = """  File "/usr/lib/python3.11/site-packages/helper.py", line 7, in run
  File "/usr/lib/python3.11/site-packages/helper.py", line 9, in walk
    raise {0}("no")
{0}: no"""
    chain = "\n\nThe above exception was the direct cause of the following exception:\n\n"
    head = "Traceback (most recent call last):\n"
    text = f"{head}{frames.format('KeyError')}{chain}{head}{frames.format('ValueError')} (again)"
    short = "  ... 1 frame of libraries"
    assert leave_out_libraries(text) == "\n".join(
        short if line.endswith("in run") else line for line in text.splitlines()
    )


@pytest.mark.parametrize(
    "message",
    [
        "ValueError: Pipeline has validations errors: \nInvalid GCS path: x\nMissing option: y.",
        "RuntimeError: Error(s) in loading state_dict for Linear:\n"
        "\tsize mismatch for weight: copying a param\n\tsize mismatch for bias: another",
        "UnpicklingError: Weights only load failed.\n\t(1) Set it to False.\n\n"
        "\t(2) Allow the class.",
    ],
    ids=["options", "state-dict", "weights-only"],
)
def test_an_exception_has_all_its_lines(message):
    log = f"I1129 starting\n{FRAMES}{message}\n2026-11-29 12:00:00 INFO: end\n"
    assert find_last_traceback(log) == f"{FRAMES}{message}"
    assert find_exception(find_last_traceback(log)) == message
    assert find_last_traceback(f"{FRAMES}{message}\n\nThe job will be cancelled.") == (
        f"{FRAMES}{message}"
    )


KIT = template.__path__[0]
FAILED_CALL = """\
predict raised KeyError: 'weightkg' (logged once; dead letters hold the text)
Traceback (most recent call last):
  File "/venv/lib/python3.11/site-packages/pandas/core/indexes/base.py", line 3812, in get_loc
    return self._engine.get_loc(casted_key)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "pandas/_libs/index.pyx", line 167, in pandas._libs.index.IndexEngine.get_loc
KeyError: 'weightkg'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/orders/orders/model.py", line 37, in predict
    weight = df["weightkg"]
             ~~^^^^^^^^^^^^
  File "/venv/lib/python3.11/site-packages/pandas/core/frame.py", line 4107, in __getitem__
    indexer = self.columns.get_loc(key)
KeyError: 'weightkg' [Predict/RunInference]"""


def test_a_warning_has_the_users_own_line_and_the_exception_once():
    assert shorten_tracebacks(FAILED_CALL) == (
        "predict raised KeyError: 'weightkg' (logged once; dead letters hold the text)\n"
        '  File "/orders/orders/model.py", line 37, in predict\n'
        '    weight = df["weightkg"]\n'
        "             ~~^^^^^^^^^^^^"
    )


def test_the_place_to_look_is_the_users_last_frame():
    assert find_own_place(FAILED_CALL) == "/orders/orders/model.py, line 37, in predict"
    assert find_own_place(f'  File "{KIT}/files.py", line 20, in download\n') == ""


def test_an_error_without_a_line_of_the_user_has_its_exception():
    text = f"""\
Error message from worker: Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1498, in process
  File "{KIT}/files.py", line 20, in download
    raise ValueError("no")
ValueError: no
(attempt 1 of 4)"""
    assert shorten_tracebacks(text) == (
        "Error message from worker:\nValueError: no\n(attempt 1 of 4)"
    )
    assert shorten_tracebacks("Worker pool stopped.") == "Worker pool stopped."


@pytest.mark.parametrize("kit", [KIT, "/opt/flexpack/template"], ids=["local", "image"])
def test_the_kits_own_frames_are_left_out(kit):
    traceback = f"""\
Traceback (most recent call last):
  File "{kit}/inference.py", line 7, in load
    return self._load()
  File "/orders/orders/model.py", line 27, in load_model
    network.load_state_dict(weights)
  File "{kit}/files.py", line 9, in __exit__
    raise error
RuntimeError: size mismatch"""
    _, left_out, *rest = leave_out_libraries(traceback).splitlines()
    assert left_out == "  ... 1 frame of libraries"
    assert rest == traceback.splitlines()[3:]
