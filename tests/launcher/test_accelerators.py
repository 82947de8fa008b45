"""How accelerators are read and encoded."""

from __future__ import annotations

import pytest

from launcher import Accelerator, InputError
from launcher.accelerators import encode_worker_accelerator


@pytest.mark.parametrize(
    ("text", "accelerator", "encoded"),
    [
        (
            "nvidia-l4:1",
            Accelerator("nvidia-l4"),
            "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver",
        ),
        (
            "nvidia-tesla-t4",
            Accelerator("nvidia-tesla-t4", 1),
            "worker_accelerator=type:nvidia-tesla-t4;count:1;install-nvidia-driver",
        ),
        (
            "nvidia-tesla-a100:2:latest",
            Accelerator("nvidia-tesla-a100", 2, "latest"),
            "worker_accelerator=type:nvidia-tesla-a100;count:2;install-nvidia-driver:latest",
        ),
    ],
)
def test_read_and_encoded(text, accelerator, encoded):
    assert Accelerator.parse(text) == accelerator
    assert encode_worker_accelerator(accelerator) == encoded


@pytest.mark.parametrize("text", ["", "NVIDIA L4", "nvidia-l4:0", "nvidia-l4:x", "a:1:b:c", "a;b"])
def test_another_form_is_refused(text):
    with pytest.raises(InputError, match=r"expected TYPE.*for example nvidia-l4:1"):
        Accelerator.parse(text)
