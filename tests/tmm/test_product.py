"""The Toeplitz product against the matrix written out by scipy, and its gradients against differences."""

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tmm.conftest import toeplitz_matrices
from toeplitz_theory.tmm import causal_toeplitz_product
from toeplitz_theory.tmm.products import blocked

METHODS = ("dense", "fft", "blocked")


def written_out(x, kernels):
    """Apply scipy's Toeplitz matrix head by head, channel by channel, in float64."""
    t = x.shape[1]
    y = torch.empty_like(x, dtype=torch.float64)
    for head in range(x.shape[2]):
        first_column = kernels[head, :t].double().numpy()
        matrix = torch.from_numpy(scipy.linalg.toeplitz(first_column, [first_column[0]] + [0.0] * (t - 1)))
        y[:, :, head] = torch.einsum("ts,bsc->btc", matrix, x[:, :, head].double())
    return y


def rounding(x, kernels, inner):
    """Allowed error: 4 eps log2(size) ||w||_2 ||x||_2 a channel, and one rounding of the result.

    A transform adds rounding errors of eps times its values' norm at each of its log2(size) levels; a stage
    of a blocked transform, a sum of 4 r terms, no more than the log2(r) levels it replaces, on average.
    """
    t = x.shape[1]
    scale = kernels[:, :t].double().norm(dim=1).max() * x.double().norm(dim=1).max()
    return 4 * torch.finfo(inner).eps * (2 + torch.tensor(2.0 * t).log2()) * scale


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@given(
    batch=st.integers(0, 3),
    t=st.one_of(st.integers(1, 40), st.integers(41, 700)),
    heads=st.integers(1, 3),
    channels=st.integers(1, 4),
    unused=st.integers(0, 5),
    method=st.sampled_from(METHODS),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 2**31),
)
def test_equals_the_matrix(batch, t, heads, channels, unused, method, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, t, heads, channels, generator=generator).to(dtype)
    kernels = torch.randn(heads, t + unused, generator=generator)
    y = causal_toeplitz_product(x, kernels, method)
    assert y.dtype == dtype and y.shape == x.shape
    if batch == 0:
        return
    inner = torch.float64 if dtype == torch.float64 else torch.float32
    expected = written_out(x, kernels.to(inner))
    bound = rounding(x, kernels, inner) + torch.finfo(dtype).eps * expected.abs()
    assert torch.all((y.double() - expected).abs() <= bound)


@pytest.mark.parametrize("t", [33, 256, 1000, 4096])
def test_blocks_are_as_accurate_as_the_fft(t):
    x, kernels = drawn(1, t, 1, 3, dtype=torch.float32), drawn(1, t, seed=1, dtype=torch.float32)
    exact = causal_toeplitz_product(x.double(), kernels.double(), "fft")
    errors = [
        (causal_toeplitz_product(x, kernels, method) - exact).norm() / exact.norm()
        for method in ("blocked", "fft")
    ]
    assert errors[0] <= 2 * errors[1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("t", [7, 64, 333])
def test_gradients_are_those_of_the_matrix(method, t):
    x, kernels, g = drawn(2, t, 3, 2), drawn(3, t + 1, seed=1), drawn(2, t, 3, 2, seed=2)
    x.requires_grad_(), kernels.requires_grad_()
    by_matrix = torch.einsum("hts,bshc->bthc", toeplitz_matrices(kernels[:, :t]), x)
    expected = torch.autograd.grad(by_matrix, (x, kernels), g)
    found = torch.autograd.grad(causal_toeplitz_product(x, kernels, method), (x, kernels), g)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(2, 7, 3, 2), (1, 1, 1, 1), (3, 18, 1, 2)])
def test_first_and_second_derivatives_in_both_modes(method, shape):
    arguments = drawn(*shape).requires_grad_(), drawn(shape[2], shape[1] + 2, seed=1).requires_grad_()

    def product(x, kernels):
        return causal_toeplitz_product(x, kernels, method)

    assert torch.autograd.gradcheck(product, arguments, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(product, arguments, check_fwd_over_rev=True)


@pytest.mark.parametrize("method", METHODS)
def test_jacobians_by_torch_func(method):
    x, kernels = drawn(1, 6, 2, 2), drawn(2, 6, seed=1)
    by_x, by_w = (torch.func.jacrev(causal_toeplitz_product, argnums=n)(x, kernels, method) for n in (0, 1))
    forward = torch.func.jacfwd(causal_toeplitz_product, argnums=(0, 1))(x, kernels, method)
    torch.testing.assert_close((by_x, by_w), forward)
    matrices = toeplitz_matrices(kernels)
    for head in range(2):
        torch.testing.assert_close(by_x[0, :, head, 1, 0, :, head, 1], matrices[head])
    # The derivative of T(w) x in tap k is x, k steps later.
    torch.testing.assert_close(by_w[0, 4, 1, 0, 1, :5], x[0, :5, 1, 0].flip(0))


@pytest.mark.parametrize("batched", [(0, None), (None, 0), (1, 1)])
def test_vmap_is_a_loop(batched):
    x, kernels = drawn(2, 3, 9, 2, 2), drawn(3, 2, 9, seed=1)
    x = x if batched[0] is None else drawn(3, 2, 9, 2, 2).movedim(0, batched[0])
    x = drawn(2, 9, 2, 2) if batched[0] is None else x
    kernels = drawn(2, 9, seed=1) if batched[1] is None else kernels.movedim(0, batched[1])
    together = torch.func.vmap(lambda a, b: causal_toeplitz_product(a, b, "blocked"), batched)(x, kernels)
    for i in range(3):
        one_x = x if batched[0] is None else x.select(batched[0], i)
        one_w = kernels if batched[1] is None else kernels.select(batched[1], i)
        torch.testing.assert_close(together[i], causal_toeplitz_product(one_x, one_w, "dense"))


@pytest.mark.parametrize("method", METHODS)
def test_gradient_only_where_asked(method):
    x, kernels = torch.randn(1, 4, 1, 2), torch.randn(1, 4, requires_grad=True)
    causal_toeplitz_product(x, kernels, method).sum().backward()
    assert kernels.grad is not None and x.grad is None
    x, kernels = torch.randn(1, 4, 1, 2, requires_grad=True), torch.randn(1, 4)
    causal_toeplitz_product(x, kernels, method).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("method", METHODS)
def test_any_strides(method):
    x = drawn(3, 2, 20, 4).transpose(0, 1)[:, :, ::2].permute(0, 3, 2, 1)[:, 1:]  # (2, 3, 10, 3)
    kernels = drawn(30, 10, seed=1).t()[:, ::2]
    assert not x.is_contiguous() and not kernels.is_contiguous()
    found = causal_toeplitz_product(x, kernels, method)
    torch.testing.assert_close(found, written_out(x, kernels))


@pytest.mark.parametrize("method", METHODS)
def test_saves_only_its_inputs_for_the_backward_pass(method):
    x = torch.randn(2, 64, 1, 8, requires_grad=True)
    kernels = torch.randn(1, 64, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        causal_toeplitz_product(x, kernels, method)
    assert sum(kept) == x.numel() + kernels.numel()


def test_keeps_nothing_that_checkpointing_recomputes():
    x = torch.randn(2, 64, 1, 8, requires_grad=True)
    inner = x * 2
    alive = weakref.ref(inner)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.shape, lambda shape: torch.zeros(shape)):
        y = causal_toeplitz_product(inner, torch.randn(1, 64), "blocked")
    del inner
    assert alive() is None and y.requires_grad


def test_half_precision_is_kept_as_it_came():
    x = torch.randn(2, 64, 1, 8, dtype=torch.bfloat16, requires_grad=True)
    kernels = torch.randn(1, 64, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.dtype) or t, lambda t: t):
        y = causal_toeplitz_product(x, kernels, "blocked")
    y.sum().backward()
    assert kept == [torch.bfloat16, torch.float32]
    assert x.grad.dtype == torch.bfloat16 and kernels.grad.dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
def test_float32_inside_under_autocast(method):
    x, kernels = torch.randn(2, 32, 1, 4, requires_grad=True), torch.randn(1, 32, requires_grad=True)
    outside = causal_toeplitz_product(x, kernels, method)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = causal_toeplitz_product(x, kernels, method)
        found = torch.autograd.grad(inside.sum(), (x, kernels))
    assert torch.equal(inside, outside)
    assert all(map(torch.equal, found, torch.autograd.grad(outside.sum(), (x, kernels))))


def test_buffers_are_kept_a_few_and_small_and_hold_nothing_over(monkeypatch):
    monkeypatch.setattr(blocked, "_local", threading.local())
    first = drawn(2, 40, 2, 3)
    expected = causal_toeplitz_product(first, drawn(2, 40), "dense")
    for t in (40, 41, 40, 39, 300, 38, 37, 40):
        x = drawn(2, t, 2, 3) * 1e6  # would show if it stayed in a buffer
        causal_toeplitz_product(x, drawn(2, t), "blocked")
        torch.testing.assert_close(causal_toeplitz_product(first, drawn(2, 40), "blocked"), expected)
    kept = blocked._local.kept
    assert len(kept) == blocked.KEPT
    monkeypatch.setattr(blocked, "KEPT_BYTES", 1000)
    causal_toeplitz_product(drawn(1, 50, 1, 1), drawn(1, 50), "blocked")
    assert [key[0][0] for key in kept] == [300, 38, 37, 40]  # the last lengths, and not 50


def test_buffers_of_inference_serve_training(monkeypatch):
    monkeypatch.setattr(blocked, "_local", threading.local())
    x, kernels = drawn(1, 40, 1, 3), drawn(1, 40)
    with torch.inference_mode():
        causal_toeplitz_product(x, kernels, "blocked")
    x.requires_grad_()
    causal_toeplitz_product(x, kernels, "blocked").sum().backward()
    assert x.grad is not None


def test_threads_have_buffers_of_their_own():
    inputs = [drawn(4, 300, 1, 8, seed=seed) for seed in range(8)]
    kernels = drawn(1, 300)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: causal_toeplitz_product(x, kernels, "blocked"), inputs * 5))
    for x, y in zip(inputs * 5, found, strict=True):
        torch.testing.assert_close(y, causal_toeplitz_product(x, kernels, "fft"))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_into_one_graph(backend):
    x, kernels = torch.randn(2, 12, 2, 3, requires_grad=True), torch.randn(2, 14, requires_grad=True)

    def loss(x, kernels):
        return causal_toeplitz_product(x.sin(), kernels, "blocked").square().sum()

    expected = torch.autograd.grad(loss(x, kernels), (x, kernels))
    torch.compiler.reset()
    compiled = torch.compile(loss, backend=backend, fullgraph=True)
    found = torch.autograd.grad(compiled(x, kernels), (x, kernels))
    torch.testing.assert_close(found, expected)


@settings(max_examples=20)
@given(t=st.integers(1, 3000), method=st.sampled_from(METHODS))
def test_an_impulse_gives_the_kernel_back(t, method):
    at = t // 3
    x = torch.zeros(1, t, 1, 1, dtype=torch.float64)
    x[0, at] = 1
    kernels = drawn(1, t)
    y = causal_toeplitz_product(x, kernels, method)[0, :, 0, 0]
    torch.testing.assert_close(y[at:], kernels[0, : t - at], rtol=0, atol=1e-12)
    assert y[:at].abs().amax() < 1e-12 if at else True


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


@pytest.mark.parametrize(("x", "w"), [(torch.int64, torch.float32), (torch.float32, torch.complex64)])
def test_refuses_numbers_it_would_round_or_drop(x, w):
    with pytest.raises(ValueError, match="must be real floating-point numbers"):
        causal_toeplitz_product(torch.ones(1, 2, 1, 1, dtype=x), torch.ones(1, 2, dtype=w))
