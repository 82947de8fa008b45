"""The network of the Fashion-MNIST classifier; imports torch."""

from __future__ import annotations

import torch
from torch import nn


class FashionMnistNetwork(nn.Module):
    """784-512-512-10 with a ReLU after every layer, including the last."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(
            nn.Linear(28 * 28, 512),
            nn.ReLU(),
            nn.Linear(512, 512),
            nn.ReLU(),
            nn.Linear(512, 10),
            nn.ReLU(),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 10) for float images (N, 1, 28, 28) or (N, 784)."""
        logits: torch.Tensor = self.linear_relu_stack(self.flatten(images))
        return logits
