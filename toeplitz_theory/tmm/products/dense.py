"""Products with the matrices written out, block row by block row up to the diagonal: for short inputs.

As in the other ways: ``x`` is (B, t, H c), the channels of one head after those of another, ``w`` is (H, t),
the arithmetic is done in ``dtype``, results come in the dtype of their arguments.

A block row of b rows is one strip of the matrix, and since the matrix is Toeplitz the last strip holds all
others: b x n numbers are written out, not n x n. With one head the samples stay where they are and share the
strip; with several, each head's channels of all samples become the columns of one product.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

ROWS = 128


def multiply(x: Tensor, w: Tensor, dtype: torch.dtype, adjoint: bool = False) -> Tensor:
    """Return ``T(w) x``, or with ``adjoint`` ``T(w)^T x``."""
    columns = _columns(x.to(dtype), len(w))
    stack, t, _ = columns.shape
    starts, rows = _block_rows(t)
    w = w.to(dtype)
    strip = _strip_after(w, rows) if adjoint else _strip_before(w, rows, starts[-1])
    strip = strip.expand(stack, -1, -1)  # of one head: shared by all samples
    y = torch.empty_like(columns)
    for start in starts:
        stop = min(start + rows, t)
        if adjoint:
            part, source = strip[:, : stop - start, : t - start], columns[:, start:]
        else:
            part, source = _before(strip, start, stop, starts[-1]), columns[:, :stop]
        torch.bmm(part, source, out=y[:, start:stop])
    return _from_columns(y, len(w), len(x)).to(x.dtype)


def gradients(g: Tensor, x: Tensor, w: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return ``T(w)^T g`` and the correlations of ``g`` with ``x``."""
    return multiply(g, w, dtype, adjoint=True), correlate(g, x, len(w), dtype).to(w.dtype)


def correlate(g: Tensor, x: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    """Return ``s[h, k]``, the sum of ``g[b, i + k, c] x[b, i, c]`` over the channels of head h: (H, t)."""
    g_columns, x_columns = _columns(g.to(dtype), heads), _columns(x.to(dtype), heads)
    t = x.shape[1]
    starts, rows = _block_rows(t)
    strip = g_columns.new_zeros(heads, rows, starts[-1] + rows)
    # One head: sample after sample into the same strip.
    for one_g, one_x in zip(g_columns.split(heads), x_columns.transpose(1, 2).split(heads), strict=True):
        for start in starts:
            stop = min(start + rows, t)
            part = _before(strip, start, stop, starts[-1])
            part.baddbmm_(one_g[:, start:stop], one_x[:, :, :stop])
    return _sum_lags(strip, starts[-1])[:, :t]


def _block_rows(t: int) -> tuple[list[int], int]:
    """Return where block rows start, and how many rows they have (the last one may have fewer)."""
    rows = min(t, ROWS)
    return list(range(0, t, rows)), rows


def _strip_before(w: Tensor, rows: int, last: int) -> Tensor:
    """Return (H, rows, last + rows): the rows from ``last`` on, ``w[last + r - column]`` at (r, column)."""
    padded = pad(w, (rows - 1, max(0, last + rows - w.shape[1])))
    return padded.unfold(1, last + rows, 1)[:, :rows].flip(-1)


def _before(strip: Tensor, start: int, stop: int, last: int) -> Tensor:
    """Return the part of the strip that is the block row ``start:stop``, up to its diagonal block."""
    return strip[:, : stop - start, last - start : last - start + stop]


def _strip_after(w: Tensor, rows: int) -> Tensor:
    """Return (H, rows, t): ``w[column - r]`` at (r, column), the block rows of the transposed matrix."""
    return pad(w, (rows - 1, 0)).unfold(1, w.shape[1], 1).flip(1)


def _sum_lags(strip: Tensor, last: int) -> Tensor:
    """Return ``s[h, k]``, the sum of the strip where ``last + r - column = k``."""
    heads, rows, columns = strip.shape
    flat = pad(strip.flip(-1), (0, rows)).flatten(1)
    # Rows are columns + rows long; read from (columns + rows - 1) r on, (r, column) is in place r + column.
    steps = (flat.stride(0), columns + rows - 1, 1)
    return torch.as_strided(flat, (heads, rows, columns + rows - 1), steps).sum(1)[:, rows - 1 :]


def _columns(x: Tensor, heads: int) -> Tensor:
    """Return stacks of columns: (B, t, c) of one head; (H, t, B c) of several."""
    return x.contiguous() if heads == 1 else x.unflatten(2, (heads, -1)).permute(2, 1, 0, 3).flatten(2)


def _from_columns(y: Tensor, heads: int, batch: int) -> Tensor:
    return y if heads == 1 else y.unflatten(2, (batch, -1)).permute(2, 1, 0, 3).flatten(2)
