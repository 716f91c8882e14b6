"""A Vision Transformer of Hugging Face's `transformers`, built from its configuration, on 8x8 digits."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from transformers import ViTConfig, ViTForImageClassification

from mpsearch import BaselineRecipe, Task, task_from

CONFIG = {
    "image_size": 8,
    "patch_size": 2,
    "num_channels": 1,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


class Logits(nn.Module):
    """What a task needs of a model: one tensor in, one tensor out."""

    def __init__(self, vit: ViTForImageClassification) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.vit(pixel_values=images).logits


def vit_digits() -> Task:
    """Shape: images (N, 1, 8, 8) in [-1, 1] -> logits (N, 10)."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    parts = [(images[chosen], labels[chosen]) for chosen in order.split([1000, 400, 397])]
    torch.manual_seed(0)
    return task_from(
        Logits(ViTForImageClassification(ViTConfig(num_labels=10, **CONFIG))),
        parts,
        name="vit-digits",
        baseline=BaselineRecipe(
            epochs=30, batch_size=50, optimizer="adam", learning_rate=2e-3, weight_decay=0.05
        ),
    )
