"""Trains the built-in model on drawn garments and writes the files that a job needs.

``python -m template.demo.train DIRECTORY`` writes ``garments-images-idx3-ubyte.gz``,
``garments-labels-idx1-ubyte.gz`` (1,000 images that the network has not seen) and ``garments.pth``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from template.demo.garments import Images, draw_garments, write_idx
from template.models.fashion_mnist_network import FashionMnistNetwork

IMAGES_NAME = "garments-images-idx3-ubyte.gz"
LABELS_NAME = "garments-labels-idx1-ubyte.gz"
WEIGHTS_NAME = "garments.pth"

_TRAINING_IMAGES = 4000
_TEST_IMAGES = 1000
_TRAINING_SEED = 1
_TEST_SEED = 2


def train_network(images: Images, labels: Images, *, epochs: int = 6) -> FashionMnistNetwork:
    """Train the network from scratch.

    Args:
        images: uint8 (count, 28, 28).
        labels: uint8 (count,).
        epochs: passes over the images.
    """
    torch.set_num_threads(1)  # on a busy machine, several threads would wait for each other
    torch.manual_seed(0)
    network = FashionMnistNetwork()
    # The recipe's network ends in a ReLU: a class whose output starts negative for every image
    # would never learn.
    nn.init.constant_(network.linear_relu_stack[-2].bias, 1.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    pixels = torch.from_numpy(images).float() / 255
    classes = torch.from_numpy(labels).long()
    for _ in range(epochs):
        for rows in torch.randperm(len(pixels)).split(100):
            loss = nn.functional.cross_entropy(network(pixels[rows]), classes[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()
    return network


def measure_accuracy(network: FashionMnistNetwork, images: Images, labels: Images) -> float:
    """Return the share of images, from 0 to 1, whose class the network predicts correctly."""
    with torch.inference_mode():
        predicted = network(torch.from_numpy(images).float() / 255).argmax(1)
    return float((predicted == torch.from_numpy(labels)).float().mean())


def write_demo_files(directory: Path) -> float:
    """Draw, train and write the three files; return the accuracy on the written images."""
    directory.mkdir(parents=True, exist_ok=True)
    images, labels = draw_garments(_TEST_IMAGES, seed=_TEST_SEED)
    network = train_network(*draw_garments(_TRAINING_IMAGES, seed=_TRAINING_SEED))
    write_idx(directory / IMAGES_NAME, images)
    write_idx(directory / LABELS_NAME, labels)
    partial = directory / f"{WEIGHTS_NAME}.partial"  # the weights come last and atomically:
    torch.save(network.state_dict(), partial)  # if they exist, so do the other files
    partial.rename(directory / WEIGHTS_NAME)
    return measure_accuracy(network, images, labels)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    accuracy = write_demo_files(arguments.directory)
    print(f"trained on {_TRAINING_IMAGES} drawn garments; accuracy on {_TEST_IMAGES} others "
          f"{accuracy:.3f}; files in {arguments.directory}")  # fmt: skip
