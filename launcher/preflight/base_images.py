"""Reads from a public image's name which Python, Beam and programs the image holds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from launcher.preflight.image_rules import BOOT, LAUNCHER

_BEAM_SDK = re.compile(r"(?:^|/)beam_python(?P<python>3\.\d+|\$[^:@/]*)_sdk(?::(?P<tag>[^@]+))?")
_LAUNCHER = re.compile(
    r"/(?:python(?P<major>3)?(?P<minor>\d\d?)?-template-launcher-base|flex-template-launcher-image)"
)
_PYTHON = re.compile(r"(?:^|/)python:(?P<python>3\.\d+)")
_BEAM_TAG = re.compile(r"\d+\.\d+\.\d+(?:\.?(?:rc|dev)\d*)?")
_CUDA = re.compile(
    r"(?:^|/)(?P<name>nvidia/cuda|cuda|pytorch/pytorch|nvidia/pytorch)(?::(?P<tag>[^@]*))?"
)
# Images whose only Python is the one from the distribution's package manager.
_DISTRIBUTION = re.compile(
    r"(?:^|/)(ubuntu|debian|nvidia/cuda|cuda|rockylinux|almalinux)(?=[:@]|$)"
)
# Images that hold neither of Beam's programs for Python.
_OTHERS = re.compile(
    r"""(?x)
    ^(docker\.io/)?(library/)?[a-z0-9._-]+ (?=[:@]|$)        # Docker's official ones
    | (^|/)(nvidia|pytorch|tensorflow|continuumio|mambaorg|condaforge|astral-sh|rayproject)/
    | (^|/)(distroless|deeplearning-platform-release)/
    | (^|/)(arm64v8|amd64|arm32v7)/
    """
)
_OTHER_PROCESSOR = re.compile(r"(?:^|/)(?P<name>arm64v8|arm32v[5-7]|i386|ppc64le|s390x)/")


@dataclass(frozen=True)
class BaseImage:
    """What an image holds, judging by its name.

    Attributes:
        text: the name; a build argument without a value is ``$NAME``.
        programs: which of ``BOOT`` and ``LAUNCHER`` it holds.
        is_known: whether the name says what the image holds.
        entrypoint: the program that it starts, if it is one of these.
        is_distribution: whether its only Python is its distribution's.
    """

    text: str
    python: str | None = None
    beam: str | None = None
    programs: tuple[str, ...] = ()
    is_known: bool = True
    entrypoint: str | None = None
    is_distribution: bool = False

    @property
    def cuda_tag(self) -> str | None:
        """The tag of an image with CUDA's libraries; None for any other image."""
        match = _CUDA.search(self.text)
        return (match["tag"] or "") if match else None

    @property
    def processor(self) -> str | None:
        """The processor of Docker's images for other processors than amd64."""
        match = _OTHER_PROCESSOR.search(self.text)
        return match["name"] if match else None

    def holds(self, program: str) -> bool | None:
        """Return whether the image holds a program; None if that is unknown."""
        return program in self.programs if self.is_known else None


def read_base_image(text: str) -> BaseImage:
    """Return what an image holds, from its name."""
    if match := _BEAM_SDK.search(text):
        version = _BEAM_TAG.match(match["tag"] or "")
        python = match["python"] if match["python"].startswith("3") else None
        return BaseImage(text, python, version[0] if version else None, (BOOT,), entrypoint=BOOT)
    if match := _LAUNCHER.search(text):
        python = f"3.{match['minor']}" if match["major"] and match["minor"] else None
        return BaseImage(text, python, programs=(LAUNCHER,), entrypoint=LAUNCHER)
    if match := _PYTHON.search(text):
        return BaseImage(text, match["python"])
    name = text.partition("@")[0].rpartition("/")[2].partition(":")[0]
    is_known = "$" not in text.rpartition("/")[0] + name and bool(_OTHERS.search(text))
    return BaseImage(text, is_known=is_known, is_distribution=bool(_DISTRIBUTION.search(text)))
