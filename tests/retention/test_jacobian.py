"""Singular values of Jacobians: against dense automatic differentiation, and closed forms."""

import copy
import math

import numpy as np
import pytest
import torch

from tests.tmm.family import config_of
from toeplitz_theory import TMMForAutoencoding, TMMForCausalLM
from toeplitz_theory.errors import InputError
from toeplitz_theory.retention import jacobian_spectrum, model_jacobian
from toeplitz_theory.tmm import causal_toeplitz_product

IDS = torch.tensor([[3, 1, 4, 1, 5, 9]])


def small_model(name: str, cls=TMMForCausalLM):
    torch.manual_seed(0)
    return cls(config_of(name)).eval()


def dense_values(function, x):
    matrix = torch.autograd.functional.jacobian(function, x.double()).reshape(-1, x.numel())
    return np.linalg.svd(matrix.numpy(), compute_uv=False)


@pytest.mark.parametrize(
    ("name", "dense"),
    [(name, True) for name in ("flat", "heads", "expanded", "row-normalised", "attention", "hyena", "ssm")]
    + [("flat", False), ("attention", False)],
)
def test_blocks_against_dense_differentiation(name, dense):
    model = small_model(name)
    twin = copy.deepcopy(model).double()
    states: list[torch.Tensor] = []
    block = twin.model.mixer_blocks[1]
    block.register_forward_pre_hook(lambda _, args: states.append(args))
    twin(IDS, use_cache=False)
    x, *others = states[0]
    truth = dense_values(lambda stream: block(stream, *others), x.detach())
    size = truth.size
    options = {"dense_up_to": size} if dense else {"dense_up_to": 0, "steps": size, "tolerance": 0.0}
    found = model_jacobian(model, IDS, "model.mixer_blocks.1", k=2, **options)
    assert found.shape == (size, size) and found.dense is dense
    # All steps: the subspace is the whole space, to the rounding of the orthogonalisation.
    assert np.abs(found.largest - truth[:2]).max() <= 1e-10 * truth[0]
    assert np.abs(found.smallest - truth[-2:]).max() <= 1e-10 * truth[0]


def test_whole_models_against_dense_differentiation():
    model = small_model("heads")
    twin = copy.deepcopy(model).double()
    x = twin.model.embed_tokens(IDS).detach()
    truth = dense_values(lambda e: twin.model(inputs_embeds=e, use_cache=False).last_hidden_state, x)
    found = model_jacobian(model, IDS)
    # The last norm removes the mean and the scale of each token: the Jacobian is singular.
    assert found.dense and found.kind == "lower bound" and truth[-1] < found.noise
    assert abs(found.largest[0] - truth[0]) <= 1e-11 * truth[0]
    assert 10**found.log10_condition == pytest.approx(truth[0] / found.noise)
    logits = model_jacobian(model, IDS, output="logits")
    assert logits.shape == (IDS.shape[1] * 61, x.numel())


def test_the_code_of_an_autoencoder_is_a_wide_map():
    model = small_model("flat", TMMForAutoencoding)
    found = model_jacobian(model, IDS, output="code")
    twin = copy.deepcopy(model).double()

    def code(e):
        handle = twin.embed_tokens.register_forward_hook(lambda *_: e)
        out = twin.encode(IDS)
        handle.remove()
        return out

    truth = dense_values(code, twin.embed_tokens(IDS).detach())
    assert found.shape == (16, 96)
    assert found.largest[0] == pytest.approx(truth[0], rel=1e-10)
    assert found.smallest[-1] == pytest.approx(truth[15], rel=1e-8)
    few = model_jacobian(model, IDS, output="code", dense_up_to=0, steps=16)
    assert few.smallest[-1] == pytest.approx(truth[15], rel=1e-8)


def toeplitz(taps, channels=1):
    w = torch.tensor(taps, dtype=torch.float64)[None]
    return lambda x: x + causal_toeplitz_product(x[None, :, None], w, "dense")[0, :, 0]


def test_a_toeplitz_layer_with_its_residual_connection_has_the_values_of_i_plus_t():
    taps = np.random.default_rng(0).standard_normal(40) * 0.2
    matrix = np.eye(40) + sum(np.diag(np.full(40 - k, w), -k) for k, w in enumerate(taps))
    truth = np.linalg.svd(matrix, compute_uv=False)
    x = torch.randn(40, 3, dtype=torch.float64)
    for options in ({}, {"dense_up_to": 0, "steps": 120, "tolerance": 0.0}):
        found = jacobian_spectrum(toeplitz(taps), x, k=3, **options)
        # Three channels: every value three times.
        assert np.abs(found.largest - truth[0]).max() <= 1e-9
        assert np.abs(found.smallest - truth[-1]).max() <= 1e-9


def test_ritz_values_are_bounds_from_one_side():
    taps = [0.0, -1.0, *[0.0] * 198]  # I + T = 1 - z: singular values 2 cos(pi k / (2n + 1))
    n = len(taps)
    high, low = (2 * math.cos(math.pi * k / (2 * n + 1)) for k in (1, n))
    x = torch.zeros(n, 1, dtype=torch.float64)
    for steps in (5, 20, 60):
        found = jacobian_spectrum(toeplitz(taps), x, steps=steps, dense_up_to=0)
        assert not found.dense and found.kind == "lower bound" and found.products <= 2 * steps
        assert found.largest[0] <= high * (1 + 1e-12) and found.smallest[-1] >= low * (1 - 1e-12)
        assert found.log10_condition <= math.log10(high / low) + 1e-12
    everything = jacobian_spectrum(toeplitz(taps), x, steps=n, dense_up_to=0, tolerance=0.0)
    assert everything.smallest[0] == pytest.approx(low, rel=1e-9)


def test_a_singular_jacobian_is_not_given_a_condition_number():
    shift = jacobian_spectrum(lambda x: torch.nn.functional.pad(x, (1, 0))[:-1], torch.zeros(6))
    assert shift.smallest[0] <= shift.noise and shift.kind == "lower bound" and "lower bound" in str(shift)
    few = jacobian_spectrum(lambda x: torch.cat([x[:3], 0 * x[3:]]), torch.ones(6), dense_up_to=0)
    assert few.largest[0] == pytest.approx(1.0) and few.smallest[-1] <= 1e-12


def test_the_model_is_left_as_it_is():
    model = small_model("flat").train()
    before = {name: p.clone() for name, p in model.named_parameters()}
    model_jacobian(model, IDS, "model.mixer_blocks.0")
    assert model.training and all(p.dtype == torch.float32 for p in model.parameters())
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda m: model_jacobian(m, IDS, "model.nothing"), "no part"),
        (lambda m: model_jacobian(m, IDS, "model.embed_tokens"), "tensor of floats"),
        (lambda m: model_jacobian(m, IDS, output="code"), "name another"),
        (lambda m: jacobian_spectrum(torch.sin, torch.zeros(0)), "empty"),
        (lambda m: jacobian_spectrum(torch.sin, torch.ones(3), k=0), "at least one"),
        (lambda m: jacobian_spectrum(lambda x: x.float(), torch.ones(3)), "double"),
    ],
)
def test_bad_input_is_one_clear_line(call, match):
    with pytest.raises(InputError, match=match) as caught:
        call(small_model("flat"))
    assert "\n" not in str(caught.value)
