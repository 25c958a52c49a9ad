"""Oracles for finite sections that share no step with the package: dense arithmetic in thousands of bits."""

import math

import flint
import numpy as np
from hypothesis import strategies as st


def exact_log10_singular_values(kernel, bits=2400):
    """log10 of all singular values, descending: eigenvalues of T T^H, entry by entry, by FLINT's dense QR.

    `bits` must exceed twice log2 of the condition number by a wide margin.
    """
    saved = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        n = len(kernel)
        matrix = flint.acb_mat(n, n)
        for i in range(n):
            for j in range(i + 1):
                matrix[i, j] = complex(kernel[i - j])
        squares = (matrix * matrix.conjugate().transpose()).eig(algorithm="approx")
        return np.sort([_log10(x.real.mid()) / 2 for x in squares])[::-1]
    finally:
        flint.ctx.prec = saved


def _log10(x):
    mantissa, power = x.man_exp()
    whole = int(mantissa)
    cut = max(whole.bit_length() - 80, 0)
    return math.log10(whole >> cut) + (cut + int(power)) * math.log10(2)


def kernel_from_zeros(zeros, scale=1.0):
    """Taps of scale * prod(1 - z / zero), lowest power first."""
    taps = np.array([scale + 0j])
    for zero in zeros:
        taps = np.convolve(taps, [1, -1 / zero])
    return taps


def dense(kernel, n=None):
    """The section written out entry by entry."""
    n = len(kernel) if n is None else n
    out = np.zeros((n, n), dtype=np.asarray(kernel).dtype)
    for i in range(n):
        for j in range(max(0, i - len(kernel) + 1), i + 1):
            out[i, j] = kernel[i - j]
    return out


taps = st.floats(-4, 4).map(lambda x: round(x, 3))


def real_kernels(min_size=1, max_size=40):
    return st.lists(taps, min_size=min_size, max_size=max_size).map(np.array)


def complex_kernels(min_size=1, max_size=40):
    pairs = st.lists(st.tuples(taps, taps), min_size=min_size, max_size=max_size)
    return pairs.map(lambda rows: np.array([complex(a, b) for a, b in rows]))


def kernels(min_size=1, max_size=40):
    return st.one_of(real_kernels(min_size, max_size), complex_kernels(min_size, max_size))


def regular_kernels(max_size=40):
    """First tap at least 1/8 in modulus."""
    return kernels(1, max_size).map(_with_first_tap)


def _with_first_tap(kernel):
    out = kernel.copy()
    out[0] = out[0] if abs(out[0]) >= 0.125 else 1.0
    return out
