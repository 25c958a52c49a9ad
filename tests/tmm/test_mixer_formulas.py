"""Every mixer against its formula, written out with loops in float64 from the state dict alone."""

import math

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from tests.tmm.family import MIXERS, config_of
from toeplitz_theory.tmm.cache import MixerHistory
from toeplitz_theory.tmm.inputs import Place
from toeplitz_theory.tmm.mixers import build_mixer
from toeplitz_theory.tmm.mixers import linear_attention as linear_attention_module
from toeplitz_theory.tmm.mixers import ssm as ssm_module

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


def masked(state, config, x):
    def apply(prefix, x):
        y = np.zeros_like(x)
        for t in range(len(x)):
            for s in range(t + 1):
                y[t] += state[prefix + "weight"][t, s] * x[s]
        return y + state[prefix + "bias"][: len(x), None]

    if config.num_heads == 1:
        return apply("", x)
    inputs = [
        x @ state[f"proj_head.{h}.weight"].T + state[f"proj_head.{h}.bias"] for h in range(config.num_heads)
    ]
    parts = [apply(f"mixer_heads.{h}.", head) for h, head in enumerate(inputs)]
    return np.concatenate(parts, 1) @ state["out_proj.weight"].T + state["out_proj.bias"]


def turned(x, time):
    """Channel pairs (i, i + c/2) as complex numbers, turned by time * 10000 ** (-2 i / c)."""
    half = len(x) // 2
    pairs = x[:half] + 1j * x[half:]
    pairs = pairs * np.exp(1j * time * 10_000.0 ** (-np.arange(half) / half))
    return np.concatenate([pairs.real, pairs.imag])


def heads_of(state, config, x):
    """Queries, keys and values (t, c) of each head."""
    d, c = x.shape[1], x.shape[1] // config.num_heads
    q, k, v = (x @ state["in_proj.weight"][i * d : (i + 1) * d].T for i in range(3))
    for h in range(config.num_heads):
        yield tuple(part[:, h * c : (h + 1) * c] for part in (q, k, v))


def attention(state, config, x):
    parts = []
    for q, k, v in heads_of(state, config, x):
        y = np.zeros_like(v)
        for t in range(len(x)):
            scores = [turned(q[t], t) @ turned(k[s], s) / math.sqrt(q.shape[1]) for s in range(t + 1)]
            weights = np.exp(scores) / np.exp(scores).sum()
            y[t] = sum(w * v[s] for s, w in enumerate(weights))
        parts.append(y)
    return np.concatenate(parts, 1) @ state["out_proj.weight"].T


def linear_attention(state, config, x):
    parts = []
    for q, k, v in heads_of(state, config, x):
        q, k = (np.where(part > 0, part + 1, np.exp(part)) for part in (q, k))
        y = np.zeros_like(v)
        for t in range(len(x)):
            weights = [turned(q[t], t) @ turned(k[s], s) for s in range(t + 1)]
            y[t] = sum(w * v[s] for s, w in enumerate(weights)) / sum(q[t] @ k[s] for s in range(t + 1))
        parts.append(y)
    return np.concatenate(parts, 1) @ state["out_proj.weight"].T


def hyena(state, config, x):
    d = x.shape[1]
    projected = x @ state["in_proj.weight"].T
    for c in range(3 * d):
        taps = np.r_[state["short_filter"][c], np.zeros(len(x))]
        projected[:, c] = product(taps, projected[:, c, None])[:, 0]
    z = projected[:, :d]
    for order in range(2):
        kernels = hyena_kernels(state, f"filters.{order}.", d)
        for c in range(d):
            z[:, c] = product(kernels[c], z[:, c, None])[:, 0]
        z = z * projected[:, (order + 1) * d : (order + 2) * d]
    return z @ state["out_proj.weight"].T


def hyena_kernels(state, prefix, d):
    kernels = np.zeros((d, N))
    for k in range(N):
        u = k / (N - 1)
        waves = [2 * math.pi * m * u for m in range(1, 9)]
        features = np.array([u, *map(math.sin, waves), *map(math.cos, waves)])
        hidden = np.sin(10 * (state[prefix + "first.weight"] @ features + state[prefix + "first.bias"]))
        hidden = np.sin(state[prefix + "second.weight"] @ hidden + state[prefix + "second.bias"])
        for c in range(d):
            # Down to 1 % after 0.3 n lags in the first channel, after 1.5 n in the last.
            window = 0.01 ** (u / (0.3 + 1.2 * c / (d - 1)))
            kernels[c, k] = window * (state[prefix + "last.weight"][c] @ hidden) / math.sqrt(N)
    kernels[:, 0] += state[prefix + "skip"]
    return kernels


def ssm(state, config, x):
    """The recurrence, one channel and one state at a time."""
    y = x * state["filter.d"]
    for c in range(x.shape[1]):
        for m in range(config.state_size):
            dt = math.exp(state["filter.log_dt"][c])
            a = complex(-math.exp(state["filter.log_decay"][c, m]), state["filter.frequency"][c, m])
            h, out = 0j, complex(*state["filter.c"][c, m])
            for t in range(len(x)):
                # Exact for an input that stays constant over the step.
                h = np.exp(a * dt) * h + (np.exp(a * dt) - 1) / a * x[t, c]
                y[t, c] += 2 * (out * h).real
    gelu = y * np.array([[0.5 * (1 + math.erf(v / math.sqrt(2))) for v in row] for row in y])
    return gelu @ state["out_proj.weight"].T


FORMULAS = {
    "toeplitz": toeplitz,
    "frozen_toeplitz": toeplitz,
    "masked": masked,
    "attention": attention,
    "linear_attention": linear_attention,
    "hyena": hyena,
    "ssm": ssm,
}


@pytest.fixture(params=[3, 64], ids=["small blocks", "one block"])
def block(request, monkeypatch):
    """Work cut into several blocks, as long sequences are, or into one."""
    monkeypatch.setattr(linear_attention_module, "BLOCK", request.param)
    monkeypatch.setattr(ssm_module, "BLOCK", request.param)


IN_BLOCKS = [name for name in MIXERS if name in ("linear attention", "ssm")]


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
    assert_is_its_formula(name)


@pytest.mark.parametrize("name", IN_BLOCKS)
def test_is_its_formula_in_blocks(name, block):
    assert_is_its_formula(name)


def assert_is_its_formula(name):
    config, mixer = random_mixer(name)
    state = {key: value.numpy() for key, value in mixer.state_dict().items()}
    x = torch.randn(2, T, D, dtype=torch.float64)
    with torch.no_grad():
        y = mixer(x, place_of(T)).numpy()
    for row in range(2):
        expected = FORMULAS[config.mixer](state, config, x[row].numpy())
        np.testing.assert_allclose(y[row], expected, atol=TOLERANCE * max(1, abs(expected).max()), rtol=0)


@pytest.mark.parametrize("sizes", [[1] * T, [2, 5], [4, 1, 2], [7]], ids=str)
@pytest.mark.parametrize("name", IN_BLOCKS)
def test_states_are_carried_from_step_to_step(name, sizes, block):
    """Cut anywhere, and into blocks of any size, a recurrent mixer gives the same."""
    _, mixer = random_mixer(name)
    x = torch.randn(2, T, D, dtype=torch.float64)
    cache, parts, start = DynamicCache(), [], 0
    with torch.no_grad():
        expected = mixer(x, place_of(T))
        for chunk in x.split(sizes, 1):
            place = Place(torch.arange(start, start + chunk.shape[1])[None])
            parts.append(mixer(chunk, place, MixerHistory(cache, 0)))
            start += chunk.shape[1]
    torch.testing.assert_close(torch.cat(parts, 1), expected, atol=TOLERANCE * 10, rtol=0)


@pytest.mark.parametrize("name", MIXERS)
def test_gradients(name):
    _, mixer = random_mixer(name)
    x = torch.randn(1, 5, D, dtype=torch.float64, requires_grad=True)
    trained = [p for p in mixer.parameters() if p.requires_grad]

    def run(x, *_):
        return mixer(x, place_of(5))

    assert torch.autograd.gradcheck(run, (x, *trained), fast_mode=True)
