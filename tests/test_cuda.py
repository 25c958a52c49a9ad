"""Models and training on an NVIDIA GPU against the same on the CPU; skipped where there is none."""

import copy

import numpy as np
import pytest
import torch

import toeplitz_theory as tt
from tests.tmm.family import NAMES, ids_of, make
from tests.training.conftest import RECIPE, small_text
from tests.training.curves import assert_same_run, column
from toeplitz_theory.retention import token_capacity
from toeplitz_theory.tmm import TMMForAutoencoding, causal_toeplitz_product, jensen_deficit, mean_delay
from toeplitz_theory.training import runner

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


def largest(x):
    return float(x.detach().abs().max())


@pytest.mark.parametrize("way", ["auto", "fft", "blocked", "dense"])
@pytest.mark.parametrize(("t", "heads", "channels"), [(1, 1, 3), (100, 4, 16), (700, 1, 8), (2048, 2, 4)])
def test_products_and_their_gradients(way, t, heads, channels):
    generator = torch.Generator().manual_seed(t)
    x = torch.randn(2, t, heads, channels, generator=generator)
    w = torch.randn(heads, t, generator=generator) / t**0.5
    found = []
    for device, dtype in (("cpu", torch.float64), ("cuda", torch.float32)):
        pair = [a.to(device, dtype).requires_grad_() for a in (x, w)]
        y = causal_toeplitz_product(*pair, "dense" if device == "cpu" else way)
        y.square().sum().backward()
        found.append([a.detach().cpu().double() for a in (y, pair[0].grad, pair[1].grad)])
    for exact, here in zip(*found, strict=True):
        assert largest(here - exact) < 2e-5 * largest(exact)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_every_mixer(name):
    """Logits, gradients, and generation with the cache."""
    model = make(name)
    there = copy.deepcopy(model).cuda()
    ids = ids_of(model, batch=3, length=20)
    losses = []
    for one, tokens in ((model, ids), (there, ids.cuda())):
        out = one(input_ids=tokens, labels=tokens)
        out.loss.backward()
        losses.append(out.loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for (key, here), over in zip(model.named_parameters(), there.parameters(), strict=True):
        if here.grad is not None:
            assert largest(here.grad - over.grad.cpu()) <= 1e-3 * largest(here.grad) + 1e-6, key
    prompt = ids[:1, :6].cuda()
    with torch.no_grad():
        texts = [
            there.generate(prompt, max_new_tokens=12, use_cache=cached, do_sample=False)
            for cached in (True, False)
        ]
    assert texts[0].tolist() == texts[1].tolist()


def test_an_autoencoder_and_bfloat16():
    model = make("heads", TMMForAutoencoding)
    there = copy.deepcopy(model).cuda()
    ids = ids_of(model, batch=2, length=model.config.max_position_embeddings)
    here, over = model(input_ids=ids).logits, there(input_ids=ids.cuda()).logits.cpu()
    assert largest(here - over) < 1e-3 * largest(here)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        rough = there(input_ids=ids.cuda()).logits.float().cpu()
    assert largest(here - rough) < 0.1 * largest(here)


@pytest.mark.parametrize("penalty", [jensen_deficit, lambda w: mean_delay(w, 10.0)])
def test_penalties(penalty):
    kernels = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    values, gradients = [], []
    for device in ("cpu", "cuda"):
        w = kernels.to(device, copy=True).requires_grad_()
        value = penalty(w).sum()
        value.backward()
        values.append(value.item())
        gradients.append(w.grad.cpu())
    assert values[0] == pytest.approx(values[1], rel=1e-3)
    assert largest(gradients[0] - gradients[1]) < 1e-2 * largest(gradients[0])


def test_a_live_model_is_inspected_where_it_lies():
    model = make("heads")
    here, there = tt.inspect(model), tt.inspect(copy.deepcopy(model).cuda())
    assert [row.index for row in here] == [row.index for row in there]
    assert [row.log10_condition for row in here] == [row.log10_condition for row in there]


def test_a_module_is_probed_where_it_lies():
    conv = torch.nn.Conv1d(3, 3, 5, groups=3, padding=4, bias=False)

    class Causal(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = copy.deepcopy(conv)

        def forward(self, x):
            return self.conv(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)

    probed = tt.probe(Causal().cuda(), n=12, channels=3)
    expected = conv.weight[:, 0].flip(-1).detach().T
    np.testing.assert_allclose(probed.taps[:5], expected, atol=2e-3)  # convolutions are in TF32 by default


def test_capacity_of_a_model():
    model = make("flat")
    one, other = (token_capacity(m, samples=64) for m in (model, copy.deepcopy(model).cuda()))
    assert one.value == pytest.approx(other.value, rel=0.05)


@pytest.mark.parametrize("objective", ["next_token", "autoencode"])
def test_training_repeats_itself(objective, tmp_path, monkeypatch):
    """A run repeats its curve digit for digit."""
    monkeypatch.setenv("TOEPLITZ_THEORY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(small_text())
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(objective=objective))
    whole = runner.train(recipe, tmp_path / "whole")
    assert column(whole, "loss")
    again = runner.train(recipe, tmp_path / "again")
    assert_same_run(whole, again)
