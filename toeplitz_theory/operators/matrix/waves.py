r"""Singular vectors at the top of a long smooth section's spectrum: waves in a box, bent near its ends.

Where |a| has a smooth maximum at angle t, the largest singular values of the n x n section lie k^2 / n^2
apart below max |a|, and Lanczos needs some n / k steps to tell them apart. But their vectors are known: away
from the ends of the window they are combinations of ``e^{i t j} e^{i s j}`` with real s of about pi k / n,
and next to the ends something short is added. The subspace here starts with the exponentials s = pi m / n,
|m| <= some more than are wanted (twice as dense as a Fourier basis: on half their period they approximate
every smooth function, whatever it does at the ends). It grows by residuals divided by max |a|^2 - |a|^2,
which is small only where the exponentials are complete (Davidson, J. Comput. Phys. 17, 1975). Nothing is
taken on trust: the values are judged by their residuals, as any others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.operators.product import CausalProduct
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

Rows = NDArray[Any]
_NEAR = 0.98  # of max |a|, which a wave in a box has to reach; kaiming kernels reach about a half
_MORE = 8  # exponentials on each side beyond the values wanted
_MAXIMA = 4
_ROUNDS = 30


def clustered(product: CausalProduct, count: int, most: int) -> tuple[Rows, Rows] | None:
    """Return an orthonormal basis (rows) with the ``count`` leading right singular vectors, and its images.

    None where |a| has no maximum that the section comes near to, or the residuals do not get small with
    ``most`` vectors.

    Examples
    --------
    >>> import numpy as np
    >>> taps = np.array([1.0, 1.0] + [0.0] * 998)
    >>> basis, images = clustered(CausalProduct(taps), 3, 240)
    >>> values = np.linalg.svd(images, compute_uv=False)[:3]
    >>> bool(np.abs(values - 2 * np.cos(np.pi * np.arange(1, 4) / 2001)).max() < 1e-13)
    True
    """
    n, modes = product.n, count + _MORE
    if n < 8 * modes:
        return None
    grid = np.abs(scipy.fft.fft(product.taps, scipy.fft.next_fast_len(4 * n))) ** 2
    peak = int(np.argmax(grid))
    wave = _waves(product, [2 * np.pi * peak / grid.size], 1)
    if np.linalg.norm(product.forward(wave), axis=1).max() < _NEAR * np.sqrt(grid[peak]):
        return None
    away = max(1, round(modes / (2 * n) * grid.size))
    floor = float(grid[peak] - min(grid[(peak + away) % grid.size], grid[peak - away]))
    if floor <= 1e3 * UNIT_ROUNDOFF * grid[peak]:  # |a| is constant, or as good as
        return None
    maxima = (grid >= np.roll(grid, 1)) & (grid > np.roll(grid, -1)) & (grid[peak] - grid <= 4 * floor)
    angles = 2 * np.pi * np.flatnonzero(maxima) / grid.size
    if not product.is_complex:
        angles = angles[angles <= np.pi]
    strongest = np.argsort(-grid[np.round(angles / (2 * np.pi) * grid.size).astype(int)])
    basis = _waves(product, angles[strongest[:_MAXIMA]].tolist(), modes)
    if len(basis) + 2 * (count + 2) > most:
        return None
    images = product.forward(basis)
    length = scipy.fft.next_fast_len(2 * n)
    weight = 1.0 / np.maximum(grid[peak] - np.abs(scipy.fft.fft(product.taps, length)) ** 2, floor)
    for _ in range(_ROUNDS):
        _, residual, sizes, top = ritz(product, basis, images, count + 2)
        wanted = 4 * product.error + n * UNIT_ROUNDOFF * top
        if sizes[: count + 1].max() <= wanted:
            return basis, images
        rows = scipy.fft.ifft(scipy.fft.fft(residual, length, axis=1) * weight, axis=1)[:, :n]
        rows = orthonormal(rows if product.is_complex else rows.real, basis, 1e-6)
        if not len(rows) or len(basis) + len(rows) > most:
            break
        basis = np.concatenate([basis, rows])
        images = np.concatenate([images, product.forward(rows)])
    return None


def ritz(
    product: CausalProduct, basis: Rows, images: Rows, count: int
) -> tuple[NDArray[np.float64], Rows, NDArray[np.float64], float]:
    """Return all Ritz values, the residuals ``A^H u - s v`` of the leading ones, their sizes, the largest.

    With images.T = left diag(values) coordinates, A maps the row coordinates[i].conj() @ basis to
    values[i] left[:, i].
    """
    left, values, coordinates = np.linalg.svd(images.T, full_matrices=False)
    right = coordinates[:count].conj() @ basis if product.is_complex else coordinates[:count] @ basis
    back = product.adjoint(np.ascontiguousarray(left.T[:count]))
    residual = back - values[:count, None] * right
    return values, residual, np.linalg.norm(residual, axis=1), float(values[0])


def _waves(product: CausalProduct, angles: list[float], modes: int) -> Rows:
    """Return an orthonormal basis of e^{i (angle + pi m / n) j}, |m| <= modes; for real taps of their parts.

    T e^{i t j} is about a(e^{-i t}) e^{i t j}, and the transform of the taps at t is a(e^{-i t}) too.
    """
    j = np.arange(product.n)
    shifts = np.pi / product.n * np.arange(-modes, modes + 1)
    waves = np.exp(1j * np.concatenate([angle + shifts for angle in angles])[:, None] * j)
    if not product.is_complex:
        waves = np.concatenate([np.real(waves), np.imag(waves)])
    return orthonormal(waves, waves[:0], 1e-10)


def orthonormal(rows: Rows, basis: Rows, least: float) -> Rows:
    """Return the directions of ``rows`` that are new to the basis by ``least``, orthonormal.

    Examples
    --------
    >>> np.abs(orthonormal(np.array([[3.0, 4.0], [1.0, 0.0]]), np.eye(2)[:1], 1e-6)).tolist()
    [[0.0, 1.0]]
    """
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows[sizes[:, 0] > 0] / sizes[sizes[:, 0] > 0]
    for smallest in (least, 0.5):
        rows = rows - (rows @ basis.conj().T) @ basis
        values, directions = np.linalg.svd(rows, full_matrices=False)[1:]
        rows = directions[values > smallest]
        if not len(rows):
            break
    return np.ascontiguousarray(rows)
