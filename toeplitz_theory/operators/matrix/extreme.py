"""The largest and smallest singular values of long sections without a matrix: block Lanczos, FFT products.

The largest are found from products with T, the smallest as the largest of the inverse, which is triangular
Toeplitz too. Ritz values of an orthonormal basis Q with A Q = W: singular values of W. For k Ritz pairs with
residuals R = A^H U - V S (A V = U S holds to rounding), k singular values of A lie within ``||R||_F`` of the
k Ritz values, matched one to one (Kahan; Parlett, The Symmetric Eigenvalue Problem, 11.5, for the dilation).
That none in between was missed is another statement: it is proved by Schur's count of the singular values
above a threshold (`schur.count_above`) or by the Frobenius norm that the basis leaves over.

ARPACK (`scipy.sparse.linalg.svds`) is some five times faster on kernels drawn at random, but starts from one
vector: of fourfold values, as of a(z) = f(z^4), it lost some, and on a section near the identity, all values
next to each other, it took a hundred times as long as these blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators.bits import TooFewBits
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.matrix.bidiagonal import smallest_values
from toeplitz_theory.operators.matrix.inverse import inverse_series
from toeplitz_theory.operators.matrix.norm import start_vector
from toeplitz_theory.operators.matrix.schur import count_above
from toeplitz_theory.operators.matrix.waves import clustered, ritz
from toeplitz_theory.operators.product import CausalProduct, frobenius_square
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, split_scale
from toeplitz_theory.threads import one_thread

_BITS = (64, 256, 1024, 4096)  # spreads of the smallest values that are tried
_BLOCK = 4  # a value that is met up to four times, as for a(z) = f(z^2), comes as often
_TOLERANCE = 1e-9
_POOR = 1e-6  # relative error above which more bits are tried
_MOST = 240  # basis vectors: 16 n bytes each, with their images
_COUNT_UP_TO = 16_384

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Leading:
    """Largest singular values of one triangular Toeplitz matrix, descending, of taps scaled near 1.

    ``error`` bounds how far each is from the singular value it stands for; ``complete`` says whether it is
    proved that none was missed, and ``why`` how.
    """

    values: Floats
    error: float
    complete: bool
    why: str


def largest(taps: Kernel, count: int) -> tuple[Floats, Floats, str]:
    """Return log10 of the ``count`` largest singular values, descending, relative errors, and how.

    Examples
    --------
    >>> log10, error, _ = largest(np.array([1.0] + [0.0] * 99 + [1.0] * 1), 1)
    >>> round(10 ** log10[0], 9), bool(error[0] < 1e-9)
    (np.float64(1.618033989), True)
    """
    scaled, exponent = split_scale(taps)
    top = leading(CausalProduct(scaled), count)
    with np.errstate(divide="ignore"):
        log10 = np.log10(top.values) + exponent * math.log10(2.0)
    return log10, _relative(top), top.why


def smallest(taps: Kernel, count: int) -> tuple[Floats, Floats, str]:
    """Return log10 of the ``count`` smallest singular values, descending, relative errors, and how.

    ``taps[0]`` must not be 0. Where the values differ by more than float64 resolves they are computed again
    in as many bits as that needs (`bidiagonal.smallest_values`).

    Examples
    --------
    >>> log10, error, _ = smallest(np.array([1.0, -10.0] + [0.0] * 198), 1)
    >>> round(log10[0], 6), bool(error[0] < 1e-9)
    (np.float64(-199.004365), True)
    """
    series, exponent, series_error = inverse_series(taps).common()
    top = leading(CausalProduct(series), count)
    error = _relative(top, series_error)
    with np.errstate(divide="ignore"):
        log10 = -(np.log10(top.values) + exponent * math.log10(2.0))
    method = f"{top.why}, of the inverse"
    if error.max() > _POOR and top.values[-1] < _POOR * top.values[0]:
        try:
            return _in_more_bits(taps, count)
        except NumericalError as reason:  # the errors stay as large as they are, and say so
            method += f"; {reason}"
    return log10[::-1], error[::-1], method


def _in_more_bits(taps: Kernel, count: int) -> tuple[Floats, Floats, str]:
    for bits in _BITS:
        try:
            log10, error = smallest_values(taps, count, bits)
        except TooFewBits:
            continue
        return log10, error, f"bidiagonalisation of the inverse in {2 * bits} bits and more"
    raise NumericalError(f"the {count} smallest singular values differ by more than {_BITS[-1]} bits")


def _relative(top: Leading, more: float = 0.0) -> Floats:
    error = top.error + more
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(top.values > error, error / (top.values - error), np.inf)


@one_thread()
def leading(product: CausalProduct, count: int) -> Leading:
    """Return the ``count`` largest singular values of ``product``'s matrix."""
    n = product.n
    wanted = min(count + 2, n)
    most = min(n, max(_MOST, 4 * count))
    waves = clustered(product, count, most)
    method = "block Lanczos" if waves is None else "waves in a box"
    if waves is None:
        basis = rows = _first_block(product, min(_BLOCK, n))
        images = product.forward(rows)
    else:
        basis, images = waves
        most = len(basis)
    while True:
        values, _, sizes, _ = ritz(product, basis, images, wanted)
        keep = min(wanted, values.size)
        settled = keep == wanted and bool((sizes[:count] <= _TOLERANCE * values[:count]).all())
        floor = 8 * product.error + n * UNIT_ROUNDOFF * values[0]
        if settled or len(basis) >= most or bool((sizes[:count] <= floor).all() and keep == wanted):
            break
        for _ in range(2 if len(basis) < 24 else 4):
            rows = _next_block(product, images[-len(rows) :], basis)
            if not len(rows):
                break
            basis = np.concatenate([basis, rows])
            images = np.concatenate([images, product.forward(rows)])
        if not len(rows):
            rows = basis[-_BLOCK:]
            most = len(basis)  # the basis is invariant, or everything: one last evaluation
    # Rounding: of the product twice, of the SVD and the norms n u, of the basis' orthogonality.
    error = float(np.linalg.norm(sizes[:count])) + math.sqrt(count) * floor
    complete, why = _complete(product, values, sizes, error, count, images)
    return Leading(values[:count], error, complete, f"{method}, {len(basis)} vectors; {why}")


def _first_block(product: CausalProduct, size: int) -> NDArray[Any]:
    rng = np.random.default_rng(0)
    block = rng.standard_normal((size, product.n)).astype(product.taps.dtype)
    block[0] = start_vector(product)
    return np.ascontiguousarray(np.linalg.qr(block.T)[0].T)


def _next_block(product: CausalProduct, images: NDArray[Any], basis: NDArray[Any]) -> NDArray[Any]:
    """Return A^H images, orthonormal and orthogonal to the basis; fewer rows where directions are used up."""
    rows = product.adjoint(images)
    top = float(np.abs(rows).max())
    for _ in range(2):
        rows = rows - (rows @ basis.conj().T) @ basis
        q, r = np.linalg.qr(rows.T)
        alive = np.abs(np.diag(r)) > 1e-13 * top
        rows = q.T[alive][: product.n - len(basis)]
        if not len(rows):
            break
        top = 1.0
    return np.ascontiguousarray(rows)


def _complete(
    product: CausalProduct,
    values: Floats,
    sizes: Floats,
    error: float,
    count: int,
    images: NDArray[Any],
) -> tuple[bool, str]:
    """Whether no singular value above the last of ``count`` was missed, and what proves it."""
    n = product.n
    if len(images) == n:
        return True, "a whole basis"
    # ||A||_F^2 less what the basis carries bounds every singular value outside it (and those it carries).
    squares = frobenius_square(product.taps) * (1 + (n + 8) * UNIT_ROUNDOFF)
    carried = float((values**2).sum()) * (1 - (n + 8) * UNIT_ROUNDOFF)
    left_over = math.sqrt(max(squares - carried, 0.0) + 2 * squares * n * UNIT_ROUNDOFF)
    if left_over + error < values[count - 1]:
        return True, "none missed, by the Frobenius norm"
    if n <= _COUNT_UP_TO:
        following = values[count] + sizes[count] if values.size > count else 0.0
        threshold = 0.5 * (values[count - 1] - error + following)
        if following < threshold:
            counted = count_above(product.taps, threshold)
            if counted is not None and counted[0] == count and counted[2] < values[count - 1] - error:
                return True, "none missed, by Schur's count"
            if counted is not None and counted[0] > count:
                return False, f"Schur's count says {counted[0]} above the last of {count}: some were missed"
    return False, "that none was missed is not proved"
