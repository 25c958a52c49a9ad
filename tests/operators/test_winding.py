"""Winding numbers against chosen zeros, certified isolation of all roots, and Schur-Cohn in rationals."""

import math
from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operators.strategies import chosen, from_factors, kaiming, roots_inside, schur_cohn_inside
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol
from toeplitz_theory.operators.circle.arcs import ArcGrid, bend_and_error, horner
from toeplitz_theory.operators.kernels import Taps


def _check(known):
    w = Symbol(known.kernel).winding()
    if known.on_circle:
        assert w.count is None and not w.certified and w.on_circle
    else:
        assert w.certified and w.count == known.inside and w.on_circle == () and w.margin >= 0


@given(chosen())
def test_counts_the_chosen_zeros_of_real_kernels(known):
    _check(known)


@given(chosen(complex_taps=True))
def test_counts_the_chosen_zeros_of_complex_kernels(known):
    _check(known)


@given(chosen(), st.integers(0, 5))
def test_delay_adds_and_reversal_mirrors(known, delay):
    """z^m a has m more zeros inside; the reversed kernel has the zeros' mirror images."""
    if known.on_circle:
        return
    delayed = np.concatenate([np.zeros(delay), known.kernel])
    assert Symbol(delayed).winding().count == known.inside + delay
    assert Symbol(known.kernel[::-1]).winding().count == known.outside


@given(st.integers(2, 9), st.integers(0, 10**6), st.booleans())
def test_agrees_with_schur_cohn_in_rationals(n, seed, coarse):
    w = np.random.default_rng(seed).normal(size=n)
    w = np.round(4 * w) / 4 if coarse else w
    truth = schur_cohn_inside(w)
    found = Symbol(w).winding()
    if truth is not None and found.certified:
        assert found.count == truth
    if truth is not None and not coarse:
        assert found.certified


@pytest.mark.parametrize(("n", "many"), [(16, 40), (128, 12), (512, 2)])
def test_right_at_initialisation(n, many):
    """Kaiming-normal kernels have about n zeros within 1/n of the circle: grids get them wrong."""
    for seed in range(many):
        w = kaiming(n, seed)
        found = Symbol(w).winding()
        assert found.certified and found.count == roots_inside(w)
        noisy = w + 1j * kaiming(n, seed + 1000)
        if n < 512:
            assert Symbol(noisy).winding().count == roots_inside(noisy)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12, 2.0**-52])
@pytest.mark.parametrize("taps", [2, 3, 65])
def test_zeros_next_to_the_circle(gap, taps):
    """1 - r z^m has m zeros of modulus r^(-1/m): inside exactly when r > 1."""
    for r, inside in ((1.0 + gap, taps - 1), (1.0 - gap, 0)):
        kernel = np.zeros(taps)
        kernel[0], kernel[-1] = 1.0, -r
        found = Symbol(kernel).winding()
        assert found.certified and found.count == inside
        assert 0 < found.margin <= abs(r - 1.0)


@pytest.mark.parametrize(
    ("kernel", "angles"),
    [
        ([1.0, -1.0], [0.0]),
        ([1.0, 1.0], [math.pi]),
        ([1.0, 0.0, 1.0], [-math.pi / 2, math.pi / 2]),
        ([1.0, -1j], [-math.pi / 2]),
        ([1.0, 1j], [math.pi / 2]),
        ([1.0, -2.0, 1.0], [0.0]),
        ([0.0, 0.0, 3.0, -3.0], [0.0]),
        ([2.0, 2.0, 2.0], [-2 * math.pi / 3, 2 * math.pi / 3]),
        (np.array([1.0, -1.0]) * 2.0**-1070, [0.0]),
        (np.array([1.0, -1.0]) * 2.0**1023, [0.0]),
    ],
)
def test_zeros_on_the_circle_are_named_never_counted(kernel, angles):
    index = Symbol(kernel).fredholm_index()
    assert index.value is None and not index.certified
    assert index.winding.on_circle == pytest.approx(angles, abs=1e-7)
    assert "proved" in index.winding.method
    assert str(index).startswith("not Fredholm") and "\n" not in str(index)


def test_hidden_palindrome_has_zeros_on_the_circle():
    """Rounded binomials stay palindromic: their split multiple zero lies on the circle, not next to it."""
    w = Symbol([float(math.comb(30, k)) for k in range(31)]).winding()
    assert w.count is None and w.on_circle == pytest.approx([math.pi], abs=1e-6)


def test_degenerate_kernels():
    for zero in ([0.0], [0.0, 0.0], [0j]):
        w = Symbol(zero).winding()
        assert (w.count, w.certified) == (None, False) and "identically 0" in w.method
        assert Symbol(zero).fredholm_index().value is None
    assert Symbol([-7.0]).fredholm_index().value == 0
    assert Symbol([0.0, 0.0, 5.0]).fredholm_index().value == -2
    assert Symbol([5.0, 0.0, 0.0]).fredholm_index().value == 0


@pytest.mark.parametrize(
    ("kernel", "count"),
    [
        ([1e308, -1e-308], 0),
        ([1e-308, -1e308], 1),
        ([5e-324, -1e-323], 1),
        ([1e308, 1.5e308], 1),
        ([1e-320, 1.0, 3.0], 2),
        ([1e308] + [0.0] * 5 + [1.7e308], 6),
    ],
)
def test_extreme_scales(kernel, count):
    assert Symbol(kernel).winding().count == count


@given(chosen(with_near=False), st.integers(-900, 900))
def test_scaling_by_powers_of_two_changes_nothing(known, exponent):
    scaled = np.ldexp(known.kernel, exponent)
    assert Symbol(scaled).winding().count == Symbol(known.kernel).winding().count


def test_a_flat_symbol_far_below_rounding_is_decided_all_the_same():
    """On most of the circle a Gaussian kernel's symbol is below 1e-16 of its peak."""
    w = np.exp(-(((np.arange(64) - 32) / 9.0) ** 2))
    assert Symbol(w).winding().count == roots_inside(w)
    multiple = from_factors([[(9, 0), (-10, 0)]] * 14, [Fraction(81, 100)] * 14)
    assert Symbol(multiple.kernel).winding().count == 14


def test_geometric_growth():
    """exp(.05 k), n = 512: a sampled loop says 501 turns, the truth is 511."""
    assert Symbol(np.exp(0.05 * np.arange(512))).fredholm_index().value == -511


def test_tolerance_decides_by_the_smallest_modulus():
    a = Symbol([1.0, -0.5])  # min |a| = 1/2, root mean square sqrt(5)/2: ratio 0.4472
    ratio = 0.5 / math.sqrt(1.25)
    assert a.fredholm_index(tol=0.999 * ratio).value == 0
    refused = a.fredholm_index(tol=1.001 * ratio)
    assert refused.value is None and refused.winding.on_circle == pytest.approx([0.0], abs=0.1)
    assert "tolerance" in refused.winding.method
    assert a.winding(tol=2.0).count is None


@given(chosen(), st.floats(1e-9, 0.5))
def test_tolerance_agrees_with_min_modulus(known, tol):
    a = Symbol(known.kernel)
    bracket, scale = a.min_modulus(), float(np.linalg.norm(known.kernel))
    w = a.winding(tol=tol)
    if bracket.upper < tol * scale * (1 - 1e-9):
        assert w.count is None
    elif bracket.lower > tol * scale * (1 + 1e-9):
        assert w.count == known.inside


def test_winding_about_a_point_is_of_the_exact_difference():
    """1e-20 - 1 rounds to -1, but the curve passes the point at a distance of 1e-20."""
    eps = 2.0**-60
    assert Symbol([1.0 + 2.0**-52, -(2.0**-52)]).winding(about=1.0).count is None
    assert Symbol([eps, eps * (1 - 2.0**-40)]).residual().winding(about=1.0).count == 0
    assert Symbol([eps, eps * (1 + 2.0**-40)]).residual().winding(about=1.0).count == 1
    assert Symbol([0.5, 1.0]).winding(about=0.5).count == 1
    assert Symbol([0.5, 1.0]).winding(about=2.0 + 1j).count == 0


@pytest.mark.parametrize("bad", [{"tol": -1.0}, {"tol": math.nan}, {"about": math.inf}])
def test_bad_arguments(bad):
    with pytest.raises(InputError) as caught:
        Symbol([1.0, 2.0]).winding(**bad)
    assert "\n" not in str(caught.value)


def test_large_kernels_in_linear_memory():
    import tracemalloc

    w = kaiming(8192, 3)
    tracemalloc.start()
    assert Symbol(w).winding().certified
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500 * 8 * w.size


@given(st.integers(1, 60), st.integers(0, 10**6), st.booleans())
@settings(max_examples=25)
def test_error_bound_of_the_local_polynomials(n, seed, complex_taps):
    """The proofs rest on ``error``: compare with 200-bit values at random points of random arcs."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=n) + (1j * rng.normal(size=n) if complex_taps else 0)
    scaled = Taps(w).scaled()
    grid = ArcGrid(scaled.values, scaled.error)
    middle, ends = grid.samples()
    index = rng.integers(0, grid.coefficient(0).size, 4)
    poly = grid.polynomials(index, [grid.coefficient(0)])
    _, error = bend_and_error(grid, poly)
    t = rng.integers(-64, 65, 4) / 64.0
    values, _ = horner(poly, t)
    with flint.ctx.workprec(200):
        exact = flint.acb_poly([complex(x) for x in scaled.values.tolist()])

        def b(x: Fraction) -> complex:
            z = flint.acb(flint.arb(flint.fmpq(x.numerator, x.denominator)))
            return exact(z.exp_pi_i()) * (z * -grid.centre).exp_pi_i()

        for m, s, value, bound in zip(index.tolist(), t.tolist(), values, error, strict=True):
            true = b((2 * m + Fraction(s)) / grid.count)
            assert float(abs(true - complex(value)).upper()) <= bound
        m = int(rng.integers(0, ends.size))
        assert float(abs(b(Fraction(2 * m, grid.count)) - complex(middle[m])).upper()) <= grid.rounding
        assert float(abs(b(Fraction(2 * m + 1, grid.count)) - complex(ends[m])).upper()) <= grid.rounding
