"""The differentiable Jensen deficit against the proved one, and its gradient."""

import math

import numpy as np
import pytest
import torch

from toeplitz_theory.operators import Symbol
from toeplitz_theory.tmm import jensen_deficit


@pytest.mark.parametrize("zeros", [[0.5, 0.6j, -0.6j, 2.0, -1.5], [0.3], [1.7, -2.2], [0.9, -0.8]])
def test_chosen_zeros(zeros):
    kernel = torch.tensor(Symbol.from_zeros(zeros).kernel)
    expected = sum(-math.log(abs(z)) for z in zeros if abs(z) < 1)
    # 0.9^(2 * 64) is 1e-6: the zero nearest to the circle decides.
    assert jensen_deficit(kernel, oversample=64).item() == pytest.approx(expected, abs=1e-7)


def test_agrees_with_the_proved_value_within_the_stated_error():
    for seed in range(10):
        w = np.random.default_rng(seed).standard_normal(256) / 16
        proved = Symbol(w).jensen_deficit().value
        single = jensen_deficit(torch.tensor(w, dtype=torch.float32)).item()
        zeros = np.abs(np.asarray(Symbol(w).zeros()))
        q = np.minimum(zeros, 1 / zeros) ** 2048
        # Each zero errs by at most log of 1 + q or 1 - q over the number of points.
        bound = -np.log1p(-q).sum() / 2048 + 1e-5
        assert abs(single - proved) <= bound < 0.05


def test_gradients():
    kernels = torch.tensor(
        [[1.0, -2.0, 0.3, 0.1], [0.4, 0.2, -0.7, 1.0]], dtype=torch.float64, requires_grad=True
    )
    assert torch.autograd.gradcheck(jensen_deficit, (kernels,))


def test_a_zero_on_a_node_has_a_finite_gradient_and_scale_does_not_matter():
    kernel = torch.tensor([1.0, -1.0], requires_grad=True)
    deficit = jensen_deficit(kernel)
    deficit.backward()
    assert torch.isfinite(kernel.grad).all() and abs(deficit.item()) < 1
    tiny = torch.tensor([1.0, -2.0]) * 2.0**-100
    assert jensen_deficit(tiny).item() == jensen_deficit(torch.tensor([1.0, -2.0])).item()
    assert math.isinf(jensen_deficit(torch.tensor([0.0, 1.0])).item())


def test_descent_moves_a_zero_out_of_the_disc():
    kernel = torch.nn.Parameter(torch.tensor([1.0, -1.6, 0.2], dtype=torch.float64))
    assert Symbol(kernel.detach().numpy()).fredholm_index().value == -1
    optimiser = torch.optim.SGD([kernel], lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        jensen_deficit(kernel).backward()
        optimiser.step()
    assert Symbol(kernel.detach().numpy()).fredholm_index().value == 0


def test_half_precision_is_computed_in_single_and_bad_input_is_refused():
    kernel = torch.tensor([1.0, -2.0], dtype=torch.bfloat16)
    assert jensen_deficit(kernel).dtype == torch.float32
    with pytest.raises(ValueError, match="real"):
        jensen_deficit(torch.tensor([1j]))
    with pytest.raises(ValueError, match="oversample"):
        jensen_deficit(kernel, oversample=1)
