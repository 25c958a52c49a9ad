"""Recovery of sections and of any causal matrix, against the normal equations and the infinite curve."""

import numpy as np
import pytest

import toeplitz_theory as tt
from tests.operators.strategies import kaiming
from toeplitz_theory.errors import InputError


def by_least_squares(matrix: np.ndarray, snr: float, position: int) -> np.ndarray:
    """Solve the normal equations afresh for every number of outputs."""
    shares = []
    for k in range(position + 1, len(matrix) + 1):
        rows = matrix[:k]
        m = rows[:, position]
        shares.append((m.conj() @ np.linalg.solve(rows @ rows.conj().T + np.eye(k) / snr, m)).real)
    return np.array(shares)


def attention(n: int, seed: int = 0) -> np.ndarray:
    """Softmax of random scores below the diagonal."""
    scores = np.exp(np.random.default_rng(seed).standard_normal((n, n)))
    lower = np.tril(scores)
    return lower / lower.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("position", [0, 3, None, 11])
@pytest.mark.parametrize("kernel", [kaiming(12, 0), kaiming(12, 1) + 1j * kaiming(12, 2)])
def test_sections_against_the_normal_equations(kernel, position):
    T = tt.CausalToeplitz(kernel)
    want = by_least_squares(T.to_dense(), 50.0, 6 if position is None else position)
    for r in (T.recovery(50.0, position), tt.CausalMatrix(T.to_dense()).recovery(50.0, position)):
        np.testing.assert_allclose(r.curve, want, atol=r.error + 1e-12)
        assert r.error < 1e-9 and not r.certified and r.limit == r.curve[-1]


def test_attention_weights_against_the_normal_equations():
    M = attention(30)
    r = tt.CausalMatrix(M).recovery(1e4, position=5)
    np.testing.assert_allclose(r.curve, by_least_squares(M, 1e4, 5), atol=1e-8)
    assert (np.diff(r.curve) >= 0).all() and r.curve[-1] <= 1


@pytest.mark.parametrize("snr", [3.0, 300.0])
def test_long_sections_tend_to_the_curve_of_the_symbol(snr):
    kernel = kaiming(10, 7)
    infinite = tt.Symbol(kernel).recovery(snr, horizon=100)
    section = tt.CausalToeplitz(kernel, n=500).recovery(snr, position=400)
    np.testing.assert_allclose(section.curve, infinite.curve[:100], atol=1e-7)
    assert section.mean_delay == pytest.approx(infinite.mean_delay, abs=1e-4)


def test_qr_holds_where_squaring_would_not():
    kernel = np.array([1.0, -2.0])
    M = tt.CausalMatrix(tt.CausalToeplitz(kernel, n=90).to_dense())
    r = M.recovery(1e18, position=60)  # M M' + 1e-18 is singular in float64
    np.testing.assert_allclose(r.curve[:4], [0.25, 0.8125, 0.953125, 0.98828125], atol=1e-6)


def test_memory_reads_rows_backwards():
    M = tt.CausalMatrix([[1.0, 0, 0], [0, 2.0, 0], [1.0, 2.0, 2.0]])
    np.testing.assert_allclose(M.memory().shares, [4 / 9, 4 / 9, 1 / 9])
    np.testing.assert_allclose(M.memory(position=1).shares, [1.0, 0.0])


@pytest.mark.parametrize("n", [5, 40])
def test_condition_nullity_and_bits_are_those_of_the_toeplitz_section(n):
    T = tt.CausalToeplitz(kaiming(n, 3))
    M = tt.CausalMatrix(T.to_dense())
    condition, exact = M.log10_condition(), T.log10_condition()
    assert condition.lower <= exact.value <= condition.upper
    assert M.nullity(1e-3) == T.nullity(1e-3)
    assert M.information_rate(10.0) == pytest.approx(T.information_rate(10.0).value, rel=1e-12)
    assert M.bits_at("bfloat16") == pytest.approx(T.bits_at("bfloat16").value, rel=1e-9)


def test_a_zero_on_the_diagonal_is_singular_and_a_tiny_value_unbounded_above():
    hole = tt.CausalMatrix([[0.0, 0.0], [1.0, 1.0]]).log10_condition()
    assert hole.value == np.inf and hole.certified and "1 zeros on the diagonal" in hole.note
    tiny = tt.CausalMatrix([[1.0, 0.0], [0.0, 1e-30]]).log10_condition()
    assert tiny.upper == np.inf and tiny.lower < 30 < tiny.upper


def test_half_precision_tensors_are_widened():
    torch = pytest.importorskip("torch")
    M = tt.CausalMatrix(torch.tril(torch.ones(3, 3, dtype=torch.bfloat16)))
    assert M.matrix.dtype == np.float64 and (M @ [1.0, 1.0, 1.0]).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: tt.CausalMatrix([1.0, 2.0]), r"shape \(2,\)"),
        (lambda: tt.CausalMatrix([[1.0, 2.0], [0.0, 1.0]]), r"matrix\[0, 1\] is 2"),
        (lambda: tt.CausalMatrix([[np.nan]]), "nan"),
        (lambda: tt.CausalMatrix(np.eye(2)).recovery(np.inf), "at once"),
        (lambda: tt.CausalToeplitz([1.0, 2.0]).recovery(0.0), "snr is 0.0"),
        (lambda: tt.CausalToeplitz([1.0, 2.0]).recovery(1.0, position=2), "from 0 to 1"),
        (lambda: tt.CausalMatrix(np.eye(2)).memory(position=5), "position is 5"),
        (lambda: tt.CausalMatrix(np.eye(2)).nullity(rtol=1.0), "rtol is 1.0"),
        (lambda: tt.CausalMatrix(np.eye(2)).bits_at("int8"), "int8"),
    ],
)
def test_bad_input_gets_one_clear_line(call, says):
    with pytest.raises(InputError, match=says):
        call()
