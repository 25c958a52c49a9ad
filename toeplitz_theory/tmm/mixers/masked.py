"""The dense mixer: any lower-triangular matrix over time, of which the Toeplitz matrices are a few."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from transformers import initialization as init

from toeplitz_theory.tmm.cache import MixerHistory
from toeplitz_theory.tmm.inputs import Place
from toeplitz_theory.tmm.mixers.mixing import HeadedMixer, add_biases, biases_of


class MaskedKernel(nn.Module):
    """``weight`` (n, n), used below and on its diagonal, and ``bias`` (n,)."""

    bias: Tensor | None

    def __init__(self, n: int, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n, n))
        self.bias = nn.Parameter(torch.empty(n)) if bias else None

    @torch.no_grad()
    def draw(self, kind: str) -> None:
        """Draw entries as Toeplitz taps of the same lag are drawn; zero what is not used, and the bias."""
        n = len(self.weight)
        init.normal_(self.weight, std=math.sqrt(2 / n))
        entries = self.weight.tril()
        if kind == "decaying":
            time = torch.arange(n, device=entries.device)
            entries = entries / (1 + (time[:, None] - time).clamp_min(0)).sqrt()
        init.copy_(self.weight, entries)
        if self.bias is not None:
            init.zeros_(self.bias)


class FlatMaskedMixer(MaskedKernel):
    """One matrix over time for all channels of the stream."""

    def __init__(self, config):
        super().__init__(config.max_position_embeddings, config.mixer_bias)

    def forward(self, x: Tensor, place: Place, history: MixerHistory | None = None) -> Tensor:
        return mix_masked(x, [self], place, history)


class HeadedMaskedMixer(HeadedMixer):
    """One matrix over time for each head."""

    def __init__(self, config):
        super().__init__(config, lambda: MaskedKernel(config.max_position_embeddings, config.mixer_bias))

    def forward(self, x: Tensor, place: Place, history: MixerHistory | None = None) -> Tensor:
        return self.out_proj(mix_masked(self.project(x, place), list(self.mixer_heads), place, history))


def build_masked(config) -> nn.Module:
    """Return the dense mixer of a configuration."""
    return FlatMaskedMixer(config) if config.num_heads == 1 else HeadedMaskedMixer(config)


def mix_masked(x: Tensor, heads: list, place: Place, history: MixerHistory | None) -> Tensor:
    """Return ``tril(W_h) x + b_h`` at the new positions of ``x`` (B, t, H c)."""
    t = x.shape[1]
    seen = (x if history is None else history.extend(x)).unflatten(2, (len(heads), -1))
    total = seen.shape[1]
    weights = torch.stack([head.weight for head in heads])
    if place.attention_mask is None:
        rows = weights[:, total - t : total, :total].tril(total - t)
        y = torch.einsum("hts,bshc->bthc", rows, seen)
    else:
        # Rows that are padded differently stand at different positions, and so meet different entries.
        keys = (place.attention_mask.long().cumsum(1) - 1).clamp(0, weights.shape[-1] - 1)
        rows = weights[:, place.positions[:, :, None], keys[:, None, :]].tril(total - t)
        y = torch.einsum("hbts,bshc->bthc", rows, seen)
    return add_biases(y.flatten(2), biases_of(heads), place.positions)
