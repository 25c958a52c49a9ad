"""The Toeplitz product against the matrix written out by scipy, and its gradients against differences."""

import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from toeplitz_theory.tmm import causal_toeplitz_product
from toeplitz_theory.tmm.product import toeplitz_matrices

METHODS = ("dense", "fft")


def written_out(x, kernels):
    """Apply scipy's Toeplitz matrix head by head, channel by channel, in float64."""
    t = x.shape[1]
    y = torch.empty_like(x, dtype=torch.float64)
    for head in range(x.shape[2]):
        first_column = kernels[head, :t].double().numpy()
        matrix = torch.from_numpy(scipy.linalg.toeplitz(first_column, [first_column[0]] + [0.0] * (t - 1)))
        y[:, :, head] = torch.einsum("ts,bsc->btc", matrix, x[:, :, head].double())
    return y


@given(
    batch=st.integers(1, 3),
    t=st.integers(1, 40),
    heads=st.integers(1, 3),
    channels=st.integers(1, 4),
    unused=st.integers(0, 5),
    method=st.sampled_from(METHODS),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    seed=st.integers(0, 2**31),
)
def test_equals_the_matrix(batch, t, heads, channels, unused, method, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, t, heads, channels, generator=generator).to(dtype)
    kernels = torch.randn(heads, t + unused, generator=generator)
    y = causal_toeplitz_product(x, kernels, method)
    assert y.dtype == dtype and y.shape == x.shape
    # Backward error of either product: below 4 eps log2(size) ||w||_2 ||x||_2 a channel (float32 inside
    # for bfloat16, plus one rounding of the result).
    inner = torch.float64 if dtype == torch.float64 else torch.float32
    scale = kernels[:, :t].norm(dim=1).max().double() * x.double().norm(dim=1).max()
    bound = 4 * torch.finfo(inner).eps * (2 + torch.tensor(2.0 * t).log2()) * scale
    expected = written_out(x, kernels.to(inner))
    bound = bound + torch.finfo(dtype).eps * expected.abs()
    assert torch.all((y.double() - expected).abs() <= bound)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(2, 7, 3, 2), (1, 1, 1, 1), (3, 16, 1, 5)])
def test_gradients(method, shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    kernels = torch.randn(
        shape[2], shape[1] + 2, generator=generator, dtype=torch.float64, requires_grad=True
    )
    assert torch.autograd.gradcheck(lambda x, w: causal_toeplitz_product(x, w, method), (x, kernels))


@pytest.mark.parametrize("method", METHODS)
def test_gradient_only_where_asked(method):
    x = torch.randn(1, 4, 1, 2)
    kernels = torch.randn(1, 4, requires_grad=True)
    causal_toeplitz_product(x, kernels, method).sum().backward()
    assert kernels.grad is not None and x.grad is None


def test_saves_only_its_inputs_for_the_backward_pass():
    x = torch.randn(2, 64, 1, 8, requires_grad=True)
    kernels = torch.randn(1, 64, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        causal_toeplitz_product(x, kernels, "fft")
    assert sum(kept) == x.numel() + kernels.numel()


def test_float32_inside_under_autocast():
    x, kernels = torch.randn(2, 32, 1, 4), torch.randn(1, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = causal_toeplitz_product(x, kernels, "dense")
    assert torch.equal(inside, causal_toeplitz_product(x, kernels, "dense"))


def test_auto_agrees_with_both_sides_of_the_crossover(monkeypatch):
    x, kernels = torch.randn(1, 20, 1, 2), torch.randn(1, 20)
    for crossover in (1, 100):
        monkeypatch.setattr("toeplitz_theory.tmm.product.DENSE_UP_TO", crossover)
        torch.testing.assert_close(
            causal_toeplitz_product(x, kernels), causal_toeplitz_product(x, kernels, "dense")
        )


def test_matrices_are_scipys():
    w = torch.arange(1.0, 9.0).reshape(2, 4)
    for head, matrix in enumerate(toeplitz_matrices(w)):
        expected = scipy.linalg.toeplitz(w[head].numpy(), [w[head, 0].item(), 0, 0, 0])
        assert torch.equal(matrix, torch.from_numpy(expected).float())


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "method"),
    [
        ((1, 5, 2, 3), (2, 4), "fft"),
        ((1, 5, 2, 3), (1, 5), "fft"),
        ((5, 2, 3), (2, 5), "fft"),
        ((1, 5, 2, 3), (2, 5), "fast"),
    ],
)
def test_refuses_what_does_not_fit(x_shape, w_shape, method):
    with pytest.raises(ValueError, match=r"needs kernels|is not one of"):
        causal_toeplitz_product(torch.zeros(x_shape), torch.zeros(w_shape), method)
