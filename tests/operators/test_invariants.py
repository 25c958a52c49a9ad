"""What must not change, and what must add up: kernels with chosen zeros, all answers exact."""

import math

import numpy as np
import scipy.linalg
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.operators.section_truth import kernels, regular_kernels
from tests.operators.strategies import Known, chosen
from toeplitz_theory.operators import CausalToeplitz, Symbol

U = 2.0**-53


def fredholm(known: Known, kernel=None) -> None:
    """Check the index of ``kernel``, or of the known kernel itself, against the known count."""
    found = Symbol(known.kernel if kernel is None else kernel).fredholm_index()
    if known.on_circle:
        assert found.value is None
    else:
        assert found.value == -known.inside


def exact_product(a, b):
    """The product of integer kernels, or None if a tap does not fit float64."""
    parts = [[complex(x) for x in w] for w in (a, b)]
    real = [[(int(x.real), int(x.imag)) for x in w] for w in parts]
    out = [(0, 0)] * (len(a) + len(b) - 1)
    for i, (p, q) in enumerate(real[0]):
        for j, (r, s) in enumerate(real[1]):
            x, y = out[i + j]
            out[i + j] = (x + p * r - q * s, y + p * s + q * r)
    if any(int(float(x)) != x for pair in out for x in pair):
        return None
    taps = np.array([complex(float(x), float(y)) for x, y in out])
    return taps if taps.imag.any() else taps.real


@given(chosen(complex_taps=True), chosen(complex_taps=True))
def test_indices_of_a_product_add(one, two):
    product = exact_product(one.kernel, two.kernel)
    assume(product is not None)
    both = Known(product, one.inside + two.inside, 0, one.on_circle + two.on_circle)
    fredholm(both)


@given(chosen(complex_taps=True), st.sampled_from([1, -1, 1j, -1j, 2.0**40, -(2.0**-40), 8j]))
def test_scaling_conjugation_and_turning_change_no_index(known, factor):
    fredholm(known, known.kernel * factor)
    fredholm(known, np.conj(known.kernel))
    # z -> i z turns every zero by a quarter.
    fredholm(known, known.kernel * np.array([1, 1j, -1, -1j])[np.arange(known.kernel.size) % 4])


@given(chosen(complex_taps=True), st.lists(st.integers(-4, 4), min_size=1, max_size=6), st.booleans())
def test_an_outer_factor_changes_no_index(known, taps, positive):
    """A first tap above the sum of the others keeps every zero outside; with all taps positive too."""
    taps = [abs(x) for x in taps] if positive else taps
    outer = np.array([sum(map(abs, taps)) + 1.0, *taps])
    product = exact_product(known.kernel, outer)
    assume(product is not None)
    fredholm(known, product)


@settings(max_examples=30)
@given(chosen(with_near=False))
def test_the_outer_kernel_has_index_0_and_the_same_modulus(known):
    assume(not known.on_circle)
    a = Symbol(known.kernel)
    found = a.outer(full=True)
    assert found.index in (0, None)
    z = np.exp(2j * np.pi * np.arange(64) / 64)
    scale = np.abs(known.kernel).sum()
    assert np.abs(np.abs(a(z)) - np.abs(found.symbol(z))).max() <= 1e-6 * scale


@given(chosen(complex_taps=True, with_near=False), st.integers(1, 4))
def test_powers_of_the_variable_spread_the_zeros(known, power):
    """a(z^p) has every zero p times, of modulus r^(1/p); the deficit stays."""
    assume(not known.on_circle)
    spread = np.zeros((known.kernel.size - 1) * power + 1, known.kernel.dtype)
    spread[::power] = known.kernel
    fredholm(Known(spread, power * known.inside, 0, 0))
    before, after = Symbol(known.kernel).jensen_deficit(), Symbol(spread).jensen_deficit()
    if math.isfinite(before.value):
        assert abs(before.value - after.value) <= before.error + after.error + 8 * U * abs(before.value)
    else:
        assert after.value == before.value


@settings(max_examples=40)
@given(regular_kernels(40), st.integers(0, 99), st.booleans())
def test_solve_undoes_the_product_within_the_stated_error(kernel, seed, complex_):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(kernel.size) + (1j * rng.standard_normal(kernel.size) if complex_ else 0)
    T = CausalToeplitz(kernel)
    y = T @ x
    found = T.solve(y, full=True)
    # T^-1 y is x but for the rounding of y = T x, at most (n + 8) u |T||x| carried through the inverse.
    # By substitution, which is right entry by entry where the general inverse loses all digits.
    dense_inverse = np.abs(scipy.linalg.solve_triangular(T.to_dense(), np.eye(kernel.size), lower=True))
    moved = dense_inverse @ (4 * (kernel.size + 8) * U * (np.abs(T.to_dense()) @ np.abs(x)))
    slack = (
        found.forward_error * (np.abs(x).max() + moved.max()) if np.isfinite(found.forward_error) else np.inf
    )
    assert np.abs(found.x - x).max() <= slack + 2 * moved.max() or found.forward_error == math.inf
    residual = np.linalg.norm(T @ found.x - y)
    size = np.abs(kernel).sum() * np.linalg.norm(found.x) + np.linalg.norm(y)
    assert residual <= (found.backward_error + 16 * (kernel.size + 4) * U) * size


@given(kernels(1, 40), st.integers(0, 99))
def test_singular_values_do_not_see_the_adjoint_or_conjugation(kernel, seed):
    assume(np.abs(kernel).any())
    T = CausalToeplitz(kernel)
    values = T.singular_values(full=True).values
    turned = CausalToeplitz(np.conj(kernel)).singular_values(full=True).values
    assert np.abs(values - turned).max() <= 8 * kernel.size * U * values[0]
    frobenius = np.sqrt(((kernel.size - np.arange(kernel.size)) * np.abs(kernel) ** 2).sum())
    assert abs(np.linalg.norm(values) - frobenius) <= 8 * kernel.size * U * frobenius
