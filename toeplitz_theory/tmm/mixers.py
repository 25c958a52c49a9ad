"""Token mixers: what moves information along time inside a block."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from toeplitz_theory.tmm.cache import MixerHistory
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

    def forward(self, x: Tensor, positions: Tensor, history: MixerHistory | None = None) -> Tensor:
        y = mix_heads(x[:, :, None], [self.weight], lambda: self.weight, self.product, history)[:, :, 0]
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

    def forward(self, x: Tensor, positions: Tensor, history: MixerHistory | None = None) -> Tensor:
        # One matrix product for all heads: row block h of the joined weight is head h's projection.
        joined = torch.cat([head.get_parameter("weight") for head in self.proj_head])
        inputs = nn.functional.linear(x, joined).unflatten(-1, (len(self.mixer_heads), -1))
        kernels: list[Tensor] = [head.get_parameter("weight") for head in self.mixer_heads]
        y = mix_heads(inputs, kernels, lambda: torch.cat(kernels), self.product, history)
        if self.has_bias:
            # Picked before they are joined: a decoding step needs one position of n.
            biases = [head.get_parameter("bias")[positions] for head in self.mixer_heads]
            y = y + torch.stack(biases, dim=-1)[..., None]
        return self.out_proj(y.flatten(-2))


def mix_heads(
    x: Tensor, sources, kernels, method: str, history: MixerHistory | None, slot: int = 0
) -> Tensor:
    """Return the product for the new positions of ``x`` (B, t, H, c), given what came before.

    ``kernels()`` makes the (H, n) kernels from the parameters ``sources``: cached steps keep what they made
    of them for as long as these stay as they are.
    """
    if history is not None:
        return history.convolve(x, sources, kernels, method, slot)
    taps = kernels()
    # A sequence that slides past the end of the kernels meets zero taps.
    return causal_toeplitz_product(x, pad(taps, (0, max(0, x.shape[1] - taps.shape[1]))), method)


def build_mixer(config) -> nn.Module:
    """Return the token mixer that the configuration names."""
    return FlatToeplitzMixer(config) if config.num_heads == 1 else HeadedToeplitzMixer(config)
