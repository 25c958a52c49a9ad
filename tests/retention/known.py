"""Models whose memory is known: hidden states that are written down, not learned."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn


class Known(nn.Module):
    """A causal model with one layer after the embedding: ``layer`` maps (B, t, d) to (B, t, e)."""

    def __init__(self, layer, vocab=32, width=8, length=64, seed=0):
        super().__init__()
        self.config = SimpleNamespace(vocab_size=vocab, max_position_embeddings=length)
        table = np.random.default_rng(seed).standard_normal((vocab, width))
        table -= table.mean(axis=0)
        # Uniform tokens have exactly the covariance 1.
        values, vectors = np.linalg.eigh(table.T @ table / vocab)
        table = table @ vectors / np.sqrt(values)
        self.table = nn.Parameter(torch.tensor(table, dtype=torch.float32))
        self.layer = layer

    def forward(self, input_ids, output_hidden_states=False, use_cache=None):
        embedded = self.table[input_ids]
        return SimpleNamespace(hidden_states=(embedded, self.layer(embedded)))


def delayed(x, k):
    """Move (B, t, d) by k steps, zeros before the beginning."""
    return torch.nn.functional.pad(x, (0, 0, k, 0))[:, : x.shape[1]]


def delay_line(x):
    """Five dimensions of the token itself, and two of the token three back."""
    return torch.cat([x[..., :5], delayed(x, 3)[..., 5:7]], dim=-1)


def noise(x):
    return torch.randn(
        x.shape, generator=torch.Generator().manual_seed(int(1e6 * float(x.abs().sum())) % 2**31)
    )


def convolution(taps):
    def layer(x):
        return sum(w * delayed(x, k) for k, w in enumerate(taps))

    return layer
