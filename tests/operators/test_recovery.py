"""The recovery curve of a symbol against exact series, normal equations over long windows, and simulation."""

import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.operators.section_truth import kernels
from tests.operators.strategies import chosen, kaiming
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol
from toeplitz_theory.operators.factors.outer import best_taps, modulus_error, modulus_gap
from toeplitz_theory.operators.kernels import Taps
from toeplitz_theory.operators.recovery.curve import _by_division, _by_zeros, _divided, _Outer
from toeplitz_theory.operators.recovery.limit import Arcs


def exact_shares(zeros: list[Fraction], count: int) -> list[Fraction]:
    """Partial sums of squares of the Blaschke product of rational zeros, by the recurrence of each factor."""
    series = [Fraction(1)] + [Fraction(0)] * (count - 1)
    for z in zeros:  # (x - z) / (1 - z x): y[k] = z y[k - 1] + in[k - 1] - z in[k]
        out: list[Fraction] = []
        for k, value in enumerate(series):
            out.append((z * out[-1] + series[k - 1] if k else Fraction(0)) - z * value)
        series = out
    total, sums = Fraction(0), []
    for value in series:
        total += value**2
        sums.append(total)
    return sums


def by_normal_equations(kernel, snr: float, delays: int, window: int = 400) -> np.ndarray:
    """Share of x[t] that outputs t - window .. t + L explain, by the covariance of the outputs."""
    w = np.asarray(kernel)
    n = w.size
    energy = np.correlate(w, w, "full")[n - 1 :]  # sum_k w[k + m] conj(w[k])
    shares = []
    for delay in range(delays):
        size = window + delay + 1
        column = np.zeros(size, energy.dtype)
        column[: min(n, size)] = energy[:size]
        column[0] += 1.0 / snr
        cross = np.zeros(size, w.dtype)  # Cov(y[t + j], x[t]) = w[j]
        span = min(n, delay + 1)
        cross[window : window + span] = w[:span]
        matrix = scipy.linalg.toeplitz(column, column.conj())
        shares.append(float((cross.conj() @ np.linalg.solve(matrix, cross)).real))
    return np.array(shares)


def test_of_one_zero_as_worked_out_by_hand():
    r = Symbol([1.0, -2.0]).recovery()
    np.testing.assert_allclose(r.share([0, 1, 2, 3]), [0.25, 0.8125, 0.953125, 0.98828125], atol=r.error)
    assert r.certified and r.error < 1e-13 and r.mean_delay == 1 and r.limit == 1.0 and r.horizon == 8


@pytest.mark.parametrize("m", [1, 3])
def test_a_shift_gives_everything_at_once_and_late(m):
    r = Symbol([0.0] * m + [2.0]).recovery(horizon=m + 1)
    assert r.curve.tolist() == [0.0] * m + [1.0, 1.0]
    assert r.error == 0.0 and r.mean_delay == m and r.delay(1.0) == m and r.delay(1.0).certified


@pytest.mark.parametrize("kernel", [[1.0, -0.5], [2.0], [1.0, -1.0], [1j, 0.25]])
def test_without_a_zero_inside_everything_comes_at_once(kernel):
    r = Symbol(kernel).recovery()
    assert (r.curve == 1.0).all() and r.error == 0.0 and r.mean_delay == 0 and r.certified


@given(st.lists(st.fractions(-1, 1, max_denominator=12).filter(lambda z: abs(z) < 1), min_size=1, max_size=5))
def test_shares_meet_the_exact_series_within_the_proved_error(zeros):
    shift = zeros.count(0)
    present = [z for z in zeros if z != 0]
    kernel = [Fraction(1)]
    for z in present:  # integers: exact in float64
        kernel = [
            z.denominator * low - z.numerator * high
            for low, high in zip([0, *kernel], [*kernel, 0], strict=True)
        ]
    taps = [0.0] * shift + [float(x) for x in kernel]
    assert all(Fraction(x) == y for x, y in zip(taps[shift:], kernel, strict=True))
    r = Symbol(taps).recovery(horizon=30)
    exact = exact_shares(zeros, 31)
    assert r.certified and r.mean_delay == len(zeros)
    assert max(abs(Fraction(x) - y) for x, y in zip(r.curve.tolist(), exact, strict=True)) <= r.error < 1e-4


@given(chosen(), st.sampled_from([math.inf, 10.0]))
def test_curves_rise_to_their_limit(known, snr):
    r = Symbol(known.kernel).recovery(snr=snr)
    # Large taps make the noise tiny; next to zeros on the circle nothing is proved then.
    assert r.certified or (known.on_circle and snr < math.inf)
    assert (np.diff(r.curve) >= 0).all() and r.curve[0] >= 0
    assert r.curve[-1] <= r.limit + r.error + r.limit_error <= 1 + r.error + r.limit_error


@given(chosen(complex_taps=True, with_near=False))
@settings(max_examples=40)
def test_share_at_once_is_jensens_and_mean_delay_the_index(known):
    r = Symbol(known.kernel).recovery()
    # Exact arithmetic counts the zeros on the circle of real kernels only.
    assert (r.certified and r.mean_delay == known.inside) or known.on_circle
    assert abs(r.at_once - math.exp(-2 * known.jensen)) <= r.error + 1e-13


def test_mean_delay_is_the_sum_over_the_curve():
    a = Symbol.from_zeros([0.5, 0.3 + 0.6j, 0.3 - 0.6j, -0.8, 1.5, -2.0])
    r = a.recovery(horizon=400)
    assert sum(1.0 - r.curve) == pytest.approx(4.0, abs=1e-9) and r.mean_delay == 4
    noisy = a.recovery(snr=100.0, horizon=400)
    steps = np.diff(noisy.curve, prepend=0.0)
    assert noisy.mean_delay == pytest.approx((np.arange(401) * steps).sum() / noisy.limit, rel=1e-9)


@given(chosen(with_near=False), st.integers(1, 5))
def test_a_shift_moves_the_curve_to_the_right(known, m):
    for snr in (math.inf, 5.0):
        plain = Symbol(known.kernel).recovery(snr, horizon=20)
        later = Symbol(np.concatenate([np.zeros(m), known.kernel])).recovery(snr, horizon=20)
        np.testing.assert_allclose(later.curve[m:], plain.curve[:-m], atol=plain.error + later.error)
        assert (later.curve[:m] <= later.error).all()


@given(chosen(with_near=False), st.lists(st.integers(-3, 3), min_size=1, max_size=3))
def test_outer_factors_cost_nothing_without_noise(known, tail):
    outer = np.array([1.0 + sum(map(abs, tail)), *tail])
    plain = Symbol(known.kernel).recovery(horizon=25)
    both = Symbol(np.convolve(known.kernel, outer)).recovery(horizon=25)
    np.testing.assert_allclose(both.curve, plain.curve, atol=plain.error + both.error)


@pytest.mark.parametrize("snr", [10.0, 1000.0])
@pytest.mark.parametrize("kernel", [[1.0, -2.0], [0.0, 1.0, 0.5], kaiming(8, 1), [1.0, 2.0 - 1j, 0.5j]])
def test_with_noise_against_normal_equations_over_a_long_window(kernel, snr):
    r = Symbol(kernel).recovery(snr)
    want = by_normal_equations(kernel, snr, 6)
    np.testing.assert_allclose(r.curve[:6], want, atol=1e-9 + r.error)
    assert r.certified and r.error < 1e-9


@pytest.mark.parametrize("n", [16, 300])
def test_little_noise_is_near_none(n):
    a = Symbol(kaiming(n, 3))
    without, little = a.recovery(), a.recovery(1e12)
    assert without.certified and little.certified
    np.testing.assert_allclose(little.curve, without.curve, atol=1e-6)
    assert little.limit == pytest.approx(1.0, abs=1e-6)


def test_limit_is_wieners():
    w, snr = kaiming(40, 2), 7.0
    power = np.abs(np.fft.fft(w, 1 << 16)) ** 2
    r = Symbol(w).recovery(snr)
    assert abs(r.limit - (power / (power + 1 / snr)).mean()) <= r.limit_error + 1e-13
    assert r.limit_error < 1e-9


def test_simulated_signals_give_back_as_much():
    rng = np.random.default_rng(0)
    w, snr, length, window = kaiming(6, 4), 20.0, 120_000, 40
    x = rng.standard_normal(length)
    y = np.convolve(x, w)[:length] + rng.standard_normal(length) / math.sqrt(snr)
    r = Symbol(w).recovery(snr)
    for delay in (0, 3):
        rows = np.lib.stride_tricks.sliding_window_view(y, window + delay + 1)
        target = x[window : window + len(rows)]
        half = len(rows) // 2
        fit = np.linalg.lstsq(rows[:half], target[:half], rcond=None)[0]
        rest = target[half:] - rows[half:] @ fit
        assert 1 - rest.var() == pytest.approx(r.share(delay), abs=0.02)


def test_zeros_on_the_circle_cost_nothing():
    r = Symbol(np.convolve([1.0, -2.0], [1.0, 0.0, 1.0])).recovery()
    np.testing.assert_allclose(r.curve[:4], [0.25, 0.8125, 0.953125, 0.98828125], atol=r.error)
    assert r.certified and r.mean_delay == 1


def test_a_zero_too_close_to_tell_leaves_shares_proved_and_the_delay_unknown():
    near = 1.0 + 2.0**-52  # of a complex kernel, where no exact arithmetic helps
    r = Symbol(np.convolve([1.0, -2.0], [1.0, -near * np.exp(0.3j)])).recovery()
    np.testing.assert_allclose(r.curve[:3], [0.25, 0.8125, 0.953125], atol=r.error)
    assert r.certified and r.error < 1e-5


def test_a_long_kernel_with_zeros_on_the_circle_is_an_estimate():
    w = np.zeros(1202)
    w[[0, 1, -2, -1]] = 1.0, -2.0, -1.0, 2.0  # (1 - 2 z)(1 - z^1200)
    r = Symbol(w).recovery(horizon=10)
    assert not r.certified and r.mean_delay is None and "estimate" in repr(r)
    np.testing.assert_allclose(r.curve[:4], [0.25, 0.8125, 0.953125, 0.98828125], atol=r.error)


def test_scale_does_not_matter_without_noise_and_is_that_of_the_snr_with():
    w = kaiming(20, 5)
    for power in (-1000, 900):
        scaled = Symbol(np.ldexp(w, power)).recovery()
        np.testing.assert_array_equal(scaled.curve, Symbol(w).recovery().curve)
    np.testing.assert_array_equal(Symbol(w).recovery(64.0).curve, Symbol(8 * w).recovery(1.0).curve)
    hardly = Symbol(np.ldexp(w, -700)).recovery(1.0)
    assert hardly.curve.max() <= hardly.error < 1e-100 and hardly.delay(0.5) is None


def test_delays_carry_the_bracket_of_the_shares():
    r = Symbol([1.0, -2.0]).recovery()
    exact = r.delay(0.25)  # R(0) is 1/4: the computed share cannot decide
    assert exact.lower == 0 and exact.upper == 1 and not exact.certified
    assert r.delay(0.26) == 1 and r.delay(0.26).certified
    assert pickle.loads(pickle.dumps(exact)).upper == 1
    assert Symbol([1.0, -2.0]).recovery(horizon=0).delay(0.9) is None


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Symbol([0.0, 0.0]).recovery(), "identically 0"),
        (lambda: Symbol([1.0]).recovery(snr=-1.0), "snr is -1.0"),
        (lambda: Symbol([1.0]).recovery(snr=math.nan), "snr is nan"),
        (lambda: Symbol([1.0]).recovery(horizon=-1), "horizon is -1"),
        (lambda: Symbol([1.0]).recovery(horizon=2.0), "horizon is 2.0"),
        (lambda: Symbol([1.0]).recovery().share(99), "horizon 4"),
        (lambda: Symbol([1.0]).recovery().share(0.5), "delay is 0.5"),
        (lambda: Symbol([1.0]).recovery().delay(0.0), "q is 0.0"),
        (lambda: Symbol([0.0]).memory(), "all weights are 0"),
    ],
)
def test_bad_input_gets_one_clear_line(call, says):
    with pytest.raises(InputError, match=says):
        call()


def test_memory_is_the_taps_energy():
    memory = Symbol([3e200, 0.0, 4e200j, 0.0]).memory()
    np.testing.assert_allclose(memory.shares, [0.36, 0.0, 0.64, 0.0])
    assert memory.mean_lag == pytest.approx(1.28) and memory.late == pytest.approx(0.64)
    assert memory.within(1) == pytest.approx(0.36) and memory.total == 1.0


def two_ways(name: str) -> np.ndarray:
    """Kernels of many kinds, some of a wide range, some with zeros in clusters or near the circle."""
    rng = np.random.default_rng(5)
    plain = rng.standard_normal(60)
    return {
        "real": plain,
        "complex": plain + 1j * rng.standard_normal(60),
        "integers": rng.integers(-3, 4, 60).astype(float),
        "growing": plain * np.exp(0.3 * np.arange(60)),
        "decaying": plain * np.exp(-0.3 * np.arange(60)),
        "wide": plain * 10.0 ** rng.uniform(-150, 150, 60),
        "all inside": np.exp(0.05 * np.arange(60)),
        "cluster": Symbol.from_zeros([0.9] * 5).kernel,
        "near the circle": np.convolve(plain, [1.0, -(1.0 + 2.0**-20)]),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "real",
        "complex",
        "integers",
        "growing",
        "decaying",
        "wide",
        "all inside",
        "cluster",
        "near the circle",
    ],
)
def test_the_outer_factor_and_the_zeros_give_one_curve(name):
    scaled = Taps(two_ways(name)).scaled()
    outer = _Outer(best_taps(scaled)[0], 0.0)
    divided = _by_division(scaled, Arcs(scaled), outer, 0.0, 150)
    multiplied = _by_zeros(scaled, 150)[0]
    assert divided.proved and multiplied.proved
    (first, error), (second, other) = (x.shares(scaled.lead, 150) for x in (divided, multiplied))
    # The proofs share no step: one knows the modulus on the circle, the other discs round the zeros.
    assert np.abs(first - second).max() <= min(error + other, 1e-8)


@given(kernels(1, 24), st.sampled_from([1e-12, 1e-6, 1.0]), st.sampled_from([0.0, 0.25, 3.0]))
def test_the_gap_of_two_moduli_is_bounded_on_nodes_and_not_much_wider_than_it_is(kernel, step, noise):
    assume(np.any(kernel))
    scaled = Taps(kernel).scaled()
    outer = scaled.values + step * np.random.default_rng(3).standard_normal(scaled.values.size)
    size, theirs = (np.abs(np.fft.fft(w, 1 << 12)) for w in (scaled.values, outer))
    largest = np.abs(size**2 + noise**2 - theirs**2).max()
    rounding = 1e-12 * (np.abs(scaled.values).sum() ** 2 + noise**2 + np.abs(outer).sum() ** 2)
    bound = modulus_gap(scaled, outer, noise)
    assert largest - 1e-2 * rounding <= bound <= 1.3 * largest + rounding
    # The autocorrelations in balls bound the same.
    mean = (np.abs(scaled.values) ** 2).sum()
    assert largest - 1e-2 * rounding <= 1.01 * mean * modulus_error(scaled, outer, noise)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("name", ["real", "complex", "growing", "wide", "all inside", "near the circle"])
def test_quotients_of_series_leave_what_is_stated(name, size):
    taps = np.zeros(size, np.result_type(two_ways(name)))
    outer = best_taps(Taps(two_ways(name)).scaled())[0][:size]
    taps[: outer.size] = outer
    right = np.random.default_rng(1).standard_normal(size).astype(taps.dtype)
    values, remainder = _divided(taps, right)
    back = np.convolve(taps, values)[:size]
    assert np.linalg.norm(back - right) <= remainder + 1e-13 * np.abs(taps).sum() * np.linalg.norm(values)
    assert remainder <= 1e-11 * np.abs(taps).sum() * np.linalg.norm(values)


def test_the_limit_and_the_mean_delay_wait_until_they_are_asked_for():
    r = Symbol(kaiming(40, 2)).recovery(7.0)
    assert callable(r._limit) and callable(r._mean_delay)
    assert r.delay(0.5).certified and not callable(r._limit) and callable(r._mean_delay)
    again = pickle.loads(pickle.dumps(r))
    assert (again.limit, again.limit_error, again.mean_delay) == (r.limit, r.limit_error, r.mean_delay)
    assert repr(again) == repr(r)


@pytest.mark.parametrize("snr", [1.0, 1e2, 1e4, 1e8])
@pytest.mark.parametrize("step", [1, 3])
def test_a_zero_on_the_circle_is_a_quarter_of_a_token_late_with_little_noise(snr, step):
    """The outer factor of |1 - z|^2 + s^2 is alpha (1 - rho z); samples too far apart see nothing of it."""
    s2 = 1.0 / snr
    rho = 1.0 + s2 / 2.0 - math.sqrt(s2 + s2**2 / 4.0)
    kernel = np.zeros(step + 1)
    kernel[[0, step]] = 1.0, -1.0
    assert Symbol(kernel).recovery(snr).mean_delay == pytest.approx(step * 0.5 / (1.0 + rho), rel=1e-9)


def test_mean_delay_sees_zeros_on_the_circle_between_samples():
    """Four zeros inside and two on the circle, an amplitude of 900, a noise of .3."""
    kernel = [0, 6 - 1j, -46 + 20j, 54 - 9j, -414 + 180j, 48 - 8j, -368 + 160j]
    # By the cepstrum on 2^22 nodes, of which 2^18 give the same to 1e-11.
    assert Symbol(kernel).recovery(10.0).mean_delay == pytest.approx(4.4999789578, rel=1e-9)


def test_no_mean_delay_where_no_grid_resolves_the_noise():
    assert Symbol([1.0, -1.0]).recovery(1e16).mean_delay is None
