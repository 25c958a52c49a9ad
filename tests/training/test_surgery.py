"""Kernels replaced by their outer factors: same modulus, index 0, nothing else touched."""

import numpy as np
import pytest
import torch

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol
from toeplitz_theory.tmm import TMMConfig, TMMForCausalLM
from toeplitz_theory.training import make_invertible, measure_surgery
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


def kernels_of(model):
    return [weight.detach().double().numpy()[-1].copy() for _, weight in named_kernels(model)]


def set_kernels(model, kernels):
    with torch.no_grad():
        for (_, weight), taps in zip(named_kernels(model), kernels, strict=True):
            weight[-1].copy_(torch.as_tensor(taps))


def padded(taps, n=24):
    return np.concatenate([taps, np.zeros(n - len(taps))])


def test_only_zeros_near_the_circle_are_reflected():
    """Kernels built from chosen zeros: the new taps are those of the chosen zeros reflected."""
    near, deep, outside = [0.97, -0.99, 0.96j, -0.96j], [0.5, 0.3 + 0.4j, 0.3 - 0.4j], [1.5, -2.0, 1.02]
    model = small()
    set_kernels(model, [padded(np.poly(near + deep + outside)[::-1].real)] * 2)
    (replaced, _) = make_invertible(model, keep="deep-zeros", near=0.05 * 24)
    assert (replaced.index_before, replaced.index_after) == (-7, -3)
    reflected = np.poly([1 / np.conj(z) for z in near] + deep + outside)[::-1].real
    # A factor (1 - conj(z_j) z) / (z - z_j) multiplies by |z_j| what a zero's move divides by it.
    expected = padded(reflected * np.prod(np.abs(near)))
    new = kernels_of(model)[0]
    np.testing.assert_allclose(new * np.sign(new @ expected), expected, atol=1e-5)
    make_invertible(model, keep="deep-zeros", near=24)
    assert [Symbol(taps).fredholm_index().value for taps in kernels_of(model)] == [0, 0]


def test_the_delay_that_is_kept_is_the_one_that_was_there():
    outer = np.poly([1.5, -2.0, 3.0])[::-1].real
    for keep in ("main-lag", "mean-delay"):
        model = small()
        set_kernels(model, [padded(np.concatenate([np.zeros(lag), outer])) for lag in (3, 0)])
        before = kernels_of(model)
        replaced = make_invertible(model, keep=keep)
        assert [one.index_after for one in replaced] == [-3, 0] == [one.index_before for one in replaced]
        for old, new in zip(before, kernels_of(model), strict=True):
            np.testing.assert_allclose(new, old, atol=1e-5)
    set_kernels(model, [padded(np.poly([1.5, 0.5, -0.25])[::-1].real)] * 2)
    assert make_invertible(model, keep="mean-delay")[0].index_after == -2
    assert make_invertible(model)[0].index_after == 0


def test_what_is_not_offered_is_refused():
    for wrong in ({"keep": "all"}, {"keep": "deep-zeros", "near": 0.0}, {"near": float("nan")}):
        with pytest.raises(InputError, match=r"keep=|near="):
            make_invertible(small(), **wrong)
    model = small()
    set_kernels(model, [padded([1.0, -1.0])] * 2)
    with pytest.raises(InputError, match="no mean delay"):
        make_invertible(model, keep="mean-delay")


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


def test_a_place_that_takes_no_folder_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place, said in (
        ("file", "exists"),
        ("file/new", "takes no folder"),
        ("file/new/er", "takes no folder"),
    ):
        with pytest.raises(InputError, match=said):
            measure_surgery(tmp_path / "nonesuch", save=tmp_path / place)
