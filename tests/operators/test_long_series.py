"""1/a(z) of long kernels: the growth taken out of the coefficients must leave every bound as it was."""

import numpy as np
import pytest

from tests.operators.strategies import kaiming
from toeplitz_theory.operators.matrix import inverse

N = 2500


def kernels():
    rng = np.random.default_rng(4)
    late = np.zeros(N)
    late[[0, 700]] = 1.0, 1e30  # grows only after what is looked at
    double = np.zeros(N)
    double[:3] = np.convolve([1.0, -1.02], [1.0, -1.02])
    fading = np.zeros(N)  # grows at first, and less later: the first zeros are cancelled
    fading[: N // 2] = np.convolve([1.0, -1.5], rng.normal(size=N // 2 - 1))
    return {
        "random": kaiming(N, 3),
        "complex": kaiming(N, 3) + 1j * kaiming(N, 5),
        "decaying": rng.normal(size=N) * np.exp(-8 * np.arange(N) / N),
        "stable": np.r_[5.0, rng.normal(size=N - 1) * 0.9 ** np.arange(N - 1)],
        "late": late,
        "double": double,
        "fading": fading,
        "short": np.array([1.0, -2.0]),
    }


@pytest.mark.parametrize("name", kernels())
def test_turned_series_meets_the_plain_one(name, monkeypatch):
    kernel = kernels()[name]
    turned = inverse.inverse_series(kernel, N)
    monkeypatch.setattr(inverse, "_growth", lambda taps: 0.0)
    plain = inverse.inverse_series(kernel, N)
    (a, first, wrong), (b, second, slack) = turned.common(), plain.common()
    assert first == second
    assert np.abs(a - b).sum() <= wrong + slack
    assert wrong <= 4 * 2.0**-53 * np.abs(a).sum()


def test_growth_is_seen_where_there_is_some():
    assert inverse._growth(np.array([1.0, -2.0])) == pytest.approx(1.0)
    assert inverse._growth(np.array([2.0, -1.0])) == 0.0


def test_a_wrong_growth_costs_time_and_no_digit(monkeypatch):
    """Balls hold whatever the radius is; where they are too wide the plain way is taken."""
    kernel = kaiming(N, 3)
    plain = inverse._invert(kernel, N, 128).common()
    for growth in (0.3, 4.0):
        monkeypatch.setattr(inverse, "_growth", lambda taps, growth=growth: growth)
        values, exponent, error = inverse.inverse_series(kernel, N).common()
        assert exponent == plain[1]
        assert np.abs(values - plain[0]).sum() <= error + plain[2]
        raw, top, wrong = inverse._invert(kernel, N, 128, growth).common()
        assert np.abs(raw - inverse._invert(kernel, N, 128).at(top)).sum() <= wrong + plain[2]
