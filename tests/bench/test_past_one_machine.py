"""How long a card waits, and which machine keeps it busy."""

import json

import pytest

from launcher.accelerators.catalogue import MachineType, load_catalogue
from tests.bench import past_one_machine as paper

_CARDS = json.loads(paper.CARDS.read_text())


def _machine(vcpus):
    return MachineType(name=f"machine-{vcpus}", vcpus=vcpus, memory_gb=1, gpus=1)


def test_a_card_waits_for_what_its_machine_does_not_decode():
    # 4 vCPUs at 4 ms a picture decode 1,000 a second.
    assert paper.predict_per_second(_machine(4), 1, 5000, 0.004) == pytest.approx(1000)
    assert paper.find_waiting(_machine(4), 1, 5000, 0.004) == pytest.approx(0.8)
    assert paper.find_waiting(_machine(32), 1, 5000, 0.004) == 0


def test_the_smallest_machine_that_feeds_a_card_balances_it():
    machines = tuple(map(_machine, (4, 8, 16)))
    assert paper.find_balance(machines, 1500, 0.004).vcpus == 8
    assert paper.find_balance(machines, 90_000, 0.004).vcpus == 16


def test_each_card_is_one_of_the_catalogue_and_has_a_source():
    for card in _CARDS["cards"]:
        assert load_catalogue().find(card["type"])
        for speed in card["speeds"]:
            assert speed["imagesPerSecond"] > 0
            assert speed["source"].startswith("https://")
