"""How tensors move to a simulated GPU: nothing leaves the CPU's memory."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.overrides import TorchFunctionMode

from template.model import BaseModel, Images
from template.models.fashion_mnist import FashionMnistModel
from template.tensors import to_device


class PretendedGpu(TorchFunctionMode):
    """Records what moves to "cuda", and leaves it where it is."""

    def __init__(self):
        super().__init__()
        self.moves = []
        self._pinned = {}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.pin_memory:
            pinned = args[0].clone()
            self._pinned[id(pinned)] = pinned
            return pinned
        if function is torch.Tensor.to and "cuda" in args[1:]:
            tensor = args[0]
            how = "pinned" if id(tensor) in self._pinned and kwargs["non_blocking"] else "waits"
            self.moves.append((tensor.dtype, tuple(tensor.shape), how))
            return tensor
        if kwargs.get("device") == "cuda":  # such as those of torch.tensor
            kwargs["device"] = "cpu"
        return function(*args, **kwargs)


class Picture(BaseModel):
    images = Images((2, 3), mean=0.5, std=(0.1, 0.2, 0.3))


PICTURES = pd.DataFrame(
    {"image": list(np.random.default_rng(1).integers(0, 256, (4, 2, 3, 3), dtype=np.uint8))}
)


def test_images_move_as_bytes_from_pinned_memory_and_are_cast_there():
    model = Picture("none")
    wanted = model.images(PICTURES)
    model.device = "cuda"
    with PretendedGpu() as gpu:
        found = model.images(PICTURES)
    assert gpu.moves == [(torch.uint8, (4, 2, 3, 3), "pinned")]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["image", "columns"])
def test_the_built_in_model_moves_bytes(weights, kind):
    pixels = np.random.default_rng(2).integers(0, 256, (5, 784), dtype=np.uint8)
    if kind == "image":
        df = pd.DataFrame({"image": list(pixels.reshape(5, 28, 28))})
    else:
        df = pd.DataFrame(pixels, columns=[f"pixel{n}" for n in range(1, 785)])
    model = FashionMnistModel(str(weights))
    wanted = model.predict(df)
    model.device = "cuda"
    with PretendedGpu() as gpu:
        found = model.predict(df)
    ((dtype, shape, how),) = gpu.moves
    assert (dtype, shape[0], int(np.prod(shape)), how) == (torch.uint8, 5, 5 * 784, "pinned")
    pd.testing.assert_frame_equal(found, wanted)


def test_what_is_there_already_or_stays_on_the_cpu_is_not_pinned():
    rows = torch.ones(2)
    with PretendedGpu() as gpu:
        assert to_device(rows, "cpu") is rows
    assert gpu.moves == []
