"""Linear attention: softmax's kernel replaced by features, so that the past is a sum of constant size.

``y_t = R(f(q_t))^T S_t / f(q_t)^T z_t`` with ``S_t = sum_s R(f(k_s)) v_s^T``, ``z_t = sum_s f(k_s)`` and
``f = elu + 1`` (Katharopoulos et al., "Transformers are RNNs", 2020). R turns features by rotary positions in
the numerator alone, so that the denominator stays positive (Su et al., 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import elu, pad

from toeplitz_theory.tmm.cache import MixerHistory
from toeplitz_theory.tmm.inputs import Place
from toeplitz_theory.tmm.mixers.attention import QueriesKeysValues, rotate

# Positions that are multiplied as a dense block; sums over earlier blocks come from their states.
BLOCK = 64


class LinearAttentionMixer(QueriesKeysValues):
    """H heads of c channels; the state is a (c, c) matrix and a vector of c numbers a head."""

    def forward(self, x: Tensor, place: Place, history: MixerHistory | None = None) -> Tensor:
        q, k, v = self.project(x)
        wide = torch.promote_types(x.dtype, torch.float32)
        layer = None if history is None else history.state(len(x))
        state = {} if layer is None else layer.state
        with torch.autocast(x.device.type, enabled=False):
            q, k = elu(q.to(wide)) + 1, elu(k.to(wide)) + 1
            if place.mask is not None:
                k = k * place.mask[..., None].to(wide)
            turned = rotate(q, place.positions), rotate(k, place.positions)
            y, s = weighted_sums(*turned, v.to(wide), state.get("s"))
            sums = k.cumsum(1) + state["z"][:, None] if state else k.cumsum(1)
            total = (q * sums).sum(-1, keepdim=True)
            y = y / torch.where(total > 0, total, 1)  # zero only where all inputs so far are padding
        if layer is not None:
            layer.keep(x.shape[1], s=s, z=sums[:, -1])
        return self.out_proj(y.to(v.dtype).flatten(2))


def weighted_sums(q: Tensor, k: Tensor, v: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return ``sum_{s <= t} (q_t . k_s) v_s`` of (B, t, H, c), and the state (B, H, c, c) after the last.

    A block at a time: dense inside, and through the sum of ``k v^T`` over earlier blocks.
    """
    t = q.shape[1]
    if t == 1:  # a decoding step
        s = torch.einsum("bthi,bthj->bhij", k, v)
        s = s if state is None else s + state
        return torch.einsum("bthi,bhij->bthj", q, s), s
    size = min(BLOCK, t)
    q, k, v = (
        pad(part, (0, 0, 0, 0, 0, -t % size)).unflatten(1, (-1, size)).transpose(2, 3) for part in (q, k, v)
    )  # (B, blocks, H, size, c)
    inside = (q @ k.transpose(-1, -2)).tril() @ v
    added = k.transpose(-1, -2) @ v
    after = added.cumsum(1)
    if state is not None:
        after = after + state[:, None]
    # Not ``after - added``: that would round the future's size into the past.
    first = torch.zeros_like(added[:, :1]) if state is None else state[:, None]
    y = inside + q @ torch.cat([first, after[:, :-1]], 1)
    return y.transpose(2, 3).flatten(1, 2)[:, :t], after[:, -1]
