"""Sizes, read from OCI layouts."""

from __future__ import annotations

import gzip
import hashlib
import json

import pytest

from launcher.errors import ImageError
from launcher.image.flavours import find_flavour
from launcher.image.size import (
    ImageSize,
    Layer,
    check_size,
    describe_step,
    name_layers,
    read_size,
)

STEPS = [
    {"created_by": "/bin/sh -c #(nop) ADD file:12 in / "},
    {"created_by": "/bin/sh -c #(nop) ENV A=B", "empty_layer": True},
    {"created_by": "|1 FLAVOUR=cpu /bin/sh -c --mount=type=cache,target=/x pip install"},
]


@pytest.fixture
def write_layout(tmp_path):
    def blob(data, media_type="application/octet-stream"):
        value = hashlib.sha256(data).hexdigest()
        folder = tmp_path / "blobs" / "sha256"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / value).write_bytes(data)
        return {"digest": f"sha256:{value}", "size": len(data), "mediaType": media_type}

    def document(record):
        return blob(json.dumps(record).encode())

    def write(layers, *, nested=False):
        config = document({"history": STEPS})
        manifest = document({"config": config, "layers": [blob(data) for data in layers]})
        if nested:
            manifest = document({"manifests": [manifest]})
        (tmp_path / "index.json").write_text(json.dumps({"manifests": [manifest]}))
        return tmp_path

    return write


@pytest.mark.parametrize("nested", [False, True])
def test_layers_have_two_sizes_and_a_maker(write_layout, nested):
    data = [b"a" * 10_000, b"b" * 2_000_000]
    packed = [gzip.compress(layer) for layer in data]
    size = read_size(write_layout(packed, nested=nested))
    assert size.layers == (
        Layer(STEPS[0]["created_by"], len(packed[0]), 10_000),
        Layer(STEPS[2]["created_by"], len(packed[1]), 2_000_000),
    )
    assert (size.compressed_bytes, size.unpacked_bytes) == (sum(map(len, packed)), 2_010_000)
    assert size.is_exact


def test_layers_that_are_not_compressed_are_estimated(write_layout):
    size = read_size(write_layout([b"a" * 1_000_000]))
    assert size.unpacked_bytes == 1_000_000
    assert 0 < size.compressed_bytes < 10_000
    assert not size.is_exact


def test_what_is_no_layout(tmp_path):
    with pytest.raises(ImageError, match="not an OCI layout"):
        read_size(tmp_path)


def size_of(compressed_gb, unpacked_gb):
    layer = Layer("RUN pip install", round(compressed_gb * 1e9), round(unpacked_gb * 1e9))
    return ImageSize((layer,), is_exact=True)


@pytest.mark.parametrize(
    ("compressed_gb", "unpacked_gb", "disk_size_gb"),
    [(0.6, 2.0, 50), (3.09, 5.7, 50), (10, 20.4, 60), (10, 25, 60), (10, 25.1, 70)],
)
def test_the_disk_has_room_for_all(compressed_gb, unpacked_gb, disk_size_gb):
    assert size_of(compressed_gb, unpacked_gb).disk_size_gb == disk_size_gb


def test_an_image_over_its_budget_is_a_warning():
    flavour = find_flavour("cu130")
    assert check_size(size_of(3.09, 5.7), flavour) == []
    (finding,) = check_size(size_of(6, 12), flavour)
    assert finding.severity == "WARNING"
    assert "6.00 GB compressed; the budget of cu130 is 3.5 GB" in finding.message
    assert "pip install" in finding.message


@pytest.mark.parametrize(
    "steps",
    [
        (
            "/bin/sh",
            "/bin/sh -c #(nop) COPY multi:0a in /opt/flexpack/build/ ",
            "|1 FLAVOUR=cpu /bin/sh -c --mount=a python install.py /opt/flexpack/locks/torch.txt",
            "/bin/sh -c #(nop) COPY dir:0a in /opt/apache/beam ",
            "/bin/sh -c #(nop) COPY dir:0a in /opt/ ",
            "/bin/sh -c #(nop) COPY dir:0a in /opt/ ",
        ),
        (
            "# debian.sh",
            "COPY docker/check_base.py docker/install.py /opt/flexpack/build/ # buildkit",
            "RUN /bin/sh -c python install.py /opt/flexpack/locks/torch.txt # buildkit",
            "COPY /opt/apache/beam /opt/apache/beam # buildkit",
            "COPY /code/kit/ /opt/ # buildkit",
            "COPY /code/own/ /opt/ # buildkit",
        ),
    ],
    ids=["buildah", "docker"],
)
def test_layers_are_named_by_what_they_hold(steps):
    base, _, *names = name_layers([Layer(step, 1, 1) for step in steps])
    assert base == "the base image"
    assert names == [
        "torch and its CUDA libraries",
        "Beam's boot program",
        "flexpack's code",
        "your code",
    ]


def test_the_layers_of_another_dockerfile_are_its_instructions():
    assert name_layers([Layer("RUN apt-get update", 1, 1)]) == ["RUN apt-get update"]


@pytest.mark.parametrize(
    ("created_by", "text"),
    [
        (STEPS[0]["created_by"], "ADD to /"),
        (STEPS[2]["created_by"], "pip install"),
        ("RUN /bin/sh -c apt-get update # buildkit", "apt-get update"),
        ("COPY template /opt/x # buildkit", "COPY template /opt/x"),
        ("", "(base image)"),
    ],
)
def test_steps_are_shown_as_they_were_written(created_by, text):
    assert describe_step(created_by) == text
