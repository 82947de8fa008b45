"""The fuzzing rig makes the right inputs and misses no failure."""

import random
import sqlite3
import sys
from contextlib import closing

import pytest

from tests.fuzz.apis import Apis
from tests.fuzz.check import check_input
from tests.fuzz.commands import Commands
from tests.fuzz.hostile import spoil_json
from tests.fuzz.mutate import make_input
from tests.fuzz.runner import Plan, run
from tests.fuzz.seeds import seeds

WORKER = """
import json, os, sys, time
arguments = sys.argv
first, step = map(int, arguments[arguments.index("--worker") + 1 :])
for number in range(first, int(arguments[arguments.index("--inputs") + 1]), step):
    print(json.dumps({"begin": number}), flush=True)
    if number == 4:
        print(json.dumps({"number": 4, "problem": "ValueError"}), flush=True)
    if number == 5:
        os.abort()
    if number == 8:
        time.sleep(60)
"""


def test_what_ends_or_stops_a_worker_is_known_and_the_rest_is_read():
    command = (sys.executable, "-c", WORKER)
    outcome = run(Plan(inputs=12, max_seconds=2, command=command))
    assert outcome.read == 12
    assert outcome.failures == [
        (4, "ValueError"),
        (5, "the process ended with -6"),
        (8, "no end in 2 seconds"),
    ]


def test_one_input_is_read_however_slow_the_machine_is():
    command = (sys.executable, "-c", WORKER)
    outcome = run(Plan(inputs=1, seconds=0, command=command))
    assert (outcome.read, outcome.failures) == (1, [])


def test_inputs_are_the_same_every_time_and_of_every_format():
    inputs = [make_input("1", number) for number in range(200)]
    assert inputs == [make_input("1", number) for number in range(200)]
    assert {format_ for format_, _ in inputs} == set(seeds())
    assert len({data for _, data in inputs}) > 150


def test_well_formed_inputs_pass(tmp_path):
    for format_, inputs in seeds().items():
        for number, data in enumerate(inputs):
            check_input(format_, data, number, tmp_path)


def test_what_is_spoiled_depends_on_nothing_before():
    def spoil_all():
        value = {"a": {"b": "c"}, "d": []}
        return [spoil_json(random.Random(str(number)), value) for number in range(1000)]

    assert spoil_all() == spoil_all()


def test_requests_are_answered_and_their_listings_too(tmp_path):
    with closing(Apis(tmp_path)) as apis:
        for number in range(150):
            apis.check("tests", number)


def test_an_answer_of_500_fails(tmp_path):
    with closing(Apis(tmp_path)) as apis:
        with sqlite3.connect(tmp_path / "jobs.sqlite3") as jobs:
            jobs.execute("DROP TABLE jobs")
        with pytest.raises(AssertionError, match="500"):
            apis.check("tests", 0)


def test_commands_end_without_a_traceback(tmp_path):
    with closing(Commands(tmp_path)) as commands:
        for number in range(25):
            commands.check("tests", number)


def test_a_traceback_fails(tmp_path, monkeypatch):
    def fail(arguments):
        raise RecursionError

    monkeypatch.setattr("tests.fuzz.commands.main", fail)
    with closing(Commands(tmp_path)) as commands, pytest.raises(RecursionError):
        commands.check("tests", 0)
