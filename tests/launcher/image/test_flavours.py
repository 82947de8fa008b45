"""The builds of torch, and which GPU runs which."""

from __future__ import annotations

import datetime
import json
from importlib import resources

import pytest

from launcher.errors import InputError
from launcher.image.flavours import default_flavour, find_flavour, load_flavours


def test_the_default_is_on_pypi():
    assert find_flavour(default_flavour()).is_on_pypi


def test_the_others_are_told_apart_by_their_version():
    versions = [flavour.torch_version for flavour in load_flavours()]
    assert len(set(versions)) == len(versions)
    assert {version.partition("+")[0] for version in versions} == {"2.13.0"}


def test_the_facts_are_dated_and_have_sources():
    document = json.loads(resources.files("launcher.image").joinpath("flavours.json").read_text())
    datetime.date.fromisoformat(document["updated"])
    assert all(source.startswith("https://") for source in document["sources"].values())


@pytest.mark.parametrize(
    ("flavour", "capability", "runs"),
    [
        ("cu130", "7.5", True),  # T4
        ("cu130", "8.9", True),  # L4, on code for 8.6
        ("cu130", "12.0", True),  # RTX PRO 6000
        ("cu130", "13.0", True),  # compiled from PTX
        ("cu130", "7.0", False),  # V100
        ("cu130", "6.1", False),  # P4
        ("cu126", "6.0", True),  # P100
        ("cu126", "6.1", True),  # P4
        ("cu126", "7.0", True),  # V100
        ("cu126", "9.0", True),  # H100
        ("cu126", "12.0", False),
    ],
)
def test_which_gpu_runs_which(flavour, capability, runs):
    assert find_flavour(flavour).runs_on(capability) is runs


def test_the_cpu_flavour_runs_on_no_gpu():
    assert not find_flavour("cpu").runs_on("8.9")


def test_an_unknown_flavour():
    with pytest.raises(InputError, match=r"--flavour 'cu131': one of cu130, .* mean 'cu130'"):
        find_flavour("cu131")
