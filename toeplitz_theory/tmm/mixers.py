"""Token mixers: what moves information along time inside a block."""

import torch
from torch import Tensor, nn

from toeplitz_theory.tmm.product import causal_toeplitz_product


class ToeplitzKernel(nn.Module):
    """One causal kernel and its bias per position: ``weight`` (1, n) and ``bias`` (n,)."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, n: int, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, n))
        self.bias = nn.Parameter(torch.empty(n)) if bias else None


class FlatToeplitzMixer(ToeplitzKernel):
    """``T(w) x + b`` with one kernel for all channels of the stream."""

    def __init__(self, config):
        super().__init__(config.max_position_embeddings, config.mixer_bias)
        self.product = config.product

    def forward(self, x: Tensor, positions: Tensor, history: "MixerHistory | None" = None) -> Tensor:
        y = mix_heads(x[:, :, None], self.weight, self.product, history)[:, :, 0]
        return y if self.bias is None else y + self.bias[positions][..., None]


class HeadedToeplitzMixer(nn.Module):
    """Project to H heads of d/H channels, one kernel each; concatenate and project back."""

    def __init__(self, config):
        super().__init__()
        d, heads = config.hidden_size, config.num_heads
        n, bias = config.max_position_embeddings, config.mixer_bias
        self.product = config.product
        self.mixer_heads = nn.ModuleList(ToeplitzKernel(n, bias) for _ in range(heads))
        self.proj_head = nn.ModuleList(nn.Linear(d, d // heads, bias=False) for _ in range(heads))
        self.has_bias = bias
        self.out_proj = nn.Linear(d, d, bias=False)

    def forward(self, x: Tensor, positions: Tensor, history: "MixerHistory | None" = None) -> Tensor:
        # One matrix product for all heads: row block h of the joined weight is head h's projection.
        joined = torch.cat([head.get_parameter("weight") for head in self.proj_head])
        inputs = nn.functional.linear(x, joined).unflatten(-1, (len(self.mixer_heads), -1))
        kernels = torch.cat([head.get_parameter("weight") for head in self.mixer_heads])
        y = mix_heads(inputs, kernels, self.product, history)
        if self.has_bias:
            biases = torch.stack([head.get_parameter("bias") for head in self.mixer_heads], dim=-1)
            y = y + biases[positions][..., None]
        return self.out_proj(y.flatten(-2))


class MixerHistory:
    """Earlier inputs of one mixer, kept in transformers' cache as keys with values of width zero."""

    def __init__(self, cache, layer_index: int):
        self.cache, self.layer_index = cache, layer_index

    def extend(self, x: Tensor) -> Tensor:
        """Append new inputs (B, t, d) and return all so far (B, start + t, d)."""
        keys, _ = self.cache.update(x[:, None], x[:, None, :, :0], self.layer_index)
        return keys[:, 0]


def mix_heads(x: Tensor, kernels: Tensor, method: str, history: MixerHistory | None) -> Tensor:
    """Return the product for the new positions of ``x`` (B, t, H, c), given what came before."""
    if history is None:
        return causal_toeplitz_product(x, kernels, method)
    new = x.shape[1]
    past = history.extend(x.flatten(-2)).unflatten(-1, x.shape[2:])
    if past.shape[1] == new:
        return causal_toeplitz_product(x, kernels, method)
    if new == 1:
        taps = kernels[:, : past.shape[1]].flip(-1).to(past.dtype)
        return torch.einsum("hs,bshc->bhc", taps, past)[:, None]
    return causal_toeplitz_product(past, kernels, method)[:, -new:]


def build_mixer(config) -> nn.Module:
    """Return the token mixer that the configuration names."""
    return FlatToeplitzMixer(config) if config.num_heads == 1 else HeadedToeplitzMixer(config)
