"""Information rates and Szego's limit: closed forms, log determinants, exact integrals in many bits."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.operators.section_truth import dense, kernels
from tests.operators.strategies import kaiming
from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators import CausalToeplitz, Symbol
from toeplitz_theory.operators.matrix import information, information_limit, singular

U = 2.0**-53


def limit_in_many_bits(kernel, snr, digits=60):
    """Half the mean of log2(1 + snr |a|^2) from the roots of z^d (1 + snr a a*), in mpmath."""
    with mpmath.workdps(digits):
        w = [mpmath.mpmathify(complex(x)) for x in np.trim_zeros(np.asarray(kernel))]
        d, s = len(w) - 1, mpmath.mpf(float(snr))
        r = [mpmath.mpf(0)] * (2 * d + 1)
        for i, x in enumerate(w):
            for j, y in enumerate(w):
                r[d + i - j] += s * x * mpmath.conj(y)
        r[d] += 1
        roots = mpmath.polyroots(r[::-1], maxsteps=500, extraprec=400) if d else []
        total = mpmath.log(abs(r[-1])) + sum(mpmath.log(abs(z)) for z in roots if abs(z) > 1)
        return float(total / (2 * mpmath.log(2)))


@pytest.mark.parametrize("snr", [0.01, 1.0, 100.0, 2e5, 1e10, 8e14])
@pytest.mark.parametrize("r", [0.0, 0.3, -0.9, 1.0, 2.0, 0.5j, 1 + 1e-6])
def test_limit_of_two_taps_in_closed_form(snr, r):
    """1 + snr |1 + r z|^2 = u + 2 v cos, whose mean logarithm is log((u + sqrt(u^2 - 4 v^2)) / 2)."""
    with mpmath.workdps(60):
        s, size = mpmath.mpf(snr), abs(mpmath.mpmathify(r))
        u, v = 1 + s * (1 + size**2), s * size
        truth = float(mpmath.log((u + mpmath.sqrt(u * u - 4 * v * v)) / 2, 2) / 2)
    found = Symbol([1.0, r]).information_limit(snr)
    assert abs(found.value - truth) <= found.error + 2 * U * abs(truth)
    assert found.error <= 1e-3  # always a bound; loose only for a zero on the circle at high snr


@pytest.mark.parametrize("snr", [1.0, 1e4, 1e9, 1e15])
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("n", [3, 10])
def test_limit_in_many_bits(n, is_complex, snr):
    for seed in range(2):
        kernel = kaiming(n, seed) + (1j * kaiming(n, seed + 9) if is_complex else 0)
        found = Symbol(kernel).information_limit(snr)
        truth = limit_in_many_bits(kernel, snr)
        assert abs(found.value - truth) <= found.error + 4 * U * abs(truth)
        assert found.error <= 1e-7


@given(kernels(1, 30), st.floats(-3, 12))
def test_the_three_ways_to_the_limit_agree(kernel, log_snr):
    assume(np.any(kernel))
    taps = np.trim_zeros(kernel) * 10 ** (log_snr / 2)
    ways = [
        way(taps)
        for way in (information_limit._by_rule, information_limit._by_jensen, information_limit._by_mahler)
    ]
    known = [way for way in ways if way is not None]
    assert ways[0] is not None
    for value, error in known:
        for other, slack in known:
            assert abs(value - other) <= error + slack


@pytest.mark.parametrize("n", [64, 512, 2048])
def test_limit_bounds_at_initialisation(n):
    a = Symbol(kaiming(n, 3))
    grid = np.fft.fft(a.kernel, 1 << 20)
    for snr, most in ((1.0, 1e-11), (100.0, 1e-11), (1e7, 1e-4), (1e15, 1e-10)):
        found = a.information_limit(snr)
        assert found.error <= most
        # The rule on N = 2^20 nodes proves nothing; a zero on the circle itself costs it log(2 d) / N.
        assert found.value == pytest.approx(
            np.log2(1 + snr * np.abs(grid) ** 2).mean() / 2, abs=1e-5 + found.error
        )


def test_limit_of_kernels_of_any_size():
    reference = Symbol([1.0, 0.5]).information_limit(4.0)
    for scale in (2.0**-400, 2.0**300):
        assert Symbol(np.array([1.0, 0.5]) * scale).information_limit(4.0 / scale**2).value == pytest.approx(
            reference.value, abs=1e-14
        )
    assert Symbol([0.0, 0.0]).information_limit(1.0).value == 0.0
    assert Symbol([0.0, 1.0, 0.5, 0.0]).information_limit(4.0).value == pytest.approx(
        reference.value, abs=1e-14
    )
    with pytest.raises(NumericalError, match="overflows"):
        Symbol([1e200]).information_limit(1.0)


@given(st.integers(2, 30), st.floats(0.2, 0.8), st.integers(0, 10**6), st.floats(0.1, 1e3))
def test_decaying_kernels_approach_the_limit_from_below(n, decay, seed, snr):
    """I + snr T T^H is below the section of 1 + snr |a|^2 as a form, hence so is its determinant."""
    kernel = decay ** np.arange(n) * np.random.default_rng(seed).standard_normal(n)
    assume(abs(kernel[0]) > 1e-3)
    rates = [CausalToeplitz(kernel, m).information_rate(snr) for m in (n, 2 * n, 4 * n)]
    for rate in rates:
        assert rate.value <= rate.limit + rate.error + rate.limit_error
    assert rates[0].value <= rates[1].value + 1e-12 <= rates[2].value + 2e-12


@settings(max_examples=25)
@given(kernels(1, 24), st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=4))
def test_curve_is_log_determinants(kernel, snrs):
    curve = CausalToeplitz(kernel).information_curve(snrs)
    D = dense(kernel)
    for k, snr in enumerate(snrs):
        logdet = np.linalg.slogdet(np.eye(len(kernel)) + snr * D @ D.conj().T).logabsdet
        # LU of I + snr T T^H: n u times its condition number, 1 + snr ||T||^2, in the determinant.
        slack = 8 * len(kernel) * U * (1 + snr * np.linalg.norm(D) ** 2)
        assert abs(curve.value[k] - logdet / (2 * len(kernel) * math.log(2))) <= curve.error[k] + slack
        assert curve.limit[k] == Symbol(kernel).information_limit(snr).value
    assert curve.n == len(kernel)


@pytest.mark.parametrize("bad", [[], [[1.0]], [0.0], [1.0, -1.0], [np.nan], [np.inf]])
def test_curves_at_no_ratio_are_refused(bad):
    with pytest.raises(InputError, match="snr"):
        CausalToeplitz([1.0]).information_curve(bad)


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 8), ("float16", 11), ("float32", 24)])
def test_storage_noise_is_that_of_the_format(dtype, bits):
    """The ceiling against rounding itself: near a significand of 1 the error's variance is u^2 / 3."""
    ceiling = CausalToeplitz([1.0], n=4).bits_at(dtype).ceiling
    assert ceiling == pytest.approx(0.5 * math.log2(1 + 3 * 4.0**bits), abs=1e-12)
    rng = np.random.default_rng(0)
    x = 1.0 + rng.random(200_000) * 0.02
    step = 2.0 ** (1 - bits)  # spacing of numbers in [1, 2)
    noise = np.round(x / step) * step - x
    if dtype != "bfloat16":
        np.testing.assert_array_equal(x + noise, x.astype(dtype).astype(float))  # the format rounds like that
    assert np.mean(noise**2) / np.mean(x**2) * 3 * 4.0**bits == pytest.approx(1, rel=0.05)


@settings(max_examples=25)
@given(kernels(1, 20), st.sampled_from(["bfloat16", "float16", "float32"]), st.integers(-300, 300))
def test_storage_bits_are_free_of_scale_and_below_the_ceiling(kernel, dtype, exponent):
    assume(np.any(kernel))
    found = CausalToeplitz(kernel).bits_at(dtype)
    moved = CausalToeplitz(np.ldexp(1.0, exponent) * kernel).bits_at(dtype)
    # LAPACK rounds by where a matrix happens to lie in memory.
    assert found.limit == moved.limit and abs(found.value - moved.value) <= found.error
    assert -found.error <= found.value <= found.ceiling + found.error + 1e-12
    assert found.limit <= found.ceiling + found.limit_error + 1e-12
    n = len(kernel)
    snr = (
        3
        * 4.0 ** {"bfloat16": 8, "float16": 11, "float32": 24}[dtype]
        / (np.linalg.norm(dense(kernel)) ** 2 / n)
    )
    rate = CausalToeplitz(kernel).information_rate(snr)
    assert abs(found.value - rate.value) <= found.error + rate.error + 1e-12
    assert found.snr == pytest.approx(snr, rel=1e-12)


def test_layers_that_lose_nothing_and_everything():
    assert abs(CausalToeplitz([3.0], n=20).bits_at("float16").lost) <= 1e-12
    assert CausalToeplitz([0.0, 0.0]).bits_at("float32").value == 0.0
    shifted = CausalToeplitz([0.0, 1.0], n=8).bits_at("bfloat16")  # one of eight tokens falls off the end
    gain = 0.5 * math.log2(1 + 3 * 4.0**8 * 8 / 7) * 7 / 8
    assert shifted.value == pytest.approx(gain, abs=1e-12)
    assert CausalToeplitz([1.0]).bits_at("torch.bfloat16").dtype == "bfloat16"
    with pytest.raises(InputError, match="bfloat16, float16"):
        CausalToeplitz([1.0]).bits_at("int8")


@given(kernels(1, 40), st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=3))
def test_cholesky_by_displacement_against_singular_values(kernel, roots):
    found = information.half_log2_det(kernel, np.array(roots))
    values = np.linalg.svd(dense(kernel), compute_uv=False)
    for bits, root in zip(found, roots, strict=True):
        truth = np.log2(1 + (root * values) ** 2).sum() / 2
        # The bound in `_rates`, times n: the sum is not yet divided.
        slack = 8 * len(kernel) ** 2 * U * (1 + (root * np.abs(kernel).sum()) ** 2)
        assert abs(bits - truth) <= slack + 8 * len(kernel) * U * (1 + truth)


def test_long_sections_take_the_quick_way_and_agree():
    kernel = kaiming(300, 2)
    T = CausalToeplitz(kernel, n=1100)
    quick = T.information_curve([1.0, 50.0])
    values = np.linalg.svd(T.to_dense(), compute_uv=False)
    for k, snr in enumerate((1.0, 50.0)):
        truth = np.log2(1 + snr * values**2).sum() / (2 * 1100)
        assert abs(quick.value[k] - truth) <= quick.error[k] <= 1e-6
    assert (quick.value < quick.limit).all()


@pytest.mark.parametrize("turn", [1.0, 1j])
def test_storage_bits_of_long_sections_need_no_matrix(monkeypatch, turn):
    """n = 2200 against a singular value decomposition; then a length whose matrix would not fit."""
    kernel = kaiming(2200, 5) * turn ** np.arange(2200)
    values = np.linalg.svd(dense(kernel), compute_uv=False)

    def no_matrix(taps):
        raise AssertionError(f"a matrix of {taps.size} rows")

    monkeypatch.setattr(singular, "dense_values", no_matrix)
    bits = CausalToeplitz(kernel).bits_at("bfloat16", limit=False)
    truth = np.log2(1 + bits.snr * values**2).sum() / (2 * kernel.size)
    assert abs(bits.value - truth) <= bits.error <= 1e-3
    shift = CausalToeplitz([0.0, 1.0], n=1 << 15).bits_at("bfloat16", limit=False)
    assert shift.value == pytest.approx(shift.ceiling, abs=1e-3) and shift.error <= 1e-3
    with pytest.raises(NumericalError, match="dense matrix of 8 GiB"):
        CausalToeplitz([1.0, 0.5], n=1 << 15).bits_at("float64", limit=False)


def test_nullity_and_rates_share_one_decomposition(monkeypatch):
    w = np.random.default_rng(0).standard_normal(100) * 2.0**-30
    calls = []
    original = singular.dense_values
    monkeypatch.setattr(singular, "dense_values", lambda taps: calls.append(1) or original(taps))
    T = CausalToeplitz(w)
    shared = T.nullity(1e-3), T.bits_at("bfloat16").value, T.information_rate(5.0).value, T.nullity(1e-2)
    assert len(calls) == 1
    assert shared[0] > 0
    apart = (
        CausalToeplitz(w).nullity(1e-3),
        CausalToeplitz(w).bits_at("bfloat16").value,
        CausalToeplitz(w).information_rate(5.0).value,
        CausalToeplitz(w).nullity(1e-2),
    )
    assert shared == apart and len(calls) == 5
