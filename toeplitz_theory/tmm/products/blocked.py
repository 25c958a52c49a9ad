"""Products by blocks of time: a transform over the blocks, small dense products at each of its roots.

Cut into m blocks of length b, the matrix is block Toeplitz with m different b x b blocks, each Toeplitz.
`BlockTransform` turns it into m independent complex b x b products. All of it is real matrix products on
arrays that keep the order (batch, time, channels): nothing is transposed, one sample at a time passes through
buffers that stay in the caches, and no memory grows with the batch.

As in the other ways: ``x`` is (B, t, H c), the channels of one head after those of another, ``w`` is (H, t),
the arithmetic is done in ``dtype``, results come in the dtype of their arguments.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class BlockTransform:
    """A transform along m blocks of time whose every step is a matrix product, for S stacks of blocks.

    A sequence of m blocks is a polynomial of degree m - 1 in u (u is a delay by one block) with real
    coefficients. Modulo ``u^m - i`` the product of two of them comes back whole: what wraps around is
    multiplied by i, so that the real part holds the first m coefficients of the product, the causal ones, and
    the imaginary part the others. No padding with zeros is needed, and the m roots of ``u^m = i`` contain no
    conjugate pairs: every one carries two real numbers, and all of them are treated alike.

    The values at the roots are made in stages, as in an FFT of large radices: with ``m = r_1 r_2``, first
    modulo ``u^{r_2} = v`` for the r_1 roots v of ``v^{r_1} = i`` (a real r_1-point transform of r_2 blocks at
    a time), then for each v at the r_2 roots of ``u^{r_2} = v`` (a complex one, twiddle factors inside its
    matrix). A stage of radix r costs 4 r (the first: 2 r) multiply-adds a real number. Written as real
    matrices the stages are orthogonal up to a factor, F^T F = m: synthesis is the transpose of analysis, and
    so are all gradients.

    ``first`` (S, 2 r, r) is the matrix of the first stage, ``later`` are those of the others, (S q, 2 r, 2 r)
    with q roots so far. The stacks share their matrices, repeated because batched products want them so.
    """

    blocks: int
    first: Tensor
    later: tuple[Tensor, ...]

    def analysis(self, out: Tensor, spare: Tensor) -> "Steps":
        """Return the steps from ``x`` (S, m, width) to its transform ``out`` (S, m, 2, width).

        ``out`` holds real and imaginary part at each root; ``spare``, as large, is overwritten.
        """
        matrices = (self.first, *self.later)
        # In turns, so that the last step writes to ``out``.
        targets = [(out, spare)[(len(self.later) - index) % 2] for index in range(len(matrices))]
        return Steps(matrices, targets)

    def synthesis(self, values: Tensor, spare: Tensor) -> "Steps":
        """Return the steps of the transpose of `analysis`, from ``values`` (S, m, 2, width) to (S, m, width).

        ``values`` and ``spare`` are overwritten; the last step writes where it is told to.
        """
        matrices = tuple(part.transpose(1, 2) for part in (*reversed(self.later), self.first))
        return Steps(matrices, [(spare, values)[index % 2] for index in range(len(self.later))])


class Steps:
    """Batched matrix products in a row, their views of the buffers made once: samples are many."""

    def __init__(self, matrices: tuple[Tensor, ...], targets: list[Tensor]):
        shapes = [(matrix.shape[0], matrix.shape[1], -1) for matrix in matrices]
        views = [target.view(shape) for target, shape in zip(targets, shapes, strict=False)]
        *before, self.last = matrices
        # What all products but the last write, and the same numbers as the next one reads them.
        self.before = [
            (matrix, view, target.view(after.shape[0], after.shape[2], -1))
            for matrix, view, target, after in zip(before, views, targets, matrices[1:], strict=False)
        ]
        self.target = views[-1] if len(views) == len(matrices) else None
        self.source_shape = (matrices[0].shape[0], matrices[0].shape[2], -1)
        self.target_shape = shapes[-1]

    def __call__(self, source: Tensor, target: Tensor | None = None) -> None:
        """Run the steps from ``source`` to the last buffer, or to ``target``, shaped as the steps say."""
        for matrices, written, read in self.before:
            torch.bmm(matrices, source, out=written)
            source = read
        torch.bmm(self.last, source, out=self.target if target is None else target)


@lru_cache(maxsize=64)
def block_transform(
    radices: tuple[int, ...], stack: int, dtype: torch.dtype, device: torch.device
) -> BlockTransform:
    """Return the transform of stacks of ``prod(radices)`` blocks, its matrices made in float64."""
    with torch.inference_mode(False), torch.no_grad():
        # A root is exp(2 pi i a / turn): whole numbers a keep angles exact, however often multiplied.
        numbers, turn = torch.tensor([1]), 4
        stages: list[Tensor] = []
        for radix in radices:
            points = torch.arange(radix)
            roots = numbers[:, None] + turn * points  # those of u^radix = one of the roots so far
            turn *= radix
            phase = (2 * math.pi / turn) * (roots[..., None] * points % turn).double()
            cos, sin = phase.cos(), phase.sin()
            columns = [torch.stack([cos, sin], 2)]  # of real parts: (q, root, real or imaginary, i)
            if stages:
                columns.append(torch.stack([-sin, cos], 2))
            stages.append(torch.stack(columns, 3).reshape(len(phase), 2 * radix, -1))
            numbers = roots.flatten()
        first, *later = (stage.repeat(stack, 1, 1).to(device, dtype) for stage in stages)
        return BlockTransform(math.prod(radices), first, tuple(later))


@lru_cache(maxsize=1024)
def radices_for(t: int, channels: int) -> tuple[tuple[int, ...], int]:
    """Return the radices and the length b of a block for t positions: ``t <= prod(radices) b``.

    Multiply-adds of forward and backward pass per number: five transforms, and per root and block three
    complex b x b products, 12 b. A stage also moves every number through the caches, which on the CPUs
    measured costs as much as some 27 multiply-adds: without that term the model takes too many stages.
    The matrices of those products are made anew at every call, for some channels or many: as if there were
    16 more.
    """

    def block(radices: tuple[int, ...]) -> int:
        return max(4, -(-t // math.prod(radices)))

    def cost(radices: tuple[int, ...]) -> float:
        b = block(radices)
        transform = 2 * radices[0] + sum(4 * radix for radix in radices[1:]) + 27 * len(radices)
        return math.prod(radices) * b * (5 * transform + 12 * max(b, 8) * (1 + 16 / channels))

    radices = min(_RADICES, key=cost)
    return radices, block(radices)


_RADICES = (
    *((first,) for first in (4, 8, 16, 32)),
    *((first, second) for first in (4, 8, 16, 32) for second in (2, 4, 8, 16)),
    *((first, second, third) for first in (8, 16, 32) for second in (4, 8, 16) for third in (4, 8, 16)),
    *((16, 16, 16, last) for last in (4, 8, 16)),
)


# Buffers are kept between calls: fresh memory costs more than the arithmetic on it.
KEPT = 4
KEPT_BYTES = 2**25


class Workspace:
    """What products with samples (t, H c) need: the transform, and buffers for one sample at a time."""

    def __init__(self, t: int, heads: int, channels: int, dtype: torch.dtype, device: torch.device):
        radices, b = radices_for(t, channels)
        self.t, self.heads, self.channels = t, heads, channels
        self.dtype, self.device, self.nbytes = dtype, device, 0
        # Samples are read with all heads joined, as they lie; results come head by head.
        joined = block_transform(radices, 1, dtype, device)
        self.transform = block_transform(radices, heads, dtype, device)
        m = joined.blocks
        self.m, self.b = m, b
        # No remainder: samples can be read where they are.
        self.aligned = t == m * b
        first, second, spare = (self._zeros(m * 2 * b * heads * channels) for _ in range(3))
        self.analyses = tuple(joined.analysis(values, spare) for values in (first, second))
        self.synthesis = joined.synthesis(first if heads > 1 else second, spare)
        self.values = (first if heads > 1 else second).view(self.synthesis.source_shape)
        # Transforms as the columns of each head's products at the roots, and what these give.
        shape = (m, 2 * b, heads, channels)
        self.columns = tuple(values.view(shape).unbind(2) for values in (first, second))
        self.rows = tuple(columns.transpose(1, 2) for columns in self.columns[1])
        results = second.view(heads, m, 2 * b, channels)
        self.results = results.unbind()
        self.joined, self.by_head = first.view(shape), results.permute(1, 2, 0, 3)
        self.matrices, outer = (self._zeros(heads, m, 2 * b, 2 * b) for _ in range(2))
        self.outer = outer.unbind()
        self.matrix_rows, self.outer_rows = (part.view(1, heads * m, -1) for part in (self.matrices, outer))
        self.blocks = self._zeros(m * b, heads * channels)
        self.part = self.blocks[:t]
        self._make_windows()

    def _make_windows(self) -> None:
        """Make what turns taps into matrices at the roots, and back."""
        heads, m, b = self.heads, self.m, self.b
        padded = self._zeros(heads, (m + 1) * b)
        self.taps = padded[:, b : b + self.t]
        self.windows_of_taps = padded.unfold(1, 2 * b, b)
        self.windows = self._zeros(heads, m, 2 * b)
        values, spare = (self._zeros(heads, m, 2, 2 * b) for _ in range(2))
        self.window_analysis = self.transform.analysis(values, spare)
        self.window_synthesis = self.transform.synthesis(values, spare)
        self.window_source = self.windows.view(self.window_analysis.source_shape)
        # On the way back a lag below zero of a window is one of the window before it.
        summed = self._zeros(heads, m + 1, 2 * b)
        self.overlaps = summed[:, :m, b:], summed[:, 1:, :b]
        rows = self.window_synthesis.target_shape[1]
        self.window_target = summed[:, :m].unflatten(1, (rows, -1)).flatten(2)
        self.window_values = values.view(self.window_synthesis.source_shape)
        self.window_rows = values.view(1, heads * m, -1)
        self.spread, self.gather = spread_matrices(m, b, self.dtype, self.device)

    def _zeros(self, *shape: int) -> Tensor:
        buffer = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self.nbytes += buffer.nbytes
        return buffer


@lru_cache(maxsize=16)
def spread_matrices(m: int, b: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the (1, 4 b, 4 b^2) matrix from a window's values at a root to the product there; its transpose.

    The window holds real and imaginary parts of lags -b to b - 1; entry (r, s) of the complex b x b product
    is lag r - s, and as a real matrix it is ``[[real, -imaginary], [imaginary, real]]``.
    """
    with torch.inference_mode(False), torch.no_grad():
        lags = torch.arange(b)[:, None] - torch.arange(b)
        picks = torch.nn.functional.one_hot(lags + b, 2 * b).permute(2, 0, 1) / m
        spread = picks.new_zeros(2, 2 * b, 2, b, 2, b)
        spread[0, :, 0, :, 0] = spread[0, :, 1, :, 1] = spread[1, :, 1, :, 0] = picks
        spread[1, :, 0, :, 1] = -picks
        spread = spread.view(1, 4 * b, 4 * b * b).to(device, dtype)
        # Stored both ways round: products with a transposed right-hand side take up to three times as long.
        return spread, spread.transpose(1, 2).contiguous()


_local = threading.local()


def workspace_for(like: Tensor, heads: int, dtype: torch.dtype) -> Workspace:
    """Return the workspace of this thread for samples of ``like`` (B, t, H c), made when there is none.

    A few are kept, unless they are large: then the product is large too, and making them anew is nothing.
    """
    kept: OrderedDict[tuple, Workspace] | None = getattr(_local, "kept", None)
    if kept is None:
        kept = _local.kept = OrderedDict()
    key = (like.shape[1:], heads, dtype, like.device)
    workspace = kept.get(key)
    if workspace is None:
        with torch.inference_mode(False), torch.no_grad():
            t, width = map(int, like.shape[1:])
            workspace = Workspace(t, heads, width // heads, dtype, like.device)
        if workspace.nbytes <= KEPT_BYTES:
            kept[key] = workspace
            while len(kept) > KEPT:
                kept.popitem(last=False)
    else:
        kept.move_to_end(key)
    return workspace


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
        outer.baddbmm_(columns, rows, beta=0 if first else 1)


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
    direct = space.aligned and y.dtype == space.dtype
    samples = (y.view(len(y), *steps.target_shape) if direct else y).unbind()
    part, rest, blocks = space.part, space.blocks[space.t :], space.blocks.view(steps.target_shape)

    def write(i: int) -> None:
        if headed:
            space.joined.copy_(space.by_head)
        steps(values, samples[i] if direct else blocks)
        if not direct:
            samples[i].copy_(part)
            rest.zero_()  # readers fill no more than the part

    return write


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
