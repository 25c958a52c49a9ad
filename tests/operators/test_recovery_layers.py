"""Recovery and memory of layers with heads and projections, against one dense matrix over all channels."""

import numpy as np
import pytest

from tests.operators.strategies import kaiming
from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators import MultiHeadSymbol, Symbol
from toeplitz_theory.operators.layers.multihead import MatrixIndex


def layer_of(seed: int, heads: int = 2, n: int = 3, d: int = 4) -> MultiHeadSymbol:
    rng = np.random.default_rng(seed)
    kernels = [kaiming(n, seed + h) for h in range(heads)]
    return MultiHeadSymbol(kernels, *(rng.standard_normal((2, d, d)) / np.sqrt(d)))


def coefficients(layer: MultiHeadSymbol, residual: bool) -> np.ndarray:
    """A_0 .. A_{n-1} by their definition."""
    taps = np.array([a.kernel for a in layer.heads])
    blocks = [np.diag(np.repeat(column, layer.channels)) for column in taps.T]
    out = np.array([layer.w_out @ block @ layer.w_in for block in blocks])
    out[0] += residual * np.eye(layer.width)
    return out


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_memory_is_the_trace_by_its_definition(residual, noise):
    layer = layer_of(0)
    A = coefficients(layer, residual)
    S = sum(x @ x.T for x in A) + noise * np.eye(4)
    want = [np.trace(x.T @ np.linalg.inv(S) @ x) for x in A]
    memory = layer.memory(residual, noise)
    np.testing.assert_allclose(memory.shares, want, rtol=1e-10)
    assert memory.total == pytest.approx(sum(want))
    assert (memory.total == pytest.approx(4.0)) == (noise == 0.0)


def test_memory_of_a_degenerate_layer_sums_to_its_rank():
    projection = np.diag([1.0, 1.0, 0.0, 0.0])
    assert MultiHeadSymbol([[1.0, 0.5]], np.eye(4), projection).memory(False).total == pytest.approx(2.0)


@pytest.mark.parametrize("residual", [True, False])
def test_recovery_against_the_normal_equations_over_a_long_window(residual):
    layer, snr, window, d = layer_of(3), 10.0, 60, 4
    A = coefficients(layer, residual)
    r = layer.recovery(snr, residual, horizon=8)
    for delay in (0, 2, 8):
        # All outputs window + delay + 1 steps back from t + delay, stacked; inputs before them count too.
        steps = window + delay + 1
        G = np.zeros((steps * d, (steps + 2) * d))
        for i in range(steps):
            for k, x in enumerate(A):
                G[i * d : (i + 1) * d, (i + 2 - k) * d : (i + 3 - k) * d] = x
        at = (window + 2) * d
        m = G[:, at : at + d]
        share = np.trace(m.T @ np.linalg.solve(G @ G.T + np.eye(len(G)) / snr, m)) / d
        assert r.share(delay) == pytest.approx(share, abs=1e-8 + r.error)


def test_uncoupled_channels_share_the_mean_of_their_curves():
    kernels = [[1.0, -2.0, 0.0], [1.0, 0.5, 0.25]]
    layer = MultiHeadSymbol(kernels, np.eye(4), np.eye(4))
    for snr in (5.0, np.inf):
        mean = np.mean([Symbol(w).recovery(snr, horizon=12).curve for w in kernels], axis=0)
        r = layer.recovery(snr, residual=False, horizon=12)
        np.testing.assert_allclose(r.curve, mean, atol=1e-9 + r.error)
        assert not r.certified and r.error < 0.05
    assert r.mean_delay == 0.5  # one zero inside, on two of four channels


@pytest.mark.parametrize(("n", "heads", "seed"), [(16, 8, 5), (32, 8, 2), (64, 5, 4)])
def test_orthogonal_projections_hide_nothing_from_the_mean_of_the_heads(n, heads, seed):
    rng = np.random.default_rng([n, seed])
    kernels = [kaiming(n, seed + 10 * h) for h in range(heads)]
    w_in, w_out = (np.linalg.qr(rng.standard_normal((heads, heads)))[0] for _ in range(2))
    mean = np.mean([Symbol(w).recovery(horizon=4 * n).curve for w in kernels], axis=0)
    r = MultiHeadSymbol(kernels, w_in, w_out).recovery(residual=False)
    np.testing.assert_allclose(r.curve, mean, atol=r.error)
    assert r.error < 0.01


def test_the_limit_is_the_rank_per_channel():
    layer = MultiHeadSymbol([[1.0, -2.0]], np.eye(2), np.diag([1.0, 0.0]))
    r = layer.recovery(residual=False, horizon=3)
    np.testing.assert_allclose(r.curve, [0.125, 0.40625, 0.4765625, 0.494140625], atol=1e-6)
    assert r.limit == 0.5 and r.mean_delay is None and r.delay(0.9) == 2


def test_an_output_too_quiet_to_be_followed_is_in_the_error():
    layer = MultiHeadSymbol([[1.0, -2.0]], np.eye(2), np.diag([1e10, 1.0]))
    r = layer.recovery(residual=False, horizon=3)
    assert r.limit == 1.0 and np.abs(r.curve - [0.25, 0.8125, 0.953125, 0.98828125]).max() <= r.error


def test_a_lag_past_every_grid_is_no_reason_for_a_larger_one():
    r = MultiHeadSymbol([[1.0, -2.0]], np.eye(1), np.eye(1)).recovery(10.0, residual=False, horizon=10**5)
    assert r.share(10**5) == pytest.approx(r.limit, abs=1e-9)
    assert r.mean_delay == pytest.approx(Symbol([1.0, -2.0]).recovery(10.0).mean_delay, abs=1e-6)


def test_mean_delay_is_named_only_where_the_index_is_proved(monkeypatch):
    guess = MatrixIndex(-2, False, "estimate")
    monkeypatch.setattr(MultiHeadSymbol, "residual_index", lambda self: guess)
    assert MultiHeadSymbol([[0.0, 3.0]], np.eye(2), np.eye(2)).recovery(horizon=3).mean_delay is None


def test_complex_kernels_go_round_the_whole_circle():
    w = np.array([1.0, -2.0j, 0.5])
    r = MultiHeadSymbol([w], np.eye(2), np.eye(2)).recovery(20.0, residual=False, horizon=6)
    np.testing.assert_allclose(r.curve, Symbol(w).recovery(20.0, horizon=6).curve, atol=1e-9)


def test_mean_delay_through_the_residual_is_the_index_per_channel():
    layer = MultiHeadSymbol([[0.0, 3.0]], np.eye(2), np.eye(2))  # det(I + A) = (1 + 3 z)^2
    r = layer.recovery(horizon=200)
    assert r.mean_delay == 1.0 and r.limit == 1.0
    assert (1 - r.curve).sum() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: layer_of(0).recovery(snr=0.0), "snr is 0.0"),
        (lambda: layer_of(0).recovery(snr=1.0, horizon=1.5), "horizon is 1.5"),
        (lambda: MultiHeadSymbol([[-1.0]], np.eye(2), np.eye(2)).recovery(), "identically 0"),
        (lambda: layer_of(0).memory(noise=-1.0), "noise is -1.0"),
        (lambda: MultiHeadSymbol([[0.0]], np.eye(1), np.eye(1)).memory(False), "every output is 0"),
    ],
)
def test_bad_input_gets_one_clear_line(call, says):
    with pytest.raises(InputError, match=says):
        call()


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (MultiHeadSymbol(np.ones((1, 2**21)), np.eye(8), np.eye(8)), "do not fit into memory"),
        (MultiHeadSymbol([[1e200, 1.0]], np.eye(2), np.eye(2)), "leaves float64's range"),
    ],
)
def test_layers_too_large_are_refused_before_any_work(layer, says):
    with pytest.raises(NumericalError, match=says):
        layer.recovery(10.0)
