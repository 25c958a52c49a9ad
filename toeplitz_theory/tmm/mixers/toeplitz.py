"""Toeplitz mixers: flat, with heads, expanded, over channels; positive, row-normalised, frozen."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from toeplitz_theory.tmm.cache import MixerHistory
from toeplitz_theory.tmm.inputs import Place
from toeplitz_theory.tmm.mixers.kernels import ToeplitzKernel
from toeplitz_theory.tmm.mixers.mixing import HeadedMixer, add_biases, biases_of, mix_heads, mix_stage

# The places of the two kernels of an expanded mixer in the published layout.
FIRST, SECOND = "0", "3"


def build_toeplitz(config) -> nn.Module:
    """Return the Toeplitz mixer of a configuration."""
    if config.num_heads > 1:
        return HeadedToeplitzMixer(config)
    if config.expanded:
        return ExpandedToeplitzMixer(config)
    return ChannelToeplitzMixer(config) if config.kernel_size > 1 else FlatToeplitzMixer(config)


def kernel_of(config) -> ToeplitzKernel:
    """Return a fresh kernel of the configured kind."""
    return ToeplitzKernel(**kernel_fields(config))


def kernel_fields(config) -> dict:
    """Return what a kernel of the configured kind is made with."""
    return {
        "n": config.max_position_embeddings,
        "bias": config.mixer_bias,
        "positive": config.positive_kernels,
        "frozen": config.mixer == "frozen_toeplitz",
    }


def expanded_of(config) -> dict[str, nn.Module]:
    """Return the two kernels of an expanded mixer, under the published names."""
    return {FIRST: kernel_of(config), SECOND: kernel_of(config)}


class FlatToeplitzMixer(ToeplitzKernel):
    """``T(w) x + b`` with one kernel for all channels of the stream."""

    def __init__(self, config):
        super().__init__(**kernel_fields(config))
        self.product, self.row_normalised = config.product, config.row_normalised

    def forward(self, x: Tensor, place: Place, history: MixerHistory | None = None) -> Tensor:
        return mix_stage(x, [self], place, history, self.product, self.row_normalised)


class ChannelToeplitzMixer(ToeplitzKernel):
    """A kernel over k neighbouring channels: ``y[., c] = sum_j T(w_j) x[., c - (k - 1) + j] + b``.

    The last kernel stands on the diagonal; channels below the first are zero.
    """

    def __init__(self, config):
        super().__init__(**kernel_fields(config), count=config.kernel_size)
        self.product = config.product

    def forward(self, x: Tensor, place: Place, history: MixerHistory | None = None) -> Tensor:
        d, k = x.shape[-1], self.stored.shape[0]
        shifted = torch.stack([pad(x, (k - 1 - j, 0))[..., :d] for j in range(k)], 2)
        y = mix_heads(shifted.flatten(2), k, self.sources(), self.kernels, self.product, history)
        return add_biases(y.unflatten(2, (k, -1)).sum(2), biases_of([self]), place.positions)


class ExpandedToeplitzMixer(nn.ModuleDict):
    """Two Toeplitz products with a SiLU between: ``T(w_3) silu(T(w_0) x + b_0) + b_3``."""

    def __init__(self, config):
        super().__init__(expanded_of(config))
        self.product, self.row_normalised = config.product, config.row_normalised

    def forward(self, x: Tensor, place: Place, history: MixerHistory | None = None) -> Tensor:
        return mix_expanded(x, [self], place, history, self.product, self.row_normalised)


class HeadedToeplitzMixer(HeadedMixer):
    """One kernel, or the two of an expanded mixer, for each head."""

    def __init__(self, config):
        pair = config.expanded
        super().__init__(config, lambda: nn.ModuleDict(expanded_of(config)) if pair else kernel_of(config))
        self.mix = mix_expanded if pair else mix_stage
        self.product, self.row_normalised = config.product, config.row_normalised

    def forward(self, x: Tensor, place: Place, history: MixerHistory | None = None) -> Tensor:
        heads: list = list(self.mixer_heads)
        inputs = self.project(x, place)
        return self.out_proj(self.mix(inputs, heads, place, history, self.product, self.row_normalised))


def mix_expanded(
    x: Tensor, heads: list, place: Place, history: MixerHistory | None, method: str, row_normalised: bool
) -> Tensor:
    """Return the two products of each head of ``x`` (B, t, H c), with a SiLU between."""
    first, second = ([head[part] for head in heads] for part in (FIRST, SECOND))
    hidden = silu(mix_stage(x, first, place, history, method, row_normalised))
    if place.mask is not None:
        hidden = hidden * place.mask  # the first bias also stands at padding
    return mix_stage(hidden, second, place, history, method, row_normalised, slot=1)
