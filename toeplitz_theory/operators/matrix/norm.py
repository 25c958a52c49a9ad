"""Spectral norm of a lower-triangular Toeplitz matrix: a value, and a bracket that is proved.

Lower bounds are Rayleigh quotients. Upper bounds, the best of three, each rigorous with its rounding:

* the circle: ``||T_n(f)|| <= max |f(z)| on |z| = 1`` (the section is a compression of multiplication by f);
* deflation: with P the projector on a few approximate singular vectors and M = T^H T, the norm of M is at
  most that of the 2 x 2 matrix of ``||PMP||``, ``||(I-P)MP||`` (a residual) and ``tr (I-P)M`` (Frobenius norm
  less what P carries): right to rounding when singular values fall off fast, as those of an inverse do;
* Schur: if Schur's algorithm for ``s^2 I - T T^H`` runs to completion, O(n^2) operations, that matrix is
  positive up to rounding, which is bounded on the way (`schur`), so ``||T|| <= s`` and a little. If it meets
  a negative pivot, ``||T|| >= s`` less a little.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.fft
import scipy.linalg
from numpy.typing import NDArray

from toeplitz_theory.operators.matrix.schur import norm_bounds
from toeplitz_theory.operators.product import CausalProduct, fast_length, frobenius_square
from toeplitz_theory.operators.results import Bracket
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, fft_error, without_specks
from toeplitz_theory.threads import one_thread

TIGHT_UP_TO = 16_384  # one run of Schur's algorithm: 0.3 s there
_STEPS = 60
_CONVERGED = 1e-7  # residual of the leading Ritz pair, relative: its value is then right to 1e-7 or better
_NARROW = 1e-8  # relative gap in ||T||^2 at which Schur's test is tried first
_WIDER = 10.0  # each next gap
_CLOSE = 5e-7  # relative width of a bracket that is close enough: two of them make 1e-6 in log10

Vector = NDArray[Any]


def circle_bound(taps: Vector, oversampling: int = 16) -> float:
    """Return a rigorous upper bound of max |f(z)| on the unit circle, f(z) = sum_k taps[k] z**k.

    ``|f|^2 - M/2``, M the maximum, is a real trigonometric polynomial of degree d = n - 1 between -M/2 and
    M/2, and such a polynomial is at least ``(M/2) cos(d h)`` at distance h from its maximum (M. Riesz). A
    grid of N points has one within pi/N, so ``max |f| <= (grid maximum) / cos(pi d / 2N)``.

    Examples
    --------
    >>> 2.0 <= circle_bound(np.array([1.0, 1.0])) < 2.02
    True
    """
    length = fast_length(max(8, oversampling * taps.size))
    transformed = scipy.fft.fft(taps, length) if np.iscomplexobj(taps) else scipy.fft.rfft(taps, length)
    grid = float(np.max(np.abs(transformed)))
    # One value is off by at most the 2-norm error of the whole transform.
    delta = fft_error(length) * math.sqrt(length) * float(np.linalg.norm(taps))
    return (grid + delta) / math.cos(math.pi * (taps.size - 1) / (2 * length)) * (1 + 16 * UNIT_ROUNDOFF)


@one_thread()
def norm_bracket(product: CausalProduct, tight: bool | None = None) -> Bracket:
    """Return the spectral norm of ``product``'s matrix with its proved bracket.

    ``method`` names the proof of the upper end.

    Parameters
    ----------
    product : CausalProduct
        Its taps scaled near 1 (`split_scale`) and not all zero.
    tight : bool, optional
        Whether to run Schur's algorithm, O(n^2), for an upper bound within 1e-8, or 1e-6 where Lanczos' value
        is not that good, if the cheap ones leave more. By default for n <= 16,384.

    Examples
    --------
    >>> bracket = norm_bracket(CausalProduct(np.array([1.0, 1.0])))
    >>> bracket.lower <= (1 + 5**0.5) / 2 <= bracket.upper, bracket.upper - bracket.lower < 1e-7
    (True, True)
    """
    values, vectors = _lanczos(product)
    upper, method = circle_bound(product.taps), "circle"
    deflated = _deflation_bound(product, values, vectors, upper)
    if deflated < upper:
        upper, method = deflated, "deflation"
    lower, value = _rayleigh(product, vectors[0])
    wanted = product.n <= TIGHT_UP_TO if tight is None else tight
    if wanted and upper > lower * (1 + _NARROW):
        lower, proved = _schur_bounds(product.taps, value, lower, upper)
        if proved < upper:
            upper, method = proved, "schur"
    return Bracket(min(max(value, lower), upper), lower, upper, True, method)


def start_vector(product: CausalProduct) -> Vector:
    """Return a start vector near the leading singular vector of a decaying kernel, and not orthogonal to any.

    For a smooth symbol that vector is a half sine wave, modulated at the angle where |a| is largest.
    """
    n = product.n
    noise = np.random.default_rng(0).standard_normal(n)
    t = np.arange(n)
    grid = np.abs(scipy.fft.fft(product.taps, 4 * n))
    angle = 2 * np.pi * int(np.argmax(grid)) / (4 * n)
    wave: NDArray[np.complex128] = np.exp(-1j * angle * t) * np.sin(np.pi * (t + 0.5) / n)
    start = wave if product.is_complex else wave.real
    start = start / np.linalg.norm(start) + 0.1 * noise / np.linalg.norm(noise)
    return start / np.linalg.norm(start)


def _lanczos(product: CausalProduct) -> tuple[Vector, Vector]:
    """Return up to 12 leading Ritz values of T^H T, descending, and their vectors as rows.

    Lanczos with full reorthogonalisation, until the first pair is good.
    """
    steps = min(_STEPS, product.n)
    basis = np.empty((steps + 1, product.n), product.taps.dtype)
    basis[0] = start_vector(product)
    diagonal: list[float] = []
    off: list[float] = []
    for k in range(steps):
        image = product.adjoint(product.forward(basis[k]))
        diagonal.append(float(np.vdot(basis[k], image).real))
        image = image - diagonal[-1] * basis[k]
        if k:
            image -= off[-1] * basis[k - 1]
        image, beta = _orthogonalise(image, basis[: k + 1])
        exhausted = beta <= 1e-14 * max(map(abs, diagonal)) or k + 1 == steps
        if exhausted or (k >= 7 and k % 4 == 3):
            values, coordinates = scipy.linalg.eigh_tridiagonal(diagonal, off)
            if exhausted or beta * abs(coordinates[-1, -1]) <= _CONVERGED * values[-1]:
                break
        off.append(beta)
        basis[k + 1] = image / beta
    return values[::-1][:12], coordinates[:, ::-1][:, :12].T @ basis[: values.size]


def _orthogonalise(vector: Vector, basis: Vector) -> tuple[Vector, float]:
    """Return ``vector`` less its part in the rows of ``basis``, and its norm; twice if much cancels."""
    size = float(np.linalg.norm(vector))
    for _ in range(2):
        vector = vector - (basis.conj() @ vector) @ basis
        left = float(np.linalg.norm(vector))
        if left > 0.5 * size:
            break
    return vector, left


def _rayleigh(product: CausalProduct, vector: Vector) -> tuple[float, float]:
    """Return a rigorous lower bound of the norm, and the quotient itself."""
    size = float(np.linalg.norm(vector))
    image = float(np.linalg.norm(product.forward(vector)))
    slack = (product.n + 8) * UNIT_ROUNDOFF  # of each computed 2-norm, relative
    lower = image * (1 - slack) / (size * (1 + slack)) * (1 - 4 * UNIT_ROUNDOFF) - product.error
    return max(lower, 0.0), image / size


def _deflation_bound(product: CausalProduct, values: Vector, rows: Vector, norm: float) -> float:
    """Return the deflation bound for the best number of leading Ritz vectors; ``norm`` is an upper bound."""
    n, u = product.n, UNIT_ROUNDOFF
    images = product.forward(rows)
    residuals = product.adjoint(images) - values[:, None] * rows
    best = math.inf
    frobenius = frobenius_square(product.taps) * (1 + (n + 8) * u)
    gram = rows.conj() @ rows.T
    energy = images.conj() @ images.T
    slack = (4 * n + 16) * u
    for j in range(1, len(rows) + 1):
        # All norms of j x j and n x j blocks by Frobenius; j <= 12 columns, each of norm about 1.
        defect = float(np.linalg.norm(gram[:j, :j] - np.eye(j))) + j * slack
        if defect > 1e-6:
            break
        image_error = math.sqrt(j * (1 + defect)) * product.error
        carried = math.sqrt(float(np.trace(energy[:j, :j]).real)) * (1 - slack) - image_error
        head = (
            float(np.linalg.eigvalsh(without_specks(energy[:j, :j]))[-1]) * (1 + j * slack)
        ) + image_error * (2 * norm * 1.01 + image_error)
        tail = max(frobenius - max(carried, 0.0) ** 2 / (1 + defect) * (1 - 8 * u), 0.0)
        cross = float(np.linalg.norm(residuals[:j])) * (1 + slack) + image_error * 2.1 * norm
        cross += 4 * u * norm * norm * math.sqrt(j)
        head, cross = head / (1 - defect), cross / math.sqrt(1 - defect)
        square = (head + tail) / 2 + math.hypot((head - tail) / 2, cross)
        best = min(best, math.sqrt(square) * (1 + 16 * u))
    return best


def _schur_bounds(taps: Vector, value: float, lower: float, upper: float) -> tuple[float, float]:
    """Return proved bounds of the norm, close to each other unless rounding forbids it.

    Schur's test at gaps above ``value``, wider and wider until it holds. Where Lanczos' value was poor, a
    cluster at the top of the spectrum, the norm is then shut in by bisection: a negative pivot proves a lower
    bound as all positive ones prove an upper one.
    """
    gap = _NARROW
    while (s := value * math.sqrt(1 + gap)) < upper:
        low, high = norm_bounds(taps, s)
        lower, upper = max(lower, low), min(upper, high)
        if high < math.inf:
            break
        gap *= _WIDER
    while upper > lower * (1 + _CLOSE):
        # In the middle of the gaps, which may differ by orders of magnitude.
        s = value + math.sqrt(max(lower - value, _CLOSE * value / 4) * (upper - value))
        low, high = norm_bounds(taps, s)
        if low <= lower and high >= upper:  # rounding hides the rest
            break
        lower, upper = max(lower, low), min(upper, high)
    return lower, upper
