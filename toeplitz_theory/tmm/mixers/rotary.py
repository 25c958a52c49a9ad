"""Rotary positions: pairs of channels turned by angles that grow with time (Su et al., "RoFormer", 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

BASE = 10_000.0


def rotate(x: Tensor, positions: Tensor) -> Tensor:
    """Return ``x`` (B, t, H, c), channels i and i + c/2 turned by ``position * BASE ** (-2 i / c)``.

    The inner product of two rotated vectors depends on the difference of their positions alone.
    """
    half = x.shape[-1] // 2
    wide = torch.promote_types(x.dtype, torch.float32)
    rates = BASE ** (-torch.arange(half, device=x.device, dtype=wide) / half)
    angles = positions[..., None, None].to(wide) * rates
    cos, sin = angles.cos(), angles.sin()
    first, second = x.to(wide).split(half, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1).to(x.dtype)
