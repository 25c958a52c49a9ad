"""The product with its bias as one node, and when its gradient is one, against plain autograd."""

import pytest
import torch
from torch.autograd import forward_ad

from tests.tmm.conftest import toeplitz_matrices
from toeplitz_theory.tmm import causal_toeplitz_product
from toeplitz_theory.tmm.products.product import product_plus

METHODS = ("dense", "fft", "blocked")


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def arguments(batch=2, t=7, heads=2, channels=3):
    return drawn(batch, t, heads * channels), drawn(heads, t, seed=1), drawn(t, heads, seed=2)


def plain(x, w, bias):
    y = torch.einsum("hts,bshc->bthc", toeplitz_matrices(w), x.unflatten(2, (len(w), -1)))
    return (y + bias.reshape(len(bias), -1, 1)).flatten(2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(2, 7, 3, 2), (1, 1, 1, 1), (2, 64, 1, 3), (2, 64, 4, 3), (2, 300, 2, 3)])
def test_value_and_gradients_are_those_of_plain_autograd(method, shape):
    given = [part.requires_grad_() for part in arguments(*shape)]
    g = drawn(*given[0].shape, seed=3)
    found, expected = product_plus(*given, method), plain(*given)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, given, g), torch.autograd.grad(expected, given, g))


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_in_both_modes(method):
    given = tuple(part.requires_grad_() for part in arguments())

    def product(x, w, bias):
        return product_plus(x, w, bias, method)

    assert torch.autograd.gradcheck(product, given, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(product, given, check_fwd_over_rev=True)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_gradient_only_where_asked(wanted):
    given = [part.requires_grad_(place in wanted) for place, part in enumerate(arguments())]
    asked = [given[place] for place in wanted]
    found = torch.autograd.grad(product_plus(*given, "blocked").square().sum(), asked)
    torch.testing.assert_close(found, torch.autograd.grad(plain(*given).square().sum(), asked))


@pytest.mark.parametrize("batched", [(0, None, None), (None, 0, None), (None, None, 1), (1, 1, 0)])
def test_vmap_is_a_loop(batched):
    given = [
        part if dim is None else torch.stack([part, 2 * part, part + 1], dim)
        for part, dim in zip(arguments(), batched, strict=True)
    ]
    together = torch.func.vmap(lambda *parts: product_plus(*parts, "blocked"), batched)(*given)
    for i in range(3):
        one = [part if dim is None else part.select(dim, i) for part, dim in zip(given, batched, strict=True)]
        torch.testing.assert_close(together[i], plain(*one))


def test_jacobians_by_torch_func():
    def product(x, w, bias):
        return product_plus(x, w, bias, "blocked")

    given = arguments(1, 5, 2, 2)
    found = [
        jacobian(product, argnums=(0, 1, 2))(*given) for jacobian in (torch.func.jacrev, torch.func.jacfwd)
    ]
    expected = torch.func.jacrev(plain, argnums=(0, 1, 2))(*given)
    torch.testing.assert_close(found, [expected, expected])


@pytest.mark.parametrize("method", METHODS)
def test_a_backward_pass_of_dual_numbers_carries_their_tangents(method):
    """Gradients are then not recorded, and still depend on what the tangents say."""
    given = [part.requires_grad_() for part in arguments()]
    tangents = [torch.cos(3 * part.detach()) for part in given]

    def gradient_tangents(product):
        with forward_ad.dual_level():
            duals = [forward_ad.make_dual(part, along) for part, along in zip(given, tangents, strict=True)]
            gradients = torch.autograd.grad(product(*duals).pow(3).sum(), duals)
            return [forward_ad.unpack_dual(part).tangent.clone() for part in gradients]

    found = gradient_tangents(lambda *parts: product_plus(*parts, method))
    torch.testing.assert_close(found, gradient_tangents(plain))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_into_one_graph(backend):
    given = [part.requires_grad_() for part in arguments()]

    def loss(*parts):
        return product_plus(*parts, "blocked").square().sum()

    torch.compiler.reset()
    found = torch.autograd.grad(torch.compile(loss, backend=backend, fullgraph=True)(*given), given)
    torch.testing.assert_close(found, torch.autograd.grad(plain(*given).square().sum(), given))


def test_half_precision_gradients_come_as_their_arguments():
    x, w, bias = (part.float().requires_grad_() for part in arguments(2, 64, 2, 3))
    product_plus(x.bfloat16(), w, bias, "blocked").sum().backward()
    assert bias.grad.dtype == torch.float32
    # Summed in float32: 2 samples of 3 channels of ones.
    assert torch.equal(bias.grad, torch.full_like(bias, 6))


def test_without_a_bias_it_is_the_public_product():
    x, w, _ = arguments()
    public = causal_toeplitz_product(x.unflatten(2, (len(w), -1)), w, "blocked")
    assert torch.equal(product_plus(x, w, None, "blocked"), public.flatten(2))


@pytest.mark.parametrize("method", METHODS)
def test_the_bias_of_one_head_may_be_a_vector(method):
    x, w, bias = arguments(2, 9, 1, 3)
    given = [part.requires_grad_() for part in (x, w, bias.squeeze(1))]
    g = drawn(*x.shape, seed=3)
    found, expected = product_plus(*given, method), plain(x, w, bias)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, given, g), torch.autograd.grad(plain(*given), given, g)
    )
    together = torch.func.vmap(lambda b: product_plus(x, w, b, method), 1)(
        torch.stack([given[2], 2 * given[2]], 1)
    )
    torch.testing.assert_close(together[1], plain(x, w, 2 * bias))
    tangent = torch.func.jvp(lambda b: product_plus(x, w, b, method), (given[2],), (bias.squeeze(1),))[1]
    torch.testing.assert_close(tangent, bias.expand_as(x))
