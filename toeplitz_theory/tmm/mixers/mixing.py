"""The product all Toeplitz mixers go through."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from toeplitz_theory.tmm.cache import MixerHistory
from toeplitz_theory.tmm.inputs import Place
from toeplitz_theory.tmm.mixers.kernels import ToeplitzKernel
from toeplitz_theory.tmm.product import causal_toeplitz_product


def mix_heads(
    x: Tensor,
    sources: Sequence[Tensor],
    kernels: Callable[[], Tensor],
    method: str,
    history: MixerHistory | None,
    slot: int = 0,
) -> Tensor:
    """Return the product for the new positions of ``x`` (B, t, H, c), given what came before.

    ``kernels()`` makes the (H, n) kernels from the parameters ``sources``: cached steps keep what they made
    of them for as long as these stay as they are.
    """
    if history is not None:
        return history.convolve(x, sources, kernels, method, slot)
    taps = kernels()
    if x.shape[1] > taps.shape[1]:
        # A sequence that slides past the end of the kernels meets zero taps.
        taps = pad(taps, (0, x.shape[1] - taps.shape[1]))
    return causal_toeplitz_product(x, taps, method)


def mix_stage(
    x: Tensor,
    heads: Sequence[ToeplitzKernel],
    place: Place,
    history: MixerHistory | None,
    method: str,
    row_normalised: bool = False,
    slot: int = 0,
) -> Tensor:
    """Return ``T(w_h) x + b_h`` for each head of ``x`` (B, t, H, c).

    Row-normalised, each output is a weighted mean: divided by the sum of the taps that met an input.
    """
    if row_normalised:
        x = torch.cat([x, _present(x, place)], -1)
    kernels = [head.stored for head in heads]
    y = mix_heads(x, kernels, lambda: _joined([head.kernels() for head in heads]), method, history, slot)
    if row_normalised:
        y, total = y[..., :-1], y[..., -1:]
        # Zero only where all inputs so far are padding.
        y = y / torch.where(total > 0, total, 1)
    if heads[0].bias is None:
        return y
    biases: list[Tensor] = [head.get_parameter("bias") for head in heads]
    if history is not None:
        # Picked before they are joined: a decoding step needs one position of n.
        return y + torch.stack([bias[place.positions] for bias in biases], dim=-1)[..., None]
    joined = biases[0][:, None] if len(biases) == 1 else torch.stack(biases, dim=-1)
    # Without a mask all rows stand at positions 0 ... t - 1, clamped to the kernel's.
    plain = place.mask is None and x.shape[1] <= len(joined)
    rows = joined[: x.shape[1]] if plain else joined[place.positions]
    return y.add_(rows[..., None])  # y is nobody else's yet


def _joined(kernels: list[Tensor]) -> Tensor:
    return kernels[0] if len(kernels) == 1 else torch.cat(kernels)


def _present(x: Tensor, place: Place) -> Tensor:
    """One more channel (B, t, H, 1): 1 at tokens, 0 at padding."""
    shape = (*x.shape[:3], 1)
    return x.new_ones(shape) if place.mask is None else place.mask[..., None].expand(shape)
