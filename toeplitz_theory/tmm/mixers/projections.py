"""Linear maps: by their weights where that is faster or more exact, called where others have changed them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

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


def apply_wide(projection: nn.Linear, x: Tensor) -> Tensor:
    """Return the projection of ``x`` in the precision of ``x``, if plain; else in that of the weights."""
    if not is_plain(projection):
        return projection(x.to(next(projection.parameters()).dtype)).to(x.dtype)
    weight, bias = (
        None if part is None else part.to(x.dtype) for part in (projection.weight, projection.bias)
    )
    return linear(x, weight, bias)
