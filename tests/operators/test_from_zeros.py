"""Kernels from chosen zeros: the zeros found again, and exact products of fractions."""

from fractions import Fraction

import numpy as np
import pytest

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol


def test_the_zeros_come_back():
    zeros = np.array([0.5, -0.25, 2j, -2j, 0.9 + 0.1j, 0.9 - 0.1j, 1.5, 3.0])
    a = Symbol.from_zeros(zeros, first=-2.0)
    assert a.kernel.dtype == np.float64 and a.kernel[0] == -2.0
    np.testing.assert_allclose(np.sort_complex(np.asarray(a.zeros())), np.sort_complex(zeros), rtol=1e-12)
    assert a.fredholm_index().value == -4


def test_against_fractions():
    zeros = [Fraction(1, 2), Fraction(4), Fraction(-8), Fraction(1, 4), Fraction(1, 4)]
    exact = [Fraction(1)]
    for z in zeros:
        exact = [x - (exact[k - 1] if k else 0) / z for k, x in enumerate([*exact, Fraction(0)])]
    np.testing.assert_allclose(
        Symbol.from_zeros([float(z) for z in zeros]).kernel, [float(x) for x in exact], rtol=1e-15
    )


def test_roots_of_unity_stay_small():
    # prod (1 - z / z_j) over the 64th roots of 1/2 is 1 - 2 z^64. In the order of angles
    # partial products reach 2^30.
    roots = 0.5 ** (1 / 64) * np.exp(2j * np.pi * np.arange(64) / 64)
    kernel = Symbol.from_zeros(roots).kernel
    expected = np.zeros(65)
    expected[[0, -1]] = 1, -2
    np.testing.assert_allclose(kernel, expected, atol=1e-12)


def test_unpaired_zeros_make_a_complex_kernel():
    assert Symbol.from_zeros([1j]).kernel.tolist() == [1, 1j]
    assert len(Symbol.from_zeros([])) == 1


@pytest.mark.parametrize("zeros", [[0.0], [np.nan], [[1.0, 2.0]], [np.inf]])
def test_bad_zeros(zeros):
    with pytest.raises(InputError, match="zeros must be"):
        Symbol.from_zeros(zeros)
