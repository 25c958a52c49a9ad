"""Products by blocks of time: a transform over the blocks, small dense products at each of its roots.

Cut into m blocks of length b, the matrix is block Toeplitz with m different b x b blocks, each Toeplitz. The
transform of `transform.py` turns it into m independent complex b x b products. All of it is real matrix
products on arrays that keep the order (batch, time, channels): nothing is transposed, one sample at a time
passes through buffers that stay in the caches, and no memory grows with the batch.

As in the other ways: ``x`` is (B, t, H, c), ``w`` is (H, t), the arithmetic is done in ``dtype``, results
come in the dtype of their arguments.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from toeplitz_theory.tmm.products.workspace import Workspace, workspace_for


def multiply(x: Tensor, w: Tensor, dtype: torch.dtype, adjoint: bool = False) -> Tensor:
    """Return ``T(w) x``, or with ``adjoint`` ``T(w)^T x``."""
    space = workspace_for(x, dtype)
    matrices = _root_matrices(w, space, adjoint)
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    read, write = _reader(space, x, 0), _writer(space, y, 1)
    before, after = space.columns
    for i in range(len(x)):
        read(i)
        torch.bmm(matrices, before, out=after)
        write(i)
    return y


def gradients(g: Tensor, x: Tensor, w: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return ``T(w)^T g`` and the correlations of ``g`` with ``x``, with one transform of ``g``."""
    space = workspace_for(g, dtype)
    matrices, outer = _root_matrices(w, space, adjoint=True), space.outer.zero_()
    gx = torch.empty(g.shape, dtype=g.dtype, device=g.device)
    read_g, read_x, write = _reader(space, g, 0), _reader(space, x, 1), _writer(space, gx, 1)
    of_g, other = space.columns
    rows = other.transpose(1, 2)
    for i in range(len(g)):
        read_g(i)
        read_x(i)
        outer.baddbmm_(of_g, rows)
        torch.bmm(matrices, of_g, out=other)
        write(i)
    return gx, _from_root_matrices(outer, space).to(w.dtype)


def correlate(g: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return ``s[h, k] = sum g[b, i + k, h, c] x[b, i, h, c]``, of shape (H, t)."""
    space = workspace_for(g, dtype)
    outer = space.outer.zero_()
    read_g, read_x = _reader(space, g, 0), _reader(space, x, 1)
    of_g, rows = space.columns[0], space.columns[1].transpose(1, 2)
    for i in range(len(g)):
        read_g(i)
        read_x(i)
        outer.baddbmm_(of_g, rows)
    return _from_root_matrices(outer, space)


def _reader(space: Workspace, x: Tensor, place: int) -> Callable[[int], None]:
    """Return what transforms sample i of ``x`` (B, t, H, c) into a place of the workspace."""
    steps = space.analyses[place]
    if space.aligned and x.dtype == space.dtype:
        views = x.contiguous().view(len(x), *steps.source_shape).unbind()
        return lambda i: steps(views[i])
    samples, part, blocks = x.unbind(), space.part, space.blocks.view(steps.source_shape)

    def read(i: int) -> None:
        part.copy_(samples[i])
        steps(blocks)

    return read


def _writer(space: Workspace, y: Tensor, place: int) -> Callable[[int], None]:
    """Return what writes sample i of ``y`` (B, t, H, c) from a place of the workspace, overwriting it."""
    steps, values = space.syntheses[place], space.values[place]
    if space.aligned and y.dtype == space.dtype:
        views = y.view(len(y), *steps.target_shape).unbind()
        return lambda i: steps(values, views[i])
    samples, part, blocks = y.unbind(), space.part, space.blocks.view(steps.target_shape)
    rest = space.blocks[:, space.t :]

    def write(i: int) -> None:
        steps(values, blocks)
        samples[i].copy_(part)
        rest.zero_()  # readers fill no more than the part

    return write


def _root_matrices(w: Tensor, space: Workspace, adjoint: bool) -> Tensor:
    """Return the (H m, 2 b, 2 b) matrices, over m, that stand for T(w) at the roots.

    Block k of the matrix holds ``w[k b + r - s]`` at (r, s): window k of ``w``, of length 2 b - 1.
    """
    heads, m, b = space.heads, space.m, space.b
    padded = space.windows.new_zeros(heads, (m + 1) * b - 1)
    torch.div(w, m, out=padded[:, b - 1 : b - 1 + space.t])
    windows = space.windows.copy_(padded.unfold(1, 2 * b - 1, b))
    steps = space.window_analysis
    steps(windows.view(steps.source_shape))
    # Row r is entries r .. r + b - 1 of the window, backwards.
    real, imaginary = space.window_values.unfold(3, b, 1).flip(-1).unbind(2)
    matrices = space.matrices.view(heads, m, 2, b, 2, b)
    matrices[:, :, 0, :, 0] = real
    matrices[:, :, 1, :, 1] = real
    matrices[:, :, 1, :, 0] = imaginary
    torch.neg(imaginary, out=matrices[:, :, 0, :, 1])
    return space.matrices.transpose(1, 2) if adjoint else space.matrices


def _from_root_matrices(outer: Tensor, space: Workspace) -> Tensor:
    """Return the transpose of `_root_matrices` applied to (H m, 2 b, 2 b): taps (H, t)."""
    heads, m, b = space.heads, space.m, space.b
    (rr, ri), (ir, ii) = (part.unbind(3) for part in outer.view(heads, m, 2, b, 2, b).unbind(2))
    # Row r, turned round, of an array of rows 2 b long starts at 2 b r; read from (2 b - 1) r on, its entry s
    # is in column b - 1 + r - s.
    turned = outer.new_zeros(heads, m, 2, b, 2 * b)
    torch.add(rr, ii, out=turned[:, :, 0, :, :b])
    torch.sub(ir, ri, out=turned[:, :, 1, :, :b])
    turned[..., :b] = turned[..., :b].flip(-1)
    flat = turned.flatten(3)
    strides = (*flat.stride()[:3], 2 * b - 1, 1)
    torch.sum(torch.as_strided(flat, (heads, m, 2, b, 2 * b - 1), strides), 3, out=space.window_values)
    steps, windows = space.window_synthesis, space.windows
    steps(space.window_values.view(steps.source_shape), windows.view(steps.target_shape))
    taps = outer.new_zeros(heads, m + 1, b)
    taps[:, :m] = windows[..., :b]
    taps[:, 1:, : b - 1] += windows[..., b:]
    return taps.flatten(1)[:, b - 1 : b - 1 + space.t] / m
