r"""The zeros close to the unit circle, each in a proved disc, and the proof that none is missing.

A disc around a point t* (`approximations`) holds exactly mu zeros if in the arc's polynomial recentred there,
sum D_j s^j, with error E,

    |D_mu| rho^mu > sum_{j != mu} |D_j| rho^j + E        (Pellet; Rouche).

The winding numbers on the two radii that bound the band give the number of zeros between them: if the
discs found account for all, the list is complete.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.operators.circle.approximations import REACH, close_pairs, mirrored, near_zeros
from toeplitz_theory.operators.circle.arcs import ArcGrid, Complexes, Floats
from toeplitz_theory.operators.circle.winding import count_between
from toeplitz_theory.operators.kernels import Scaled
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

_MAX_CLUSTER = 8
_RHO = 2.0 ** -np.arange(46.0, 0.5, -0.5)  # radii tried, in units of an arc's half-width
_CLOSE = 1e-3  # zeros closer than this, in the same units, are tried as one cluster if alone they fail


@dataclass(frozen=True)
class Band:
    """All zeros with |log |z|| < width: ``u`` = log z / (i h) up to 2 pi / h, discs, multiplicities."""

    u: Complexes
    radius: Floats
    multiplicity: NDArray[np.intp]


def zeros_in_band(scaled: Scaled, width: float, oversample: int = 4) -> Band | None:
    """Return all zeros with |log |z|| < width, or None where that is not proved.

    ``width`` must be at most 0.85 half-widths of an arc (pi / (oversample n) rounded to a power of two).
    """
    inner, outer = math.exp(-width), math.exp(width)
    wanted = count_between(scaled.exact, inner, outer)
    if wanted is None:
        return None
    grid = ArcGrid(scaled.values, scaled.error, oversample, reach=REACH)
    band = _certify(grid, *near_zeros(grid, width))
    if band is None:
        return None
    # The bounding radii and the width differ by rounding: a disc lost to the 1e-9 makes the count fail.
    near = np.abs(band.u.imag) + band.radius < width / grid.half_width * (1.0 - 1e-9)
    band = Band(band.u[near], band.radius[near], band.multiplicity[near])
    return band if int(band.multiplicity.sum()) == wanted and _disjoint(grid, band) else None


def _recentre(poly: Complexes, t: Complexes) -> Complexes:
    """Return the coefficients in s of poly(t + s), by repeated synthetic division."""
    out = poly.copy()
    top = len(out) - 1
    for j in range(top):
        for i in range(top - 1, j - 1, -1):
            out[i] += t * out[i + 1]
    return out


def _pellet(grid: ArcGrid, poly: Complexes, t: NDArray[Any], most: int) -> tuple[NDArray[np.intp], Floats]:
    """Return, per column, the multiplicity and the radius of a proved disc; multiplicity 0 if none."""
    d = np.abs(_recentre(poly, t))
    p = len(d)
    # Rounding of the recentring: gamma_{4p} times the same scheme on absolute values.
    size = np.abs(_recentre(np.abs(poly).astype(complex), np.abs(t).astype(complex)))
    powers = _RHO ** np.arange(p)[:, None]
    slack = 4.0 * (p + 1) * UNIT_ROUNDOFF * (size.T @ powers) + grid.error
    terms = d[:, :, None] * powers[:, None, :]
    total = terms.sum(axis=0)
    reach = np.abs(t)[:, None] + _RHO <= REACH
    mult = np.zeros(t.size, dtype=np.intp)
    radius = np.full(t.size, np.inf)
    for m in range(1, min(most, p - 1) + 1):
        good = (terms[m] > (total - terms[m] + slack) * (1.0 + 1e-12)) & reach
        first = np.argmax(good, axis=1)
        take = good.any(axis=1) & (mult == 0)
        mult[take], radius[take] = m, _RHO[first[take]]
    return mult, radius


def _certify(grid: ArcGrid, u: Complexes, arc: NDArray[np.intp], poly: Complexes) -> Band | None:
    """Put every approximation in a proved disc; those that fail alone are tried as clusters."""
    mult, radius = _pellet(grid, poly, u - 2.0 * arc, 1)
    alone = mult == 1
    # A single disc that holds another approximation is a cluster's: handled below with the rest.
    parts = [(u[alone], radius[alone], mult[alone])]
    left = np.flatnonzero(~alone)
    while left.size:
        first = u[left[0]]
        near = np.abs(u[left] - first) < _CLOSE
        centre = u[left[near]].mean()
        if grid.real and first.real in (0.0, float(grid.count)):
            centre = complex(first.real, centre.imag)
        m, r = _pellet(grid, poly[:, left[:1]], centre - 2.0 * arc[left[:1]], _MAX_CLUSTER)
        if m[0] == 0:
            return None
        parts.append((np.array([centre]), r, m))
        left = left[~near & (np.abs(u[left] - centre) > r[0])]
    band_u, band_r, band_m = map(np.concatenate, zip(*parts, strict=True))
    if grid.real:  # mirror what is not on the real axis
        off = mirrored(grid, band_u)
        band_u = np.append(band_u, -np.conj(band_u[off]))
        band_r, band_m = np.append(band_r, band_r[off]), np.append(band_m, band_m[off])
    # u = 2 m + t was rounded
    return Band(band_u, band_r + 4.0 * UNIT_ROUNDOFF * 2.0 * grid.count, band_m)


def _disjoint(grid: ArcGrid, band: Band) -> bool:
    """Whether no two discs meet, so that their multiplicities add up."""
    widest = 2.0 * float(band.radius.max(initial=0.0))
    first, second = close_pairs(1j * grid.half_width * band.u, widest * grid.half_width).T
    gap = band.u[first] - band.u[second]
    gap -= 2.0 * grid.count * np.round(gap.real / (2.0 * grid.count))
    return bool((np.abs(gap) > (band.radius[first] + band.radius[second]) * (1 + 1e-12)).all())
