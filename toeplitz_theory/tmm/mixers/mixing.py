"""The projections and the product that mixers share.

Linear maps are applied by their weights where that is faster or more exact, and called where others have
changed them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from toeplitz_theory.tmm.cache import MixerHistory
from toeplitz_theory.tmm.inputs import Place
from toeplitz_theory.tmm.mixers.kernels import CausalKernels, ToeplitzKernel
from toeplitz_theory.tmm.products import product_plus
from toeplitz_theory.tmm.products.product import add_bias

_HOOKS = ("forward", "forward_pre", "backward", "backward_pre")


def is_plain(projection: nn.Module) -> bool:
    """Return whether calling a projection does no more than its weight and bias say.

    Adapters and parametrisations put a module of another type in its place; hooks, and what replaces the
    method ``forward``, are kept on the module.
    """
    hooked = any(getattr(projection, f"_{kind}_hooks") for kind in _HOOKS)
    return type(projection) is nn.Linear and not hooked and "forward" not in projection.__dict__


def project_heads(x: Tensor, projections: nn.ModuleList) -> Tensor:
    """Return (B, t, d), the heads' projections side by side; of plain maps by one matrix product."""
    if not all(map(is_plain, projections)):
        return torch.cat([head(x) for head in projections], -1)
    # Row block h of the joined weight is head h's projection.
    weight = torch.cat([head.get_parameter("weight") for head in projections])
    has_bias = projections[0].bias is not None
    bias = torch.cat([head.get_parameter("bias") for head in projections]) if has_bias else None
    return linear(x, weight, bias)


class HeadedMixer(nn.Module):
    """Project to H heads of d/H channels, mix each by a module of its own, concatenate and project back."""

    def __init__(self, config, make: Callable[[], nn.Module]):
        super().__init__()
        d, heads, bias = config.hidden_size, config.num_heads, config.projection_bias
        self.mixer_heads = nn.ModuleList(make() for _ in range(heads))
        self.proj_head = nn.ModuleList(nn.Linear(d, d // heads, bias=bias) for _ in range(heads))
        self.out_proj = nn.Linear(d, d, bias=bias)

    def project(self, x: Tensor, place: Place) -> Tensor:
        """Return the inputs of the heads, (B, t, d), zero at padding as ``x`` is."""
        inputs = project_heads(x, self.proj_head)
        if place.mask is None or all(is_plain(head) and head.bias is None for head in self.proj_head):
            return inputs
        return inputs * place.mask


def apply_wide(projection: nn.Linear, x: Tensor) -> Tensor:
    """Return the projection of ``x`` in the precision of ``x``, if plain; else in that of the weights."""
    if not is_plain(projection):
        return projection(x.to(next(projection.parameters()).dtype)).to(x.dtype)
    bias = None if projection.bias is None else projection.bias.to(x.dtype)
    return linear(x, projection.weight.to(x.dtype), bias)


def mix_heads(
    x: Tensor,
    heads: int,
    sources: Sequence[Tensor],
    kernels: Callable[[], Tensor],
    method: str,
    history: MixerHistory | None,
    slot: int = 0,
    bias: Tensor | None = None,
) -> Tensor:
    """Return the product for the new positions of ``x`` (B, t, H c), given what came before.

    ``kernels()`` makes the (H, n) kernels from the parameters ``sources``: cached steps keep what they made
    of them for as long as these stay as they are. Without a history a ``bias`` (t, H), or (t,) of one head,
    is added on the way.
    """
    if history is not None:
        return history.convolve(x.unflatten(2, (heads, -1)), sources, kernels, method, slot).flatten(2)
    taps, t = kernels(), x.shape[1]
    if t > taps.shape[1]:
        # A sequence that slides past the end of the kernels meets zero taps.
        taps = pad(taps, (0, t - taps.shape[1]))
    elif t < taps.shape[1]:
        taps = taps[:, :t]
    return product_plus(x, taps, bias, method)


def mix_channels(
    x: Tensor, filters: CausalKernels, history: MixerHistory | None = None, slot: int = 0
) -> Tensor:
    """Return the product of each channel of ``x`` (B, t, d) with a kernel of its own, as `mix_heads`."""
    # Heads of one channel each: dense matrices would be d times n by n.
    return mix_heads(x, x.shape[-1], filters.sources(), filters.kernels, "fft", history, slot)


def mix_stage(
    x: Tensor,
    heads: Sequence[ToeplitzKernel],
    place: Place,
    history: MixerHistory | None,
    method: str,
    row_normalised: bool,
    slot: int = 0,
) -> Tensor:
    """Return ``T(w_h) x + b_h`` for each head of ``x`` (B, t, H c).

    Row-normalised, each output is a weighted mean: divided by the sum of the taps that met an input.
    """
    stored, biases = [head.stored for head in heads], biases_of(heads)
    t, n = x.shape[1], stored[0].shape[1]

    def kernels() -> Tensor:
        return heads[0].taps_of(stored[0] if len(stored) == 1 else torch.cat(stored))

    def product(x: Tensor, bias: Tensor | None = None) -> Tensor:
        return mix_heads(x, len(heads), stored, kernels, method, history, slot, bias)

    # Rows that stand at positions 0 ... t - 1 of the kernel have their biases added on the way.
    plain = history is None and place.mask is None and t <= n
    if plain and biases and not row_normalised:
        bias = biases[0] if len(biases) == 1 else torch.stack(biases, -1)
        return product(x, bias[:t] if t < n else bias)
    if row_normalised:
        x = torch.cat([x.unflatten(2, (len(heads), -1)), _present(x, len(heads), place)], -1).flatten(2)
        y = _normalised(product(x), len(heads))
    else:
        y = product(x)
    return add_biases(y, biases, place.positions)


def biases_of(heads: Sequence[Any]) -> list[Tensor]:
    """Return the bias (n,) of each head, or nothing where heads have none."""
    return [head.bias for head in heads if head.bias is not None]


def add_biases(y: Tensor, biases: list[Tensor], positions: Tensor) -> Tensor:
    """Return ``y`` (B, t, H c) plus the bias of each head at positions (B, t)."""
    if not biases:
        return y
    if positions.numel() < len(biases[0]):  # a decoding step needs one position of n
        return add_bias(y, torch.stack([bias[positions] for bias in biases], -1))
    return add_bias(y, torch.stack(biases, -1)[positions])


def _present(x: Tensor, heads: int, place: Place) -> Tensor:
    """One more channel of each head (B, t, H, 1): 1 at tokens, 0 at padding."""
    shape = (*x.shape[:2], heads, 1)
    return x.new_ones(shape) if place.mask is None else place.mask[..., None].expand(shape)


def _normalised(y: Tensor, heads: int) -> Tensor:
    """Return the channels of each head divided by its last one, and without it."""
    y = y.unflatten(2, (heads, -1))
    y, total = y[..., :-1], y[..., -1:]
    # Zero only where all inputs so far are padding.
    return (y / torch.where(total > 0, total, 1)).flatten(2)
