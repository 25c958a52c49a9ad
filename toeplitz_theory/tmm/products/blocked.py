"""Products by blocks of time: a transform over the blocks, small dense products at each of its roots.

Cut into m blocks of length b, the matrix is block Toeplitz with m different b x b blocks, each Toeplitz. The
transform of `transform.py` turns it into m independent complex b x b products. All of it is real matrix
products on arrays that keep the order (batch, time, channels): nothing is transposed, one sample at a time
passes through buffers that stay in the caches, and no memory grows with the batch.

As in the other ways: ``x`` is (B, t, H c), the channels of one head after those of another, ``w`` is (H, t),
the arithmetic is done in ``dtype``, results come in the dtype of their arguments.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from toeplitz_theory.tmm.products.workspace import Workspace, workspace_for


def multiply(x: Tensor, w: Tensor, dtype: torch.dtype, adjoint: bool = False) -> Tensor:
    """Return ``T(w) x``, or with ``adjoint`` ``T(w)^T x``."""
    space = workspace_for(x, len(w), dtype)
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    read, write = _reader(space, x, 0), _writer(space, y)
    products = list(zip(_root_matrices(w, space, adjoint), space.columns[0], space.results, strict=True))
    for i in range(len(x)):
        read(i)
        for matrices, before, after in products:
            torch.bmm(matrices, before, out=after)
        write(i)
    return y


def gradients(g: Tensor, x: Tensor, w: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return ``T(w)^T g`` and the correlations of ``g`` with ``x``, with one transform of ``g``."""
    space = workspace_for(g, len(w), dtype)
    gx = torch.empty(g.shape, dtype=g.dtype, device=g.device)
    read_g, read_x, write = _reader(space, g, 0), _reader(space, x, 1), _writer(space, gx)
    of_g = space.columns[0]
    products = list(zip(_root_matrices(w, space, adjoint=True), of_g, space.results, strict=True))
    for i in range(len(g)):
        read_g(i)
        read_x(i)
        _add_outer(space, first=i == 0)
        for matrices, before, after in products:
            torch.bmm(matrices, before, out=after)
        write(i)
    return gx, _from_root_matrices(space).to(w.dtype)


def correlate(g: Tensor, x: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    """Return ``s[h, k]``, the sum of ``g[b, i + k, c] x[b, i, c]`` over the channels of head h: (H, t)."""
    space = workspace_for(g, heads, dtype)
    read_g, read_x = _reader(space, g, 0), _reader(space, x, 1)
    for i in range(len(g)):
        read_g(i)
        read_x(i)
        _add_outer(space, first=i == 0)
    return _from_root_matrices(space)


def _add_outer(space: Workspace, first: bool) -> None:
    """Add what one sample gives to the gradient of the matrices at the roots, or begin with it."""
    for outer, columns, rows in zip(space.outer, space.columns[0], space.rows, strict=True):
        if first:
            torch.bmm(columns, rows, out=outer)
        else:
            outer.baddbmm_(columns, rows)


def _reader(space: Workspace, x: Tensor, place: int) -> Callable[[int], None]:
    """Return what transforms sample i of ``x`` (B, t, H c) into a place of the workspace."""
    steps = space.analyses[place]
    if space.aligned and x.dtype == space.dtype:
        views = x.contiguous().view(len(x), *steps.source_shape).unbind()
        return lambda i: steps(views[i])
    samples, part, blocks = x.unbind(), space.part, space.blocks.view(steps.source_shape)

    def read(i: int) -> None:
        part.copy_(samples[i])
        steps(blocks)

    return read


def _writer(space: Workspace, y: Tensor) -> Callable[[int], None]:
    """Return what writes sample i of ``y`` (B, t, H c) from the results at the roots, overwriting them."""
    steps, values, headed = space.synthesis, space.values, space.heads > 1
    if space.aligned and y.dtype == space.dtype:
        views = y.view(len(y), *steps.target_shape).unbind()

        def write(i: int) -> None:
            if headed:
                space.joined.copy_(space.by_head)
            steps(values, views[i])

        return write
    samples, part, blocks = y.unbind(), space.part, space.blocks.view(steps.target_shape)
    rest = space.blocks[space.t :]

    def write_part(i: int) -> None:
        if headed:
            space.joined.copy_(space.by_head)
        steps(values, blocks)
        samples[i].copy_(part)
        rest.zero_()  # readers fill no more than the part

    return write_part


def _root_matrices(w: Tensor, space: Workspace, adjoint: bool) -> tuple[Tensor, ...]:
    """Return for each head the (m, 2 b, 2 b) matrices, over m, that stand for T(w) at the roots.

    Block k of the matrix holds ``w[k b + r - s]`` at (r, s): window k of ``w``, its lags -b to b - 1.
    """
    space.taps.copy_(w)
    space.windows.copy_(space.windows_of_taps)
    space.window_analysis(space.window_source)
    torch.bmm(space.window_rows, space.spread, out=space.matrix_rows)
    return (space.matrices.transpose(2, 3) if adjoint else space.matrices).unbind()


def _from_root_matrices(space: Workspace) -> Tensor:
    """Return the transpose of `_root_matrices` applied to ``space.outer``: taps (H, t)."""
    torch.bmm(space.outer_rows, space.gather, out=space.window_rows)
    space.window_synthesis(space.window_values, space.window_target)
    taps = torch.empty(space.heads, space.t, dtype=space.dtype, device=space.device)
    if space.aligned:
        torch.add(*space.overlaps, out=taps.view(space.heads, space.m, space.b))
    else:
        taps.copy_(torch.add(*space.overlaps).flatten(1)[:, : space.t])
    return taps
