"""What every mixer owes a user of transformers: caches, padding, saving, gradients."""

import contextlib

import pytest
import torch
from transformers import DynamicCache

from tests.tmm.family import MIXERS, NAMES, PRESETS, bound, config_of, ids_of, make
from toeplitz_theory import TMMForAutoencoding, TMMForCausalLM
from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm.config import MIXER_NAMES, TMMConfig
from toeplitz_theory.tmm.mixers import CausalKernels, ToeplitzKernel

GENERATION = {
    "greedy": {},
    "beam": {"num_beams": 3},
    "sample": {"do_sample": True},
    "several": {"do_sample": True, "num_return_sequences": 2},
}


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_cached_steps_are_the_full_pass(name, dtype):
    model = make(name).to(dtype)
    ids = ids_of(model, length=24)
    expected = model(ids, use_cache=False).logits
    for sizes in ([1] * 24, [13, *[1] * 11], [5, 1, 6, 1, 1, 7, 3]):
        past, parts = None, []
        for chunk in ids.split(sizes, 1):
            output = model(chunk, past_key_values=past, use_cache=True)
            past = output.past_key_values
            parts.append(output.logits)
        assert past.get_seq_length() == 24
        torch.testing.assert_close(torch.cat(parts, 1), expected, atol=bound(expected), rtol=0)


@pytest.mark.parametrize("how", GENERATION.values(), ids=list(GENERATION))
@pytest.mark.parametrize("name", NAMES)
def test_generates_what_it_would_without_a_cache(name, how):
    model = make(name)
    prompt = ids_of(model)
    generated = []
    for use_cache in (True, False):
        torch.manual_seed(3)
        settings = {"max_new_tokens": 14, "min_new_tokens": 14, "do_sample": False, "use_cache": use_cache}
        generated.append(model.generate(prompt, attention_mask=torch.ones_like(prompt), **(settings | how)))
    assert torch.equal(*generated) and generated[0].shape[1] == 20


@pytest.mark.parametrize("how", [{}, {"num_beams": 2}], ids=["greedy", "beam"])
@pytest.mark.parametrize("name", NAMES)
def test_a_padded_row_generates_what_it_would_alone(name, how):
    model = make(name)
    prompts = [ids_of(model, batch=1, length=length, seed=length) for length in (3, 8)]
    padded = torch.zeros(2, 8, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        padded[row, -prompt.shape[1] :] = prompt
    settings = {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False, **how}
    together = model.generate(padded, attention_mask=(padded != 0).long(), **settings)
    for row, prompt in enumerate(prompts):
        alone = model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)
        assert torch.equal(together[row, 8:], alone[0, prompt.shape[1] :])


@pytest.mark.parametrize("name", NAMES)
def test_padding_has_no_effect_whatever_stands_in_it(name):
    """On the left, and in the middle of a row, where the place is kept but nothing is contributed."""
    model = make(name).double()
    ids = ids_of(model, batch=1, length=10)
    alone = model(ids[:, 4:]).logits
    for filler in (0, 5):
        padded = ids.clone()
        padded[:, :4] = filler
        mask = torch.tensor([[0] * 4 + [1] * 6])
        logits = model(padded, attention_mask=mask).logits
        torch.testing.assert_close(logits[:, 4:], alone, atol=bound(alone), rtol=0)
    mask = torch.tensor([[1] * 3 + [0] * 2 + [1] * 5])
    one, other = (
        model(torch.cat([ids[:, :3], torch.full((1, 2), f), ids[:, 5:]], 1), attention_mask=mask).logits
        for f in (0, 7)
    )
    kept = mask[0].bool()
    torch.testing.assert_close(one[:, kept], other[:, kept], atol=bound(one), rtol=0)


@pytest.mark.parametrize("cls", [TMMForCausalLM, TMMForAutoencoding])
@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_is_the_same(name, cls, tmp_path):
    model = make(name, cls)
    ids = ids_of(model, length=24)
    model.save_pretrained(tmp_path)
    again = cls.from_pretrained(tmp_path).eval()
    assert torch.equal(model(ids).logits, again(ids).logits)
    trained = [key for key, p in model.named_parameters() if p.requires_grad]
    assert [key for key, p in again.named_parameters() if p.requires_grad] == trained


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_is_not_frozen_learns(name):
    model = make(name).train()
    ids = ids_of(model, length=24)
    with torch.enable_grad():
        model(ids, labels=ids).loss.backward()
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, key
        else:
            assert parameter.grad is None, key
    frozen = {key for key, p in model.named_parameters() if not p.requires_grad}
    kernels = {
        f"{key}.{which}"
        for key, module in model.named_modules()
        if isinstance(module, ToeplitzKernel)
        for which in ("weight", "weight_raw")
    }
    assert frozen <= kernels and bool(frozen) == (model.config.mixer == "frozen_toeplitz")


@pytest.mark.parametrize("name", NAMES)
def test_kernels_of_every_mixer_are_found_in_one_way(name):
    model = make(name)
    found = [module for module in model.modules() if isinstance(module, CausalKernels)]
    for module in found:
        kernels = module.kernels()
        assert kernels.ndim == 2 and kernels.shape[1] == 24 and kernels.isfinite().all()
        if getattr(module, "positive", False):
            assert float(kernels.min()) > 0
    assert bool(found) == (model.config.mixer not in ("masked", "attention", "linear_attention"))


@pytest.mark.parametrize("name", NAMES)
def test_tensors_are_made_where_the_model_is(name, monkeypatch):
    """On the meta device, which computes nothing and refuses tensors of the processor."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # unknown there
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    model = make(name).to("meta")
    for module in model.modules():
        if callable(getattr(module, "draw", None)):
            module.draw("decaying")
    ids = ids_of(model, length=12).to("meta")
    mask = torch.ones(2, 12, dtype=torch.long, device="meta")
    assert model(ids, use_cache=False).logits.shape == (2, 12, 61)
    past = model(ids[:, :10], attention_mask=mask[:, :10], use_cache=True).past_key_values
    assert model(ids[:, 10:], attention_mask=mask, past_key_values=past).logits.shape == (2, 2, 61)
    mask = torch.ones(2, 13, dtype=torch.long, device="meta")
    assert model(ids[:, :1], attention_mask=mask, past_key_values=past).logits.is_meta


def test_positive_kernels_start_as_averages():
    kernels = [m.kernels() for m in make_fresh("positive heads").modules() if isinstance(m, ToeplitzKernel)]
    torch.testing.assert_close(torch.cat(kernels).sum(-1), torch.ones(4), atol=1e-5, rtol=0)
    assert min(float(k.min()) for k in kernels) > 0


def make_fresh(name):
    torch.manual_seed(0)
    return TMMForCausalLM(config_of(name))


def test_presets_are_the_published_variants():
    paper, optimised = (TMMConfig.preset(name) for name in PRESETS)
    assert (paper.norm, paper.block_order, paper.expansion, paper.hidden_act, paper.final_norm) == (
        *("layernorm", "mlp_first", 4, "silu"),
        False,
    )
    assert (optimised.norm, optimised.block_order, optimised.positive_kernels) == (
        *("rmsnorm", "mixer_first"),
        True,
    )
    assert TMMConfig.preset("paper", expansion=2).expansion == 2
    with pytest.raises(InputError, match="no preset 'papr'"):
        TMMConfig.preset("papr")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("mixer", MIXER_NAMES)
def test_presets_go_with_every_mixer_and_change_nothing_else(preset, mixer):
    config = TMMConfig.preset(preset, mixer=mixer)
    kernels = {"mixer": mixer, "positive_kernels": preset == "optimised" and "toeplitz" in mixer}
    assert config.to_dict() == TMMConfig.preset(preset).to_dict() | kernels
    if "toeplitz" not in mixer:
        with pytest.raises(InputError, match="positive_kernels is for mixer='toeplitz'"):
            TMMConfig.preset(preset, mixer=mixer, positive_kernels=True)


def test_kaiming_maps_have_variance_two_over_inputs():
    model = make_fresh("paper")
    for layer in (model.lm_head, model.model.mixer_blocks[0].channel_mixing_layer.down):
        inputs, count = layer.weight.shape[1], layer.weight.numel()
        # The sample variance of `count` normal numbers is off by sqrt(2 / count) of itself: five of those.
        assert abs(float(layer.weight.var()) * inputs / 2 - 1) < 5 * (2 / count) ** 0.5
    assert abs(float(model.model.embed_tokens.weight[1:].var()) - 1) < 5 * (2 / 960) ** 0.5


@pytest.mark.parametrize("name", NAMES)
def test_sequences_longer_than_the_context_are_refused(name):
    model = make(name)
    slides = "toeplitz" in model.config.mixer
    said = "have n = 24 taps .*beyond_n" if slides else "made for n = 24 positions .*fewer tokens$"
    with pytest.raises(ValueError, match=said):
        model(ids_of(model, length=25))
    with pytest.raises(ValueError, match=said):
        model.generate(ids_of(model), min_new_tokens=30, max_new_tokens=30, do_sample=False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mixer": "toplitz"}, "mixer='toplitz' is not one of"),
        ({"kernel_size": 2, "num_heads": 2}, "kernel_size=2 is for flat mixers"),
        ({"kernel_size": 2, "expanded": True}, "does not go with expanded"),
        ({"kernel_size": 0}, "kernel_size=0 must be at least 1"),
        ({"row_normalised": True}, "needs positive_kernels"),
        (
            {"row_normalised": True, "positive_kernels": True, "kernel_size": 2},
            "does not go with row_normalised",
        ),
        ({"model_type": "llama"}, "of a 'llama' model"),
        ({"mixer": "hyena", "positive_kernels": True}, "positive_kernels is for mixer='toeplitz'"),
        ({"mixer": "attention", "expanded": True}, "expanded is for mixer='toeplitz'"),
        ({"mixer": "ssm", "kernel_size": 3}, "kernel_size=3 is for mixer='toeplitz'"),
        ({"mixer": "hyena", "num_heads": 2}, "mixes each channel by itself: num_heads=1, not 2"),
        ({"mixer": "attention", "hidden_size": 12, "num_heads": 4}, "must be even, not 3"),
        ({"mixer": "ssm", "state_size": 0}, "state_size=0 must be at least 1"),
        ({"mixer": "attention", "beyond_n": "slide"}, "no window of n inputs"),
    ],
)
def test_configurations_that_contradict_themselves(fields, message):
    with pytest.raises(InputError, match=message):
        TMMConfig(**fields)


@pytest.mark.parametrize("name", MIXERS)
def test_gradient_checkpointing_changes_no_gradient(name):
    gradients = []
    for checkpointed in (False, True):
        model = make(name).double().train()
        if checkpointed:
            model.activation_checkpointing_enable()
        ids = ids_of(model, length=24)
        with torch.enable_grad():
            model(ids, labels=ids).loss.backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MIXERS)
def test_a_cache_does_not_spoil_checkpointed_gradients(name):
    """Blocks run twice: the second run must not meet what the first one left in a cache."""
    gradients = []
    for checkpointed in (False, True):
        model = make(name).double().train()
        ids = ids_of(model, length=24)
        if checkpointed:
            model.activation_checkpointing_enable()
            cache = DynamicCache()
            with torch.enable_grad(), pytest.raises(ValueError, match="leave it out, or call"):
                model(ids, labels=ids, past_key_values=cache)
            assert cache.get_seq_length() == 0
        with torch.enable_grad():
            output = model(ids, labels=ids, use_cache=True)
        assert (output.past_key_values is None) == checkpointed
        output.loss.backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)
    # Nothing is run again where no gradient is asked for: generation keeps its cache.
    assert model(ids, use_cache=True).past_key_values.get_seq_length() == 24


@pytest.mark.parametrize("name", ["attention", "linear attention", "hyena", "ssm"])
def test_compiles_into_one_graph(name):
    """The Toeplitz product has tests of its own for this."""
    model = make(name, num_hidden_layers=1).train()
    ids = ids_of(model, length=20)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    one = compiled(input_ids=ids, labels=ids, use_cache=False).loss
    assert float(one - model(input_ids=ids, labels=ids, use_cache=False).loss) == 0
