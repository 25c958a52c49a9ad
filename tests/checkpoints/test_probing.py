"""Modules asked for their impulse responses: what they multiply by, and what is no convolution."""

import numpy as np
import pytest
import torch
from convolutions import S4D, CausalConv, D, HyenaFilter, N
from scipy.signal import lfilter
from torch import nn

import toeplitz_theory as tt
from tests.tmm.family import MIXERS, make
from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm.inputs import Place
from toeplitz_theory.tmm.mixers.kernels import CausalKernels

RANDOM = np.random.default_rng(0)


def is_rounding(answer):
    return max(answer.linear, answer.causal, answer.shift_invariant) < answer.tolerance / 50


@pytest.mark.parametrize("dilation", [1, 3])
def test_a_depthwise_convolution_of_torch(dilation):
    module = CausalConv(dilation=dilation)
    answer = tt.probe(module, N, D)
    wanted = np.zeros((D, N))
    wanted[:, : 4 * dilation : dilation] = module.conv.weight.detach().numpy()[:, 0, ::-1]
    np.testing.assert_allclose([a.kernel for a in answer.symbols], wanted, atol=1e-6)
    assert is_rounding(answer) and answer.depthwise < 1e-6 and not answer.mixes
    np.testing.assert_allclose(answer.offset[0], module.conv.bias.detach().numpy(), rtol=1e-6)


def test_a_convolution_that_mixes_channels_has_a_matrix_symbol():
    module = CausalConv(groups=1).double()
    answer = tt.probe(module, N, D)
    weight = module.conv.weight.detach().numpy()
    np.testing.assert_allclose(answer.taps[:4], weight[:, :, ::-1].transpose(2, 0, 1), atol=1e-14)
    assert answer.mixes and answer.depthwise > 0.1 and answer.matrix_symbol.width == D
    with pytest.raises(InputError, match="mixes channels"):
        _ = answer.symbols


def test_channels_first_and_outputs_longer_than_the_inputs():
    conv = nn.Conv1d(D, D, 4, groups=D, padding=3)  # padded on both sides, as Mamba's: the end is cut off
    answer = tt.probe(conv, N, D, time_axis=2)
    weight = conv.weight.detach().numpy()[:, 0, ::-1]
    np.testing.assert_allclose([a.kernel[:4] for a in answer.symbols], weight, atol=1e-6)


def test_a_recursive_filter_is_cut_where_its_tail_is_below_the_bound():
    b, a = [1.0, 0.3], [1.0, -0.8]
    answer = tt.probe(lambda x: lfilter(b, a, x, axis=1), 400, 2, tail=1e-10)
    (kernel, _) = (symbol.kernel for symbol in answer.symbols)
    whole = lfilter(b, a, np.eye(1, 4000)[0])
    np.testing.assert_allclose(kernel, whole[: len(kernel)], rtol=1e-13)
    assert np.abs(whole[len(kernel) :]).sum() == pytest.approx(answer.cut, rel=1e-6)
    assert answer.cut <= 1e-10 * np.abs(whole).sum() < np.abs(whole[len(kernel) - 1 :]).sum()
    assert f"at most {answer.cut:.2g}" in answer.note


def test_a_response_that_has_not_died_away_is_said_to_go_on():
    answer = tt.probe(lambda x: lfilter([1.0], [1.0, -0.999], x, axis=1), 64, 1, tail=1e-10)
    assert len(answer.symbols[0]) == 64 and answer.cut == 0 and "may go on beyond n" in answer.note


BROKEN = {
    "linear": lambda x: x**2,
    "linear on each side of 0": np.abs,
    "anticausal": lambda x: np.roll(x, -1, 1) * (np.arange(x.shape[1]) < x.shape[1] - 1)[:, None],
    "circular": lambda x: x + 0.5 * np.roll(x, 1, 1),
    "position by position": lambda x: x * np.arange(1, x.shape[1] + 1)[:, None],
    "a mean of what came": lambda x: np.cumsum(x, 1) / np.arange(1, x.shape[1] + 1)[:, None],
    "nan": lambda x: x * np.nan,
}
WHICH = {"linear on each side of 0": "linear", "anticausal": "causal", "circular": "causal"}
WHICH |= {
    "position by position": "shift-invariant",
    "a mean of what came": "shift-invariant",
    "nan": "linear",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_convolution_has_numbers_that_say_so_and_no_symbols(name):
    answer = tt.probe(BROKEN[name], N, 3)
    assert f"not {WHICH.get(name, name)} (relative residual" in answer.why_not
    with pytest.raises(InputError, match="no kernel does what it does"):
        _ = answer.symbols
    with pytest.raises(InputError, match="no kernel does what it does"):
        _ = answer.matrix_symbol


@pytest.mark.parametrize(("source", "target"), [(0, 1), (4, 3), (2, 6), (6, 5)])
def test_one_channel_that_hears_another_is_noticed(source, target):
    mix = np.eye(7)
    mix[target, source] = 1e-4
    answer = tt.probe(lambda x: x @ mix.T, 4, 7)
    assert answer.mixes
    np.testing.assert_allclose(answer.taps[0], mix, atol=1e-15)


def test_a_module_is_left_as_it_was():
    module = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5)).train()
    module[1].eval()
    answer = tt.probe(module, 8, 2, dtype=torch.float64)
    assert is_rounding(answer) and [part.training for part in module.modules()] == [True, True, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_function_of_tensors_says_its_type(dtype):
    answer = tt.probe(lambda x: (2 * x, "more"), 4, 3, dtype=dtype)
    assert answer.dtype == str(dtype).removeprefix("torch.") and answer.taps[0].tolist() == [2.0] * 3


def _refusals():
    yield lambda: tt.probe(lambda x: x, 0, 3), "n = 0"
    yield lambda: tt.probe(lambda x: x, 4, True), "channels = True"
    yield lambda: tt.probe(lambda x: x, 4, 3, time_axis=0), "time_axis = 0"
    yield lambda: tt.probe(lambda x: x, 4, 3, tail=1.0), "tail = 1.0"
    yield lambda: tt.probe(lambda x: x, 4, 3, dtype=np.int64), "floating-point"
    yield lambda: tt.probe(lambda x: x, 4, 3, dtype=torch.int64), "floating-point"
    yield lambda: tt.probe("module", 4, 3), "cannot probe a str"
    yield lambda: tt.probe(nn.Linear(4, 4), 4, 3), "failed on inputs"
    yield lambda: tt.probe(nn.Conv1d(3, 3, 2), 4, 3, time_axis=2), "pad it on the left"
    yield lambda: tt.probe(lambda x: "text", 4, 3), "made an array of shape"


@pytest.mark.parametrize(("call", "error"), _refusals(), ids=[error for _, error in _refusals()])
def test_what_cannot_be_probed_is_said_in_one_line(call, error):
    with pytest.raises(InputError, match=error) as refused:
        call()
    assert "\n" not in str(refused.value)


# Our own mixers


def mixer_of(name, **changes):
    model = make(name, **changes).double()
    place = Place(torch.arange(model.config.max_position_embeddings)[None])
    mixer = next(part for key, part in model.named_modules() if key.endswith("0.token_mixing_layer"))
    return mixer, (lambda x: mixer(x, place)), model.config


def stored_taps(mixer, config):
    """The taps (n, d, d) of a mixer, by its formula from the kernels it stores."""
    d, k = config.hidden_size, config.kernel_size
    if config.num_heads > 1:
        heads = [head.kernels()[0] for head in mixer.mixer_heads]
        w_in = [part.weight for part in mixer.proj_head]
        w_out = mixer.out_proj.weight.chunk(len(heads), 1)
        taps = sum(torch.einsum("k,ic,cj->kij", *parts) for parts in zip(heads, w_out, w_in, strict=True))
    else:
        shifts = [np.eye(d, k=-(k - 1 - j)) for j in range(k)]
        taps = sum(
            torch.einsum("k,ij->kij", w, torch.tensor(s))
            for w, s in zip(mixer.kernels(), shifts, strict=True)
        )
    return taps.detach().numpy()


LINEAR = [
    name
    for name, fields in MIXERS.items()
    if fields.get("mixer", "toeplitz") in ("toeplitz", "frozen_toeplitz")
    and not fields.get("expanded")
    and not fields.get("row_normalised")
]


@pytest.mark.parametrize("name", LINEAR)
def test_our_mixers_answer_with_the_kernels_they_store(name):
    mixer, call, config = mixer_of(name)
    answer = tt.probe(call, config.max_position_embeddings, config.hidden_size, dtype=torch.float64)
    taps = stored_taps(mixer, config)
    matrix = answer.matrix_symbol
    np.testing.assert_allclose(matrix.taps, taps, atol=1e-13 * np.abs(taps).max())
    assert is_rounding(answer)
    z = 0.6 + 0.8j
    np.testing.assert_allclose(matrix(z), sum(z**k * tap for k, tap in enumerate(taps)), atol=1e-12)


@pytest.mark.parametrize("name", ["hyena", "ssm", "expanded", "expanded heads"])
def test_convolutions_inside_our_mixers_answer_with_the_kernels_they_store(name):
    """These mixers are not linear; the products inside them are, and are asked one by one."""
    from toeplitz_theory.tmm.mixers.mixing import mix_heads

    mixer, _, _config = mixer_of(name)
    banks = [part for part in mixer.modules() if isinstance(part, CausalKernels)]
    assert len(banks) == {"hyena": 2, "ssm": 1, "expanded": 2, "expanded heads": 4}[name]
    for bank in banks:
        kernels = bank.kernels()
        count, n = kernels.shape

        def product(x, bank=bank, count=count):
            return mix_heads(x, count, bank.sources(), bank.kernels, "fft", None)

        answer = tt.probe(product, n, count, dtype=torch.float64)
        scale = float(kernels.detach().abs().max())
        np.testing.assert_allclose(answer.taps.T, kernels.detach(), atol=1e-13 * scale)
        assert is_rounding(answer)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("row-normalised", "shift-invariant"), ("masked", "shift-invariant"), ("expanded", "linear"),
     ("attention", "linear"), ("linear attention", "linear"), ("hyena", "linear"), ("ssm", "linear")],
)  # fmt: skip
def test_our_other_mixers_are_said_to_be_none(name, reason):
    _, call, config = mixer_of(name)
    answer = tt.probe(call, config.max_position_embeddings, config.hidden_size, dtype=torch.float64)
    assert f"not {reason}" in answer.why_not and answer.causal < 1e-12


# Layers as people write them


def test_a_hyena_filter():
    torch.manual_seed(0)
    module = HyenaFilter().double()
    wanted = module.kernel().detach().numpy().T
    wanted[:, 0] += module.skip.detach().numpy()
    answer = tt.probe(module, N, D)
    np.testing.assert_allclose([a.kernel for a in answer.symbols], wanted, atol=1e-14)


def test_a_state_space_layer():
    torch.manual_seed(0)
    module = S4D().double()
    step, c = (part.detach().numpy() for part in module.system())
    wanted = 2 * np.einsum("dn,dnk->dk", c, step[..., None] ** np.arange(N)).real
    wanted[:, 0] += module.d.detach().numpy()
    answer = tt.probe(module, N, D)
    np.testing.assert_allclose([a.kernel for a in answer.symbols], wanted, atol=1e-13)
