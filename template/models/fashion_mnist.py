"""The Fashion-MNIST classifier: the built-in model, which you can copy for your own.

Pixels are scaled like torchvision's ``ToTensor``: uint8 / 255 as float32, not normalised. An image
of another size is resized without cropping, as the images of Fashion-MNIST were.

torch is imported only where it is used, so that a launcher, which also imports this module,
starts a second faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from template.files import download_file_to_localfs
from template.model import BaseModel, Images
from template.tensors import is_tensor, to_device

if TYPE_CHECKING:
    import torch

    from template.models.fashion_mnist_network import FashionMnistNetwork

_SHOWN_PROBLEMS = 3

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_CLASS_NAMES = np.array(CLASSES, dtype=object)
_PIXELS = 28 * 28
_PIXEL_COLUMNS = [f"pixel{number}" for number in range(1, _PIXELS + 1)]


class FashionMnistModel(BaseModel):
    """Classifies images of 28 x 28 grey values from 0 to 255.

    ``predict`` reads column ``image`` or, without one, the columns pixel1 to pixel784 of Kaggle's
    Fashion-MNIST CSV. It returns ``class_index``, ``class_name`` and ``score``, the softmax
    probability of the class.
    """

    images = Images(size=28, mode="L", fit="pad")

    def load_model(self, path: str, **opts: Any) -> FashionMnistNetwork:
        """Load a ``state_dict``.

        Raises:
            ValueError: the file holds no weights, or another network's.
        """
        import torch

        from template.models.fashion_mnist_network import FashionMnistNetwork

        with download_file_to_localfs(path) as local:
            try:
                state = torch.load(local, map_location="cpu", weights_only=True, **opts)
            except Exception as error:  # an unpickler may raise anything
                raise ValueError(
                    f"{path}: holds no weights that load safely; "
                    "write them with torch.save(model.state_dict(), path)"
                ) from error
        network = FashionMnistNetwork()
        _check_state(state, network.state_dict(), path)
        network.load_state_dict(state)
        network.to(self.device).eval()
        return network

    def predict(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return class_index, class_name and score for each row."""
        import torch

        network = self.ensure_model()
        with torch.inference_mode():
            if "image" in df:
                images = self.images(df)
            else:
                pixels = to_device(torch.from_numpy(_pixel_columns(df)), self.device)
                images = pixels.to(torch.float32).div_(255)
            scores, indices = network(images).softmax(dim=1).max(dim=1)
        class_index = indices.cpu().numpy()
        columns = {
            "class_index": class_index,
            "class_name": _CLASS_NAMES[class_index],
            "score": scores.cpu().numpy(),
        }
        return pd.DataFrame(columns, copy=False)


def _check_state(state: Any, expected: dict[str, torch.Tensor], path: str) -> None:
    if not isinstance(state, dict):
        raise ValueError(f"{path}: holds a {type(state).__name__}, not a state_dict")  # noqa: TRY004
    problems = [f"missing {key}" for key in expected if key not in state]
    problems += [f"unexpected {key}" for key in state if key not in expected]
    problems += [
        f"{key} is {_shape(state[key])}, not {_shape(tensor)}"
        for key, tensor in expected.items()
        if key in state and _shape(state[key]) != _shape(tensor)
    ]
    if problems:
        more = len(problems) - _SHOWN_PROBLEMS
        raise ValueError(
            f"{path}: not the weights of this network, the built-in model's; other weights need "
            "the class of their network: --model_class=module:Class. The weights: "
            f"{'; '.join(problems[:_SHOWN_PROBLEMS])}{f' and {more} more' if more > 0 else ''}"
        )


def _shape(value: Any) -> Any:
    return tuple(value.shape) if is_tensor(value) else type(value).__name__


def _pixel_columns(df: pd.DataFrame) -> np.ndarray:
    """Return the columns of pixels as (N, 784)."""
    missing = [column for column in _PIXEL_COLUMNS if column not in df]
    if missing:
        raise ValueError(
            f"neither a column image nor {missing[0]} ({len(missing)} of the "
            f"{_PIXELS} pixel columns are missing)"
        )
    pixels = df[_PIXEL_COLUMNS].to_numpy()
    if pixels.dtype.kind not in "uif":
        raise ValueError(f"pixels of type {pixels.dtype}: not numbers")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError("a pixel is missing or not finite")
    return pixels
