"""Every mixer against its formula, written out with loops in float64 from the state dict alone."""

import math

import numpy as np
import pytest
import torch

from tests.tmm.family import MIXERS, config_of
from toeplitz_theory.tmm.inputs import Place
from toeplitz_theory.tmm.mixers import build_mixer

N, T, D = 9, 7, 8
# Sums of at most a few hundred products of numbers of order 1 in float64, divided by sums of order 0.1.
TOLERANCE = 1e-11


def softplus(x):
    return np.array([math.log1p(math.exp(v)) for v in np.ravel(x)]).reshape(np.shape(x))


def silu(x):
    return x / (1 + np.exp(-x))


def product(kernel, x):
    """``y[t] = sum_k kernel[k] x[t - k]`` of (t, channels)."""
    y = np.zeros_like(x)
    for t in range(len(x)):
        for k in range(t + 1):
            y[t] += kernel[k] * x[t - k]
    return y


def kernels_of(state, prefix, config):
    if config.positive_kernels:
        return softplus(state[prefix + "weight_raw"])
    return state[prefix + "weight"]


def one_product(state, prefix, config, x):
    """One kernel (1, n) and its bias, row-normalised where the configuration says so."""
    (kernel,) = kernels_of(state, prefix, config)
    y = product(kernel, x)
    if config.row_normalised:
        for t in range(len(x)):
            y[t] /= sum(kernel[: t + 1])
    return y + state[prefix + "bias"][: len(x), None]


def one_head(state, prefix, config, x):
    if not config.expanded:
        return one_product(state, prefix, config, x)
    return one_product(state, prefix + "3.", config, silu(one_product(state, prefix + "0.", config, x)))


def toeplitz(state, config, x):
    if config.num_heads == 1 and config.kernel_size == 1:
        return one_head(state, "", config, x)
    if config.num_heads == 1:
        return over_channels(state, config, x)
    parts = []
    for h in range(config.num_heads):
        head = x @ state[f"proj_head.{h}.weight"].T + state.get(f"proj_head.{h}.bias", 0)
        parts.append(one_head(state, f"mixer_heads.{h}.", config, head))
    return np.concatenate(parts, 1) @ state["out_proj.weight"].T + state.get("out_proj.bias", 0)


def over_channels(state, config, x):
    kernels, k = kernels_of(state, "", config), config.kernel_size
    y = np.zeros_like(x)
    for c in range(x.shape[1]):
        for j in range(k):
            if c - (k - 1) + j >= 0:
                y[:, c] += product(kernels[j], x[:, c - (k - 1) + j, None])[:, 0]
    return y + state["bias"][: len(x), None]


FORMULAS = {"toeplitz": toeplitz, "frozen_toeplitz": toeplitz}


def random_mixer(name):
    torch.manual_seed(3)
    config = config_of(name, hidden_size=D, max_position_embeddings=N)
    mixer = build_mixer(config).double()
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.7)
    return config, mixer


def place_of(length):
    return Place(torch.arange(length)[None])


@pytest.mark.parametrize("name", MIXERS)
def test_is_its_formula(name):
    config, mixer = random_mixer(name)
    state = {key: value.numpy() for key, value in mixer.state_dict().items()}
    x = torch.randn(2, T, D, dtype=torch.float64)
    with torch.no_grad():
        y = mixer(x, place_of(T)).numpy()
    for row in range(2):
        expected = FORMULAS[config.mixer](state, config, x[row].numpy())
        np.testing.assert_allclose(y[row], expected, atol=TOLERANCE * max(1, abs(expected).max()), rtol=0)


@pytest.mark.parametrize("name", MIXERS)
def test_gradients(name):
    _, mixer = random_mixer(name)
    x = torch.randn(1, 5, D, dtype=torch.float64, requires_grad=True)
    trained = [p for p in mixer.parameters() if p.requires_grad]

    def run(x, *_):
        return mixer(x, place_of(5))

    assert torch.autograd.gradcheck(run, (x, *trained), fast_mode=True)
