"""Kernels replaced by their outer factors: same modulus, index 0, nothing else touched."""

import numpy as np
import pytest
import torch

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol
from toeplitz_theory.tmm import TMMConfig, TMMForCausalLM
from toeplitz_theory.training import make_invertible
from toeplitz_theory.training.model_kernels import named_kernels


def small(**changes) -> TMMForCausalLM:
    torch.manual_seed(0)
    shape = {"vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 2, "max_position_embeddings": 24}
    return TMMForCausalLM(TMMConfig(**{**shape, **changes}))


@pytest.mark.parametrize("heads", [1, 2])
def test_same_modulus_index_zero_and_nothing_else_changed(heads):
    model = small(num_heads=heads)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = make_invertible(model)
    assert [one.key for one in found] == [key for key, _ in named_kernels(model)] and len(found) == 2 * heads
    z = np.exp(2j * np.pi * np.arange(101) / 101)
    for one in found:
        old, new = (Symbol(state[one.key].numpy().reshape(-1)) for state in (before, model.state_dict()))
        # float32 taps: 24 roundings of 6e-8 each.
        np.testing.assert_allclose(abs(new(z)), abs(old(z)), atol=3e-6)
        assert one.index_after == 0 == new.fredholm_index().value
        assert one.index_before == old.fredholm_index().value
    touched = {one.key for one in found}
    for key, value in model.state_dict().items():
        assert key in touched or torch.equal(value, before[key])


def test_an_invertible_kernel_stays_as_it_is():
    model = small(num_hidden_layers=1)
    (key, weight), *_ = named_kernels(model)
    with torch.no_grad():
        weight.copy_(-(0.5 ** torch.arange(24.0)))
    (found,) = make_invertible(model)
    assert found.key == key and found.index_before == 0 and found.distance < 1e-6


def test_bad_models_are_left_alone():
    with pytest.raises(InputError, match="no Toeplitz kernel"):
        make_invertible(torch.nn.Linear(2, 2))
    model = small()
    weights = [weight for _, weight in named_kernels(model)]
    with torch.no_grad():
        weights[1].zero_()
    first = weights[0].clone()
    with pytest.raises(InputError, match="zero or not finite"):
        make_invertible(model)
    assert torch.equal(weights[0], first)
