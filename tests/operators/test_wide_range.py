"""Taps all over float64's range, and real filters: every stated error against thousands of bits."""

from fractions import Fraction

import flint
import numpy as np
import pytest

from tests.operators.section_truth import (
    bits_for,
    exact_log10_condition,
    exact_singular_values,
    filters,
    wide_kernel,
)
from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators import CausalMatrix, CausalToeplitz

FILTERS = filters()
# A first tap that scaling makes subnormal; more than 2**2000 between taps; complex; all subnormal.
CHOSEN = [
    [float.fromhex(x) for x in ("0x1.cf22254d8aa57p-974", "0x1.18cb4ecb62863p+96", "0x1.2b0f8dd1952fap-236")],
    [1e-310, 1e308, 1.0, 0.0],
    [2.64e-90, 8.6e298],
    [1e-310 + 1e-312j, 1e308j, 1.0, -1e-200j],
    [5e-324, 1e-323, -5e-324],
    [5e-324j, 5e-324j],
    [-2.4e307, 0.0, 0.0, 6.7e-28],
    [3.86e307, 0.0],
]
WIDE = [*map(np.array, CHOSEN), *(wide_kernel([17, seed]) for seed in range(120))]
ALL = [*WIDE, *FILTERS.values()]


def test_the_condition_bracket_holds():
    for kernel in ALL:
        truth = exact_log10_condition(kernel, bits_for(kernel))
        found = CausalToeplitz(kernel).log10_condition()
        slack = 2.0**-52 * truth  # of the oracle's own rounding
        assert found.lower - slack <= truth <= found.upper + slack, kernel.tolist()
        assert found.certified and abs(found.value - truth) <= 1e-6, kernel.tolist()


def relative_errors(found, kernel):
    """Distances of the stated singular values from the true ones, relative to these."""
    bits = bits_for(kernel)
    exact = exact_singular_values(kernel, bits)
    with flint.ctx.workprec(bits):
        logs = [abs(10 ** flint.arb(float(x)) / y - 1) for x, y in zip(found.log10, exact, strict=True)]
        plain = [
            abs(flint.arb(float(x)) / y - 1) if 1e-307 < x < np.inf else flint.arb(0)
            for x, y in zip(found.values, exact, strict=True)
        ]
        return np.array([max(float(a), float(b)) for a, b in zip(logs, plain, strict=True)])


def test_the_errors_of_singular_values_hold():
    for kernel in ALL:
        found = CausalToeplitz(kernel).singular_values(full=True)
        known = np.isfinite(found.relative_error)
        wrong = relative_errors(found, kernel)
        assert (wrong <= found.relative_error)[known].all(), (kernel.tolist(), found.method)


@pytest.mark.parametrize("name", FILTERS)
def test_singular_values_of_filters_are_known(name):
    assert CausalToeplitz(FILTERS[name]).singular_values(full=True).relative_error.max() < 2e-6


def test_proved_nullities_hold():
    for kernel in ALL:
        exact = exact_singular_values(kernel, bits_for(kernel))
        for rtol in (1e-3, 1e-6, 1e-200):
            truth = sum(bool(x <= rtol * exact[0]) for x in exact)
            for certify in (False, True):
                found = CausalToeplitz(kernel).nullity(rtol, certify=certify)
                assert found.lower <= truth <= found.upper and found.lower <= int(found) <= found.upper
                assert not found.certified or found.lower == found.upper


def exact_solution(kernel, y):
    """Forward substitution in rational complex numbers."""

    def parts(z):
        return Fraction(complex(z).real), Fraction(complex(z).imag)

    def times(a, b):
        return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]

    taps = [parts(z) for z in kernel]
    size = taps[0][0] ** 2 + taps[0][1] ** 2
    inverse = taps[0][0] / size, -taps[0][1] / size
    x = []
    for t in range(len(taps)):
        right = parts(y[t])
        for k in range(1, t + 1):
            product = times(taps[k], x[t - k])
            right = right[0] - product[0], right[1] - product[1]
        x.append(times(right, inverse))
    return x


def largest(x):
    return max(a * a + b * b for a, b in x)


def test_solutions_are_as_good_as_stated_or_refused():
    solved = 0
    for kernel in ALL:
        y = np.resize([1.0, -0.5, 3.0], len(kernel))
        exact = exact_solution(kernel, y)
        for rtol in (None, 1e-10):
            try:
                found = CausalToeplitz(kernel).solve(y, rtol=rtol, full=True)
            except NumericalError as error:
                assert "\n" not in str(error)
                top = largest(exact)
                assert top > Fraction(10) ** 616 or (rtol and top < Fraction(10) ** -600)
                continue
            solved += rtol is not None
            got = [(Fraction(complex(z).real), Fraction(complex(z).imag)) for z in found.x]
            off = [(a - c, b - d) for (a, b), (c, d) in zip(got, exact, strict=True)]
            if np.isfinite(found.forward_error):
                assert largest(off) <= Fraction(found.forward_error) ** 2 * largest(exact), kernel.tolist()
            assert rtol is None or found.forward_error <= rtol
    assert solved > len(ALL) / 2


def test_a_solution_without_a_tolerance_is_right():
    """Substitution alone loses every digit of the last entries here."""
    kernel, y = np.array([0.1, 0.3]), np.full(60, 0.4)
    y[0] = 0.1
    exact = exact_solution(np.resize(kernel, 60) * (np.arange(60) < 2), y)
    x = CausalToeplitz(kernel, 60).solve(y)
    assert abs(Fraction(float(x[-1])) - exact[-1][0]) <= Fraction(1, 10**10) * abs(exact[-1][0])
    unchecked = CausalToeplitz(kernel, 60).solve(y, rtol=None)
    assert abs(Fraction(float(unchecked[-1])) - exact[-1][0]) > Fraction(1, 10) * abs(exact[-1][0])


def test_inverses_hold_entry_by_entry_or_overflow():
    for kernel in WIDE:
        exact = exact_solution(kernel, np.eye(1, len(kernel))[0])
        try:
            taps = CausalToeplitz(kernel).inverse().kernel
        except NumericalError:
            assert largest(exact) > Fraction(10) ** 616
            continue
        got = [(Fraction(complex(z).real), Fraction(complex(z).imag)) for z in taps]
        off = largest([(a - c, b - d) for (a, b), (c, d) in zip(got, exact, strict=True)])
        assert off <= Fraction(2) ** -104 * largest(exact) + Fraction(2) ** -2140


def test_resolvents_hold():
    """At 2 w[0] and at 0 the first tap of T - lambda is exact, and these sections exhaust Lanczos' method."""
    for kernel in ALL:
        for point, first in ((0.0, kernel[0]), (2 * kernel[0], -kernel[0])):
            if not np.isfinite(point):
                continue
            moved = np.array([first, *kernel[1:]])
            bits = bits_for(moved)
            with flint.ctx.workprec(bits):
                truth = -float(exact_singular_values(moved, bits)[-1].log() / flint.arb(10).log())
            found = CausalToeplitz(kernel).resolvent_norm(point, full=True)
            assert abs(float(found.log10) - truth) <= 1e-7 + 1e-14 * abs(truth), (kernel.tolist(), point)


def test_points_far_away_see_no_taps():
    found = CausalToeplitz([5e-324, 5e-324]).resolvent_norm([1e300, -1e300j, 5e-324], full=True)
    assert found.log10[:2].tolist() == pytest.approx([-300.0, -300.0], abs=1e-12) and found.log10[2] == np.inf


def test_information_rates_hold():
    known = 0
    for kernel in ALL:
        for snr in (1e-3, 1e3):
            try:
                found = CausalToeplitz(kernel).information_rate(snr)
            except NumericalError as error:  # of the limit
                assert "overflows" in str(error) and np.log2(np.abs(kernel / 4).max()) > 480
                continue
            known += 1
            bits = bits_for(kernel)
            exact = exact_singular_values(kernel, bits)
            with flint.ctx.workprec(bits):
                logs = [(flint.arb(snr) * x * x).log1p() / flint.arb(2).log() for x in exact]
                truth = sum(logs, flint.arb(0)) / (2 * len(kernel))
                assert abs(float(flint.arb(found.value) - truth)) <= found.error + 1e-320, kernel.tolist()
    assert known > len(ALL)


def test_a_nullity_without_room_for_a_matrix():
    assert repr(CausalToeplitz([1.0, 0.5], 1 << 15).nullity()) == "Nullity(0; n=32768, rtol=1e-06)"
    assert CausalToeplitz([0.0, 0.0, 1.0, 0.5], 17_000).nullity() == 2
    assert CausalToeplitz([1.0, 3.0], 17_000).nullity() == 1
    with pytest.raises(NumericalError, match="rtol=1e-12 needs a dense matrix of 32 GiB"):
        CausalToeplitz([1.0, 3.0], 1 << 16).nullity(1e-12)


@pytest.mark.parametrize(
    ("kernel", "known"),
    [
        # One tap dwarfs the others, so all values but those of the lost lags are its modulus, to many digits.
        ([-(2.0**-552), 1.75 * 2.0**-30, 1.5 * 2.0**-119, -9 * 2.0**-1074], [1.75 * 2.0**-30] * 3),
        ([1.5 * 2.0**-452, 0.0, -1.25 * 2.0**66, 1.75 * 2.0**-576], [1.25 * 2.0**66] * 2),
    ],
)
def test_specks_do_not_cost_large_singular_values_their_digits(kernel, known):
    values = CausalToeplitz(kernel).singular_values(full=True)
    wrong = np.abs(values.values[: len(known)] / known - 1)
    assert (wrong <= values.relative_error[: len(known)]).all()
    matrix = CausalMatrix(CausalToeplitz(kernel).to_dense()).singular_values()
    np.testing.assert_allclose(matrix[: len(known)], known, rtol=1e-14)
