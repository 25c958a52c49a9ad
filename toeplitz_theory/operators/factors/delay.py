"""How early a kernel's energy comes, against the earliest that its modulus on the circle allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.operators.factors.outer import OuterFactor
from toeplitz_theory.operators.kernels import Kernel


@dataclass(frozen=True)
class EnergyDelay:
    """Energy of the first taps of a kernel and of its outer factor, which has the same energy in all.

    Robinson's theorem: among kernels with the same modulus on the circle the outer one has the most energy in
    its first m + 1 taps, for every m (Robinson, Random Wavelets and Cybernetic Systems, 1962; Oppenheim,
    Schafer, Discrete-Time Signal Processing, section 5.6.3).

    Attributes
    ----------
    kernel, outer : ndarray, shape (n,)
        ``sum_{k <= m} |w_k|^2`` over the total energy of the kernel: shares from 0 to 1.
    mean_delay, outer_mean_delay : float
        ``sum_k k |w_k|^2 / sum_k |w_k|^2`` of the two, in tokens.
    distance : float
        ``min_c ||w - c outer||_2 / ||w||_2`` over the numbers c of modulus 1: 0 for a minimum-phase kernel,
        at most sqrt(2).
    error : float
        The rounding of the outer taps moves no entry of ``outer`` by more, as an estimate.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> delay = Symbol([1.0, -2.0]).energy_delay()
    >>> delay.kernel.round(12).tolist(), delay.outer.round(12).tolist(), round(delay.excess_delay, 12)
    ([0.2, 1.0], [0.8, 1.0], 0.6)
    """

    kernel: NDArray[np.float64]
    outer: NDArray[np.float64]
    mean_delay: float
    outer_mean_delay: float
    distance: float
    error: float

    @property
    def excess_delay(self) -> float:
        """Tokens by which the kernel's energy comes later in the mean than its outer factor's, at least 0."""
        return self.mean_delay - self.outer_mean_delay

    def __str__(self) -> str:
        return (
            f"energy {self.excess_delay:.4g} tokens later than the outer factor's in the mean, "
            f"relative distance {self.distance:.4g}"
        )


def energy_delay(kernel: Kernel, factor: OuterFactor) -> EnergyDelay:
    """Return the energy curves of ``kernel`` and of its outer factor."""
    scale = float(np.abs(kernel).max())
    w, g = kernel / scale, factor.symbol.kernel / scale
    curves = [np.cumsum(np.abs(x) ** 2) for x in (w, g)]
    total = float(curves[0][-1])
    k = np.arange(w.size)
    delays = [float((k * np.abs(x) ** 2).sum() / (np.abs(x) ** 2).sum()) for x in (w, g)]
    inner = complex(np.vdot(g, w))
    # Where w and g are orthogonal every c is as good.
    turn = inner / abs(inner) if inner else 1.0
    distance = float(np.linalg.norm(w - turn * g) / math.sqrt(total))
    # Squares at 4 u and sums at n u, of both.
    error = factor.modulus_error + 2.0 * (w.size + 8) * 2.0**-53
    return EnergyDelay(curves[0] / total, curves[1] / total, delays[0], delays[1], distance, error)
