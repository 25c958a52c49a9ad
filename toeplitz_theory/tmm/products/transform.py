"""A transform along blocks of time whose every step is a matrix product.

A sequence of m blocks is a polynomial of degree m - 1 in u (u is a delay by one block) with real
coefficients. Modulo ``u^m - i`` the product of two of them comes back whole: what wraps around is multiplied
by i, so that the real part holds the first m coefficients of the product, the causal ones, and the imaginary
part the others. No padding with zeros is needed, and the m roots of ``u^m = i`` contain no conjugate pairs:
every one carries two real numbers, and all of them are treated alike.

The values at the roots are made in stages, as in an FFT of large radices: with ``m = r_1 r_2``, first modulo
``u^{r_2} = v`` for the r_1 roots v of ``v^{r_1} = i`` (a real r_1-point transform of r_2 blocks at a time),
then for each v at the r_2 roots of ``u^{r_2} = v`` (a complex one, twiddle factors inside its matrix). A
stage of radix r costs 4 r (the first: 2 r) multiply-adds a real number. Written as real matrices the stages
are orthogonal up to a factor, F^T F = m: synthesis is the transpose of analysis, and so are all gradients.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class BlockTransform:
    """The transform of S stacks of m blocks each.

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
    best: tuple[float, tuple[int, ...], int] | None = None
    for radices in _RADICES:
        blocks = math.prod(radices)
        b = max(4, -(-t // blocks))
        transform = 2 * radices[0] + sum(4 * radix for radix in radices[1:]) + 27 * len(radices)
        cost = blocks * b * (5 * transform + 12 * max(b, 8) * (1 + 16 / channels))
        if best is None or cost < best[0]:
            best = (cost, radices, b)
    assert best is not None
    return best[1:]


_RADICES = (
    *((first,) for first in (4, 8, 16, 32)),
    *((first, second) for first in (4, 8, 16, 32) for second in (2, 4, 8, 16)),
    *((first, second, third) for first in (8, 16, 32) for second in (4, 8, 16) for third in (4, 8, 16)),
    *((16, 16, 16, last) for last in (4, 8, 16)),
)
