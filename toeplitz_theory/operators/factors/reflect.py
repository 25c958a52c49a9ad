r"""The outer factor from the zeros inside: division by a Blaschke product on the circle itself.

On the circle ``1 - conj(z_j) z = z conj(z - z_j)``, so dividing by a Blaschke factor is multiplication by
``z conj(d) / d``, d = z - z_j: a number of modulus 1, whatever the zero. No polynomial is ever multiplied out
from its zeros, which would lose all digits at degrees of some hundreds.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.operators.fft import fast_length
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.symbols.taps import Scaled

_CHUNK = 1 << 20


def by_reflection(scaled: Scaled, inside: NDArray[np.complex128]) -> Kernel:
    """Return the taps of the outer factor of ``scaled``, whose zeros in the open disc are ``inside``.

    The error of a value is a few u |a| for each zero, and where a node is closer than u to a zero, |a| itself
    is as small.
    """
    n = scaled.values.size
    points = fast_length(2 * n)
    # Half a step off: zeros like roots of unity are not met.
    half = np.exp(1j * np.pi / points)
    nodes = half * np.exp(2j * np.pi * np.arange(points) / points)
    turned = scaled.values * half ** np.arange(n)
    values = scipy.fft.ifft(turned, points, norm="forward")
    width = max(1, _CHUNK // points)
    for start in range(0, inside.size, width):
        gap = nodes[:, None] - inside[None, start : start + width]
        gap[gap == 0] = 1.0  # then |a| is rounding there, and so is what any unit number makes of it
        values *= (nodes[:, None] * np.conj(gap) / gap).prod(axis=1)
    # The phase that makes outer(0) positive is known; outer[0] itself may be small and mostly rounding.
    first = complex(scaled.values[0])
    turn = np.conj(first) / abs(first) * (-inside / np.abs(inside)).prod()
    outer = scipy.fft.fft(values * turn, norm="forward")[:n] * half ** -np.arange(n)
    return outer if np.iscomplexobj(scaled.values) else outer.real
