"""The causality gate: no output may know a later input, for every mixer, preset, dtype and way to decode.

The tolerance is in units of the input's norm. A product by FFT spreads the rounding error of the largest
input over all outputs, earlier ones too: eps |x| times the norm of the operator, not zero.
"""

import contextlib

import pytest
import torch
from torch import nn

from tests.tmm.conftest import with_random_biases
from tests.tmm.family import MIXERS, PRESETS, config_of
from toeplitz_theory import TMMForAutoencoding, TMMForCausalLM

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16 autocast": torch.bfloat16}
LENGTH, CUTS = 24, (1, 6, 17, 23)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def make(name, dtype, **changes):
    torch.manual_seed(0)
    model = with_random_biases(TMMForCausalLM(config_of(name, **changes))).eval()
    return model.double() if dtype is torch.float64 else model


def whole(model, x):
    return model(inputs_embeds=x, use_cache=False).logits


def whole_padded(model, x):
    """The same behind three positions of padding."""
    padded = torch.cat([x[:, :3], x[:, :-3]], 1)
    mask = torch.ones(x.shape[:2], dtype=torch.long)
    mask[:, :3] = 0
    logits = model(inputs_embeds=padded, attention_mask=mask, use_cache=False).logits
    return torch.cat([logits[:, 3:], logits[:, :3]], 1)  # the last three were not read: back in place


def in_steps(sizes):
    def run(model, x):
        past, parts = None, []
        for chunk in x.split(sizes, 1):
            output = model(inputs_embeds=chunk, past_key_values=past, use_cache=True)
            past = output.past_key_values
            parts.append(output.logits)
        return torch.cat(parts, 1)

    return run


PATHS = {
    "whole": whole,
    "padded": whole_padded,
    "steps": in_steps([1] * LENGTH),
    "prefill, chunks, steps": in_steps([9, 4, 1, 1, 1, 5, 1, 1, 1]),
}


def leak(run, model, dtype):
    """Return how far prefixes moved, in units of eps |x|, and how far the rest moved at least."""
    generator = torch.Generator().manual_seed(2)
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    x = torch.randn(2, LENGTH, model.config.hidden_size, generator=generator, dtype=wide)
    other = torch.randn(x.shape, generator=generator, dtype=wide)
    autocast = torch.autocast("cpu", torch.bfloat16) if dtype is torch.bfloat16 else contextlib.nullcontext()
    unit = torch.finfo(dtype).eps * float(other[0].norm())
    before, after = 0.0, float("inf")
    with autocast:
        logits = run(model, x)
        for cut in CUTS:
            changed = torch.cat([x[:, :cut], other[:, cut:]], 1)
            moved = (run(model, changed) - logits).abs().amax((0, 2)).double() / unit
            before = max(before, float(moved[:cut].max()))
            after = min(after, float(moved[cut:-3].max()) if cut < LENGTH - 3 else after)
    return before, after


def assert_causal(run, model, dtype):
    before, after = leak(run, model, dtype)
    assert before <= 1, f"outputs moved by {before:.3g} eps |x| when later inputs changed"
    assert after > 1, "nothing moved at all: the gate saw no change"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*MIXERS, *PRESETS])
def test_the_past_does_not_know_the_future(name, dtype, path):
    assert_causal(PATHS[path], make(name, DTYPES[dtype]), DTYPES[dtype])


@pytest.mark.parametrize("decoding", ["history", "online"])
@pytest.mark.parametrize("name", ["flat", "heads", "expanded"])
def test_with_the_fft_and_either_decoding(name, decoding):
    model = make(name, torch.float32, product="fft", decoding=decoding)
    for run in PATHS.values():
        assert_causal(run, model, torch.float32)


@pytest.mark.parametrize("name", MIXERS)
def test_the_encoder_of_the_autoencoder(name):
    """Its code is the last position's; all positions of its stack are causal."""
    torch.manual_seed(0)
    model = with_random_biases(TMMForAutoencoding(config_of(name))).eval()
    states = []
    model.encoderblocks[-1].register_forward_hook(lambda module, inputs, output: states.append(output))
    ids = torch.randint(1, 61, (2, LENGTH), generator=torch.Generator().manual_seed(2))
    model.encode(ids)
    for cut in CUTS:
        changed = torch.cat([ids[:, :cut], ids[:, cut:].flip(1) % 60 + 1], 1)
        model.encode(changed)
        moved = (states[-1] - states[0]).abs().amax((0, 2))
        unit = torch.finfo(torch.float32).eps * float(states[0][0].norm())
        assert float(moved[:cut].max()) <= unit < float(moved[cut:].max())


class Leaking(nn.Module):
    """A mixer that adds a little of the next input."""

    def __init__(self, mixer, amount):
        super().__init__()
        self.mixer, self.amount = mixer, amount

    def forward(self, x, place, history=None):
        return self.mixer(x, place, history) + self.amount * torch.roll(x, -1, 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gate_can_fail(dtype):
    model = make("flat", DTYPES[dtype])
    block = model.model.mixer_blocks[1]
    # Visible above the rounding of each precision.
    amount = 1e4 * torch.finfo(DTYPES[dtype]).eps
    block.token_mixing_layer = Leaking(block.token_mixing_layer, amount)
    for path in ("whole", "padded", "prefill, chunks, steps"):
        with pytest.raises(AssertionError, match="later inputs changed"):
            assert_causal(PATHS[path], model, DTYPES[dtype])
