"""Roch and Silbermann's splitting: the singular values that go to 0 are as many as the zeros inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.sections.section import CausalToeplitz

if TYPE_CHECKING:
    from toeplitz_theory.operators.symbols.symbol import Symbol


@dataclass(frozen=True, eq=False)
class Splitting:
    """The smallest singular values of growing sections of one symbol.

    For a fixed symbol of index -k, Fredholm, exactly k singular values of the n x n sections tend to 0 as n
    grows, exponentially, and the others stay above about min|a| (Roch and Silbermann, Asymptotic behavior of
    singular values of Toeplitz sections, 1996; Boettcher and Silbermann 1999, ch. 4).

    Attributes
    ----------
    sizes : ndarray of int, shape (m,)
        Sizes n of the sections.
    values : ndarray, shape (m, count)
        The smallest singular values of each, ascending; nan where a section has fewer.
    inside : int or None
        Proved number of zeros inside; None where there is one on the circle.
    floor : float
        Proved lower bound of min|a| on the circle.
    noise : ndarray, shape (m,)
        n u sigma_max: what a float64 SVD cannot tell from 0.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> found = Symbol([1.0, -2.0]).splitting([8, 16], count=2)
    >>> found.inside, (found.values[:, 0] < 0.01).tolist(), (found.values[:, 1] > found.floor).tolist()
    (1, [True, True], [True, True])
    """

    sizes: NDArray[np.int64]
    values: NDArray[np.float64]
    inside: int | None
    floor: float
    noise: NDArray[np.float64]


def splitting(symbol: Symbol, sizes: Sequence[int], count: int | None = None) -> Splitting:
    """Return the smallest singular values of the sections of ``symbol``; see `Symbol.splitting`."""
    if not len(sizes) or any(int(n) != n or n < 1 for n in sizes):
        raise InputError(f"sizes={sizes!r}: pass at least one positive integer")
    winding = symbol.winding()
    if count is None:
        count = (winding.count or 0) + 3
    if count < 1:
        raise InputError(f"count={count}: pass a positive number of singular values")
    values = np.full((len(sizes), count), np.nan)
    noise = np.zeros(len(sizes))
    for row, n in enumerate(sizes):
        found: Any = np.sort(CausalToeplitz(symbol.kernel, int(n)).singular_values())
        values[row, : min(count, n)] = found[:count]
        noise[row] = n * 2.0**-53 * found[-1]
    return Splitting(np.array(sizes, np.int64), values, winding.count, symbol.min_modulus().lower, noise)
