"""Products with the matrices written out: fewest calls, quadratic arithmetic; for short sequences.

As in the other ways: ``x`` is (B, t, H, c), ``w`` is (H, t), the arithmetic is done in ``dtype``, results
come in the dtype of their arguments.
"""

import torch
from torch import Tensor


def multiply(x: Tensor, w: Tensor, dtype: torch.dtype, adjoint: bool = False) -> Tensor:
    """Return ``T(w) x``, or with ``adjoint`` ``T(w)^T x``."""
    matrices = toeplitz_matrices(w.to(dtype))
    if adjoint:
        matrices = matrices.transpose(1, 2)
    return _from_head_columns(torch.bmm(matrices, _head_columns(x.to(dtype))), x.shape[0]).to(x.dtype)


def gradients(g: Tensor, x: Tensor, w: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return ``T(w)^T g`` and the correlations of ``g`` with ``x``."""
    return multiply(g, w, dtype, adjoint=True), correlate(g, x, dtype).to(w.dtype)


def correlate(g: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return ``s[h, k] = sum g[b, i + k, h, c] x[b, i, h, c]``, of shape (H, t)."""
    outer = torch.bmm(_head_columns(g.to(dtype)), _head_columns(x.to(dtype)).transpose(1, 2))
    return _sum_diagonals(outer)


def toeplitz_matrices(w: Tensor) -> Tensor:
    """Return the (H, t, t) lower-triangular Toeplitz matrices of kernels (H, t)."""
    heads, t = w.shape
    padded = torch.cat([w.new_zeros(heads, t - 1), w], dim=1)
    # Row i of the unfolded view holds w[i - t + 1 .. i]; reversed in time it is row i of the matrix.
    return padded.unfold(1, t, 1).flip(-1)


def _head_columns(x: Tensor) -> Tensor:
    """Return (H, t, B c): one matrix per head, so that each head is a single product."""
    return x.permute(2, 1, 0, 3).flatten(2)


def _from_head_columns(y: Tensor, batch: int) -> Tensor:
    return y.unflatten(2, (batch, -1)).permute(2, 1, 0, 3)


def _sum_diagonals(outer: Tensor) -> Tensor:
    """Return ``s[h, k] = sum_i outer[h, i + k, i]`` of (H, t, t)."""
    heads, t, _ = outer.shape
    flat = torch.nn.functional.pad(outer.transpose(1, 2), (0, t)).reshape(heads, 2 * t * t)
    # Row i of the padded (t, 2t) array starts at 2t i; read from (2t + 1) i on, (i, i + k) is in column k.
    return torch.as_strided(flat, (heads, t, t), (2 * t * t, 2 * t + 1, 1)).sum(1)
