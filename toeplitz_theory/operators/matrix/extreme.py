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

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators.bits import TooFewBits
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.matrix.bidiagonal import smallest_values
from toeplitz_theory.operators.matrix.inverse import inverse_series
from toeplitz_theory.operators.matrix.norm import start_vector
from toeplitz_theory.operators.matrix.schur import count_above
from toeplitz_theory.operators.matrix.waves import clustered, orthonormal, ritz
from toeplitz_theory.operators.product import CausalProduct, frobenius_square
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, split_scale
from toeplitz_theory.threads import one_thread

_BITS = (64, 256, 1024, 4096)  # spreads of the smallest values that are tried
_BLOCK = 4  # a value that is met up to four times, as for a(z) = f(z^2), comes as often
_TOLERANCE = 1e-9
_POOR = 1e-6  # relative error above which more bits are tried
_NEW = 1e-13  # part of a direction outside the basis that is more than rounding
_MOST = 240  # basis vectors: 16 n bytes each, with their images
_COUNT_UP_TO = 16_384

Floats = NDArray[np.float64]


def largest(taps: Kernel, count: int) -> tuple[Floats, Floats, str]:
    """Return log10 of the ``count`` largest singular values, descending, relative errors, and how.

    Examples
    --------
    >>> log10, error, _ = largest(np.array([1.0] + [0.0] * 99 + [1.0] * 1), 1)
    >>> round(10 ** log10[0], 9), bool(error[0] < 1e-9)
    (np.float64(1.618033989), True)
    """
    scaled, exponent = split_scale(taps)
    values, error, why = leading(CausalProduct(scaled), count)
    return *with_error(values, exponent, error), why


def smallest(taps: Kernel, count: int, more_bits: bool = True) -> tuple[Floats, Floats, str]:
    """Return log10 of the ``count`` smallest singular values, descending, relative errors, and how.

    ``taps[0]`` must not be 0. Where the values differ by more than float64 resolves they are computed again
    in as many bits as that needs (`bidiagonal.smallest_values`), if ``more_bits`` may be taken.

    Examples
    --------
    >>> log10, error, _ = smallest(np.array([1.0, -10.0] + [0.0] * 198), 1)
    >>> round(log10[0], 6), bool(error[0] < 1e-9)
    (np.float64(-199.004365), True)
    """
    series, exponent, series_error = inverse_series(taps).common()
    values, leading_error, why = leading(CausalProduct(series), count)
    log10, error = with_error(values, exponent, leading_error + series_error)
    method = f"{why}, of the inverse"
    if more_bits and error.max() > _POOR and values[-1] < _POOR * values[0]:
        try:
            return _in_more_bits(taps, count)
        except NumericalError as reason:  # the errors stay as large as they are, and say so
            method += f"; {reason}"
    return -log10[::-1], error[::-1], method


def _in_more_bits(taps: Kernel, count: int) -> tuple[Floats, Floats, str]:
    for bits in _BITS:
        try:
            log10, error = smallest_values(taps, count, bits)
        except TooFewBits:
            continue
        return log10, error, f"bidiagonalisation of the inverse in {2 * bits} bits and more"
    raise NumericalError(f"the {count} smallest singular values differ by more than {_BITS[-1]} bits")


def with_error(values: Floats, exponent: int, error: float) -> tuple[Floats, Floats]:
    """Return log10(values 2**exponent) and the relative error of ``values`` that are known to ``error``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(values > error, error / (values - error), np.inf)
        return np.log10(values) + exponent * math.log10(2.0), relative


@one_thread()
def leading(product: CausalProduct, count: int) -> tuple[Floats, float, str]:
    """Return the ``count`` largest singular values of ``product``'s matrix, descending.

    Then a bound of how far each is from the singular value it stands for, and how they were found: also
    whether it is proved that none was missed.
    """
    n = product.n
    wanted = min(count + 2, n)
    most = min(n, max(_MOST, 4 * count))
    waves = clustered(product, count, most)
    method = "block Lanczos" if waves is None else "waves in a box"
    if waves is None:
        block = np.random.default_rng(0).standard_normal((min(_BLOCK, n), n)).astype(product.taps.dtype)
        block[0] = start_vector(product)
        basis = rows = orthonormal(block, block[:0], _NEW)
        images = product.forward(rows)
    else:
        basis, images = waves
        most = len(basis)
    while True:
        values, _, sizes, _ = ritz(product, basis, images, wanted)
        floor = 8 * product.error + n * UNIT_ROUNDOFF * values[0]
        settled = any((sizes[:count] <= bound).all() for bound in (_TOLERANCE * values[:count], floor))
        if len(basis) >= most or (settled and values.size >= wanted):
            break
        for _ in range(2 if len(basis) < 24 else 4):
            rows = orthonormal(product.adjoint(images[-len(rows) :]), basis, _NEW)
            if not len(rows):
                break
            basis = np.concatenate([basis, rows])
            images = np.concatenate([images, product.forward(rows)])
        if not len(rows):
            rows = basis[-_BLOCK:]
            most = len(basis)  # the basis is invariant, or everything: one last evaluation
    # Values that are missing because the basis was used up count as 0, of which nothing is known.
    values = np.pad(values, (0, max(0, count - values.size)))
    # Rounding: of the product twice, of the SVD and the norms n u, of the basis' orthogonality.
    error = float(np.linalg.norm(sizes[:count])) + math.sqrt(count) * floor
    why = _complete(product, values, sizes, error, count, len(basis) == n)
    return values[:count], error, f"{method}, {len(basis)} vectors; {why}"


def _complete(
    product: CausalProduct, values: Floats, sizes: Floats, error: float, count: int, whole: bool
) -> str:
    """Say whether no singular value above the last of ``count`` was missed, and what proves it."""
    n = product.n
    if whole:
        return "a whole basis"
    # ||A||_F^2 less what the basis carries bounds every singular value outside it (and those it carries).
    squares = frobenius_square(product.taps) * (1 + (n + 8) * UNIT_ROUNDOFF)
    carried = float((values**2).sum()) * (1 - (n + 8) * UNIT_ROUNDOFF)
    left_over = math.sqrt(max(squares - carried, 0.0) + 2 * squares * n * UNIT_ROUNDOFF)
    if left_over + error < values[count - 1]:
        return "none missed, by the Frobenius norm"
    if n <= _COUNT_UP_TO:
        following = values[count] + sizes[count] if values.size > count else 0.0
        threshold = 0.5 * (values[count - 1] - error + following)
        if following < threshold:
            counted = count_above(product.taps, threshold)
            if counted is not None and counted[0] == count and counted[2] < values[count - 1] - error:
                return "none missed, by Schur's count"
            if counted is not None and counted[0] > count:
                return f"Schur's count says {counted[0]} above the last of {count}: some were missed"
    return "that none was missed is not proved"
