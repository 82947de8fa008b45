"""The builds of torch."""

from __future__ import annotations

import datetime
import json
from importlib import resources

import pytest

from launcher.accelerators.catalogue import load_catalogue
from launcher.errors import InputError
from launcher.image.flavours import default_flavour, find_flavour, load_flavours


def test_the_default_is_on_pypi():
    assert find_flavour(default_flavour()).is_on_pypi


def test_the_others_differ_by_their_version():
    versions = [flavour.torch_version for flavour in load_flavours()]
    assert len(set(versions)) == len(versions)
    of_torch = filter(None, versions)
    assert {version.partition("+")[0] for version in of_torch} == {"2.13.0"}


def test_an_image_without_torch_takes_any_build_of_what_a_project_brings():
    flavour = find_flavour("no-torch")
    assert flavour.torch_version is None
    assert flavour.is_on_pypi
    assert flavour.has_build("0.28.0+cu130")


def test_the_facts_are_dated_and_have_sources():
    document = json.loads(resources.files("launcher.image").joinpath("flavours.json").read_text())
    datetime.date.fromisoformat(document["updated"])
    assert all(source.startswith("https://") for source in document["sources"])


def test_the_catalogue_knows_which_gpus_and_drivers_each_runs_on():
    catalogue = load_catalogue()
    for flavour in load_flavours():
        if flavour.cuda_version:
            assert catalogue.find_build(flavour.name) is not None
            assert catalogue.find_minimum_driver(flavour.cuda_version) is not None


def test_an_unknown_flavour():
    with pytest.raises(InputError, match=r"--flavour 'cu131': one of cu130, .* mean 'cu130'"):
        find_flavour("cu131")
