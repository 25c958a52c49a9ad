"""Softmax attention with rotary positions, through torch's scaled_dot_product_attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from toeplitz_theory.tmm.cache import MixerHistory
from toeplitz_theory.tmm.inputs import Place

BASE = 10_000.0  # of rotary positions (Su et al., "RoFormer", 2021)


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


class QueriesKeysValues(nn.Module):
    """The projections of attention, softmax's or linear."""

    def __init__(self, config):
        super().__init__()
        d = config.hidden_size
        self.heads = config.num_heads
        self.in_proj = nn.Linear(d, 3 * d, bias=config.projection_bias)
        self.out_proj = nn.Linear(d, d, bias=config.projection_bias)

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values, each (B, t, H, c)."""
        return self.in_proj(x).unflatten(-1, (3, self.heads, -1)).unbind(2)


class AttentionMixer(QueriesKeysValues):
    """``softmax(q k^T / sqrt(c)) v`` in H heads of c channels; a cache keeps rotated keys, and values."""

    def forward(self, x: Tensor, place: Place, history: MixerHistory | None = None) -> Tensor:
        q, k, v = self.project(x)
        q, k = rotate(q, place.positions), rotate(k, place.positions)
        seen = torch.cat([k, v], -1).flatten(2)
        if history is not None:
            seen = history.extend(seen)
        k, v = seen.unflatten(-1, (self.heads, -1)).chunk(2, -1)
        t, total = q.shape[1], k.shape[1]
        mask = visible(t, total, place)
        y = scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=mask,
            is_causal=mask is None and t == total > 1,
        )
        return self.out_proj(y.transpose(1, 2).flatten(2))


def visible(new: int, total: int, place: Place) -> Tensor | None:
    """Return which keys a query sees, (B or 1, 1, new, total); None where the plain cases need no mask."""
    if place.attention_mask is None and new in (1, total):
        return None
    device = place.positions.device
    past = torch.arange(total, device=device)
    queries = torch.arange(total - new, total, device=device)[:, None]
    mask = (past <= queries)[None]
    if place.attention_mask is not None:
        # Padding sees itself: a row of the softmax without any key is not a number.
        mask = mask & (place.attention_mask.bool()[:, None] | (past == queries))
    return mask[:, None]
