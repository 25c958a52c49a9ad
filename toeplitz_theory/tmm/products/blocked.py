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
from torch.nn.functional import pad

from toeplitz_theory.tmm.products.transform import block_transform, radices_for


class _Samples:
    """How one sample at a time passes through the transform: buffers, and the views of them."""

    def __init__(self, like: Tensor, dtype: torch.dtype):
        _, self.t, self.heads, self.channels = like.shape
        radices, self.b = radices_for(self.t)
        self.transform = block_transform(radices, self.heads, dtype, like.device)
        self.m = self.transform.blocks
        self.dtype, self.device = dtype, like.device
        # One head and no remainder: samples are read and written where they are.
        self.direct = self.heads == 1 and self.t == self.m * self.b and like.dtype == dtype
        self.spare = self.values()
        if not self.direct:
            shape = (self.heads, self.m * self.b, self.channels)
            self.loaded = torch.zeros(shape, dtype=dtype, device=self.device)
            self.loaded_part = self.loaded[:, : self.t].transpose(0, 1)
            self.unloaded = torch.empty_like(self.loaded)
            self.unloaded_part = self.unloaded[:, : self.t].transpose(0, 1)

    def values(self) -> Tensor:
        """Return a buffer for the transform of one sample, (H, m, 2, b c)."""
        shape = (self.heads, self.m, 2, self.b * self.channels)
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def columns(self, values: Tensor) -> Tensor:
        """Return a transform as the columns of each root's product, (H m, 2 b, c)."""
        return values.view(self.heads * self.m, 2 * self.b, self.channels)

    def matrices(self) -> Tensor:
        """Return a matrix of zeros for each root, (H m, 2 b, 2 b)."""
        shape = (self.heads * self.m, 2 * self.b, 2 * self.b)
        return torch.zeros(shape, dtype=self.dtype, device=self.device)

    def reader(self, x: Tensor, out: Tensor) -> Callable[[int], None]:
        """Return what transforms sample i of ``x`` (B, t, H, c) into ``out``."""
        steps = self.transform.analysis(out, self.spare)
        if self.direct:
            views = x.contiguous().view(len(x), *steps.source_shape).unbind()
            return lambda i: steps(views[i])
        samples, loaded = x.unbind(), self.loaded.view(steps.source_shape)

        def read(i: int) -> None:
            self.loaded_part.copy_(samples[i])
            steps(loaded)

        return read

    def writer(self, values: Tensor, y: Tensor) -> Callable[[int], None]:
        """Return what writes sample i of ``y`` (B, t, H, c), whose transform is overwritten."""
        steps = self.transform.synthesis(values, self.spare)
        first = values.view(steps.source_shape)
        if self.direct:
            views = y.view(len(y), *steps.target_shape).unbind()
            return lambda i: steps(first, views[i])
        samples, unloaded = y.unbind(), self.unloaded.view(steps.target_shape)

        def write(i: int) -> None:
            steps(first, unloaded)
            samples[i].copy_(self.unloaded_part)

        return write


def multiply(x: Tensor, w: Tensor, dtype: torch.dtype, adjoint: bool = False) -> Tensor:
    """Return ``T(w) x``, or with ``adjoint`` ``T(w)^T x``."""
    samples = _Samples(x, dtype)
    matrices = _root_matrices(w.to(dtype), samples, adjoint)
    before, after = samples.values(), samples.values()
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    read, write = samples.reader(x, before), samples.writer(after, y)
    inputs, outputs = samples.columns(before), samples.columns(after)
    for i in range(len(x)):
        read(i)
        torch.bmm(matrices, inputs, out=outputs)
        write(i)
    return y


def gradients(g: Tensor, x: Tensor, w: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return ``T(w)^T g`` and the correlations of ``g`` with ``x``, with one transform of ``g``."""
    samples = _Samples(g, dtype)
    matrices, outer = _root_matrices(w.to(dtype), samples, adjoint=True), samples.matrices()
    of_g, other = samples.values(), samples.values()
    gx = torch.empty(g.shape, dtype=g.dtype, device=g.device)
    read_g, read_x, write = samples.reader(g, of_g), samples.reader(x, other), samples.writer(other, gx)
    columns, others = samples.columns(of_g), samples.columns(other)
    rows = others.transpose(1, 2)
    for i in range(len(g)):
        read_g(i)
        read_x(i)
        outer.baddbmm_(columns, rows)
        torch.bmm(matrices, columns, out=others)
        write(i)
    return gx, _from_root_matrices(outer, samples).to(w.dtype)


def correlate(g: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return ``s[h, k] = sum g[b, i + k, h, c] x[b, i, h, c]``, of shape (H, t)."""
    samples = _Samples(g, dtype)
    outer = samples.matrices()
    of_g, of_x = samples.values(), samples.values()
    read_g, read_x = samples.reader(g, of_g), samples.reader(x, of_x)
    columns, rows = samples.columns(of_g), samples.columns(of_x).transpose(1, 2)
    for i in range(len(g)):
        read_g(i)
        read_x(i)
        outer.baddbmm_(columns, rows)
    return _from_root_matrices(outer, samples)


def _root_matrices(w: Tensor, samples: _Samples, adjoint: bool) -> Tensor:
    """Return the (H m, 2 b, 2 b) matrices, over m, that stand for T(w) at the roots.

    Block k of the matrix holds ``w[k b + r - s]`` at (r, s): window k of ``w``, of length 2 b - 1.
    """
    heads, m, b = samples.heads, samples.m, samples.b
    windows = pad(w, (b - 1, m * b - w.shape[1])).unfold(1, 2 * b - 1, b).contiguous()
    shape = (heads, m, 2, 2 * b - 1)
    values, spare = (torch.empty(shape, dtype=w.dtype, device=w.device) for _ in range(2))
    steps = samples.transform.analysis(values, spare)
    steps(windows.view(steps.source_shape))
    # Row r is entries r .. r + b - 1 of the window, backwards.
    real, imaginary = (values / m).unfold(3, b, 1).flip(-1).unbind(2)
    matrices = torch.stack([torch.stack([real, -imaginary], 3), torch.stack([imaginary, real], 3)], 2)
    matrices = matrices.view(heads * m, 2 * b, 2 * b)
    return matrices.transpose(1, 2) if adjoint else matrices


def _from_root_matrices(outer: Tensor, samples: _Samples) -> Tensor:
    """Return the transpose of `_root_matrices` applied to (H m, 2 b, 2 b): taps (H, t)."""
    heads, m, b = samples.heads, samples.m, samples.b
    (rr, ri), (ir, ii) = (part.unbind(3) for part in outer.view(heads, m, 2, b, 2, b).unbind(2))
    matrices = torch.stack([rr + ii, ir - ri], 2).flip(-1)
    # Row r of the padded (b, 2 b) array starts at 2 b r; read from (2 b - 1) r on, (r, s) is in column r + s.
    flat = pad(matrices, (0, b)).flatten(3)
    strides = (*flat.stride()[:3], 2 * b - 1, 1)
    values = torch.as_strided(flat, (heads, m, 2, b, 2 * b - 1), strides).sum(3) / m
    windows = torch.empty(heads, m, 2 * b - 1, dtype=outer.dtype, device=outer.device)
    steps = samples.transform.synthesis(values, torch.empty_like(values))
    steps(values.view(steps.source_shape), windows.view(steps.target_shape))
    taps = windows.new_zeros(heads, m + 1, b)
    taps[:, :m] += windows[..., :b]
    taps[:, 1:, : b - 1] += windows[..., b:]
    return taps.flatten(1)[:, b - 1 : b - 1 + samples.t]
