"""The models as a transformers user meets them."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tmm.conftest import small_config, with_random_biases
from toeplitz_theory import TMMConfig, TMMForAutoencoding, TMMForCausalLM
from toeplitz_theory.errors import InputError


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def make(config, cls=TMMForCausalLM):
    torch.manual_seed(0)
    return with_random_biases(cls(config)).eval()


def ids_of(config, batch=3, length=None, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, length or config.max_position_embeddings)
    return torch.randint(1, config.vocab_size, shape, generator=generator)


def test_forward_is_the_paper_formula():
    """One flat block, recomputed in numpy float64 from the state dict alone."""
    config = small_config(num_hidden_layers=1)
    model = make(config)
    weights = {k: v.double().numpy() for k, v in model.state_dict().items()}
    ids = ids_of(config, batch=1, length=10)

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config.norm_eps)
        return scaled * weights[name + ".weight"] + weights[name + ".bias"]

    block = "model.mixer_blocks.0."
    x = weights["model.embed_tokens.weight"][ids[0].numpy()]
    mlp = block + "channel_mixing_layer."
    hidden = norm(x, block + "channel_norm") @ weights[mlp + "up.weight"].T + weights[mlp + "up.bias"]
    x = x + hidden / (1 + np.exp(-hidden)) @ weights[mlp + "down.weight"].T + weights[mlp + "down.bias"]
    taps = weights[block + "token_mixing_layer.weight"][0, :10]
    matrix = scipy.linalg.toeplitz(taps, np.r_[taps[0], np.zeros(9)])
    x = x + matrix @ norm(x, block + "token_norm") + weights[block + "token_mixing_layer.bias"][:10, None]
    logits = norm(x, "model.norm") @ weights["lm_head.weight"].T
    # Some tens of float32 operations in a row on numbers of order |logits|.
    tolerance = 100 * np.finfo(np.float32).eps * np.abs(logits).max()
    np.testing.assert_allclose(model(ids).logits[0].detach().numpy(), logits, atol=tolerance)


def test_the_two_products_agree(config):
    ids = ids_of(config)
    logits = []
    for product in ("dense", "fft"):
        model = make(config)
        for module in model.modules():
            if hasattr(module, "product"):
                module.product = product
        logits.append(model(ids).logits)
    torch.testing.assert_close(*logits, atol=2e-5 * float(logits[0].abs().max()), rtol=0)


@pytest.mark.parametrize("cls", [TMMForCausalLM, TMMForAutoencoding])
def test_saved_and_loaded_is_the_same(config, cls, tmp_path):
    if cls is TMMForAutoencoding:
        config.tie_word_embeddings = False
    model, ids = make(config, cls), ids_of(config)
    model.save_pretrained(tmp_path)
    again = cls.from_pretrained(tmp_path).eval()
    assert torch.equal(model(ids).logits, again(ids).logits)
    machinery = {"_name_or_path": "", "dtype": None, "architectures": None}
    assert again.config.to_dict() | machinery == model.config.to_dict() | machinery


def test_auto_classes_load_it(tmp_path):
    model = make(small_config())
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), TMMConfig)
    assert isinstance(AutoModelForCausalLM.from_pretrained(tmp_path), TMMForCausalLM)


def test_tied_head_is_one_tensor():
    model = make(small_config(tie_word_embeddings=True))
    assert model.lm_head.weight is model.model.embed_tokens.weight


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_causality(config, dtype):
    """Changing the suffix leaves the prefix's logits alone, at every cut."""
    model = make(config).to(dtype)
    ids = ids_of(config, batch=2)
    logits = model(ids).logits
    tolerance = 20 * torch.finfo(dtype).eps * float(logits.abs().max())
    for cut in (1, 7, ids.shape[1] - 1):
        changed = ids.clone()
        changed[:, cut:] = ids_of(config, batch=2, seed=9)[:, cut:]
        moved = (model(changed).logits - logits).abs().amax((0, 2))
        assert float(moved[:cut].max()) <= tolerance
        assert float(moved[cut:].max()) > tolerance  # the test can see a change


def test_shorter_sequences_are_prefixes(config):
    model, ids = make(config), ids_of(config)
    whole = model(ids).logits
    for length in (1, 2, 11):
        part = model(ids[:, :length]).logits
        torch.testing.assert_close(part, whole[:, :length], atol=2e-5 * float(whole.abs().max()), rtol=0)


def test_loss_is_cross_entropy_of_the_next_token(config):
    model, ids = make(config), ids_of(config)
    labels = ids.clone()
    labels[0, :5] = -100
    output = model(ids, labels=labels)
    scores = output.logits[:, :-1].double().log_softmax(-1)
    picked = [
        -scores[b, t, labels[b, t + 1]] for b in range(3) for t in range(23) if labels[b, t + 1] != -100
    ]
    assert math.isclose(float(output.loss), float(sum(picked) / len(picked)), rel_tol=1e-5)
    assert model(ids).loss is None


def test_loss_under_gradient_accumulation_is_normalised(config):
    model, ids = make(config), ids_of(config)
    half = model(ids, labels=ids, num_items_in_batch=2 * 3 * 23).loss
    assert math.isclose(float(half) * 2, float(model(ids, labels=ids).loss), rel_tol=1e-5)


@pytest.mark.parametrize("how", [{}, {"num_beams": 3}, {"do_sample": True}])
def test_generation_with_and_without_cache(config, how):
    model, prompt = make(config), ids_of(config, batch=2, length=5)
    generated = []
    for use_cache in (True, False):
        torch.manual_seed(3)
        settings = {"max_new_tokens": 12, "min_new_tokens": 12, "use_cache": use_cache, "do_sample": False}
        generated.append(model.generate(prompt, attention_mask=torch.ones_like(prompt), **(settings | how)))
    assert torch.equal(*generated)
    assert generated[0].shape == (2, 17)


def test_cached_steps_give_the_logits_of_the_full_pass(config):
    model, ids = make(config), ids_of(config)
    whole = model(ids).logits
    cache, parts = None, []
    for chunk in ids.split([7, 1, 1, 4, 1, 10], dim=1):
        output = model(chunk, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        parts.append(output.logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=2e-5 * float(whole.abs().max()), rtol=0)


def test_left_padding_changes_nothing(config):
    model, prompt = make(config), ids_of(config, batch=1, length=6)
    padded = torch.cat([torch.zeros(1, 4, dtype=torch.long), prompt], 1)
    mask = (padded != 0).long()
    alone = model(prompt).logits
    tolerance = 2e-5 * float(alone.abs().max())
    torch.testing.assert_close(
        model(padded, attention_mask=mask).logits[:, 4:], alone, atol=tolerance, rtol=0
    )
    short = model.generate(prompt, max_new_tokens=6, do_sample=False)
    long = model.generate(padded, attention_mask=mask, max_new_tokens=6, do_sample=False)
    assert torch.equal(short, long[:, 4:])


def test_hidden_states_and_logits_to_keep(config):
    model, ids = make(config), ids_of(config)
    output = model(ids, output_hidden_states=True, logits_to_keep=2)
    assert len(output.hidden_states) == config.num_hidden_layers + 1
    assert output.logits.shape == (3, 2, config.vocab_size)
    assert model(ids).hidden_states is None


def test_embeddings_in_place_of_ids(config):
    model, ids = make(config), ids_of(config)
    vectors = model.get_input_embeddings()(ids)
    torch.testing.assert_close(model(inputs_embeds=vectors).logits, model(ids).logits)


class TestAutoencoder:
    def test_sees_the_input_only_through_the_code(self):
        model = make(small_config(num_heads=4), TMMForAutoencoding)
        ids = ids_of(model.config)
        output = model(ids)
        assert output.code.shape == (3, 16)
        torch.testing.assert_close(model.decode(output.code, ids.shape[1]), output.logits)

    def test_loss_is_cross_entropy_of_the_same_position(self):
        model = make(small_config(num_heads=4), TMMForAutoencoding)
        ids = ids_of(model.config)
        labels = ids.clone()
        labels[:, 3] = -100
        output = model(ids, labels=labels)
        picked = output.logits.log_softmax(-1).gather(2, ids[..., None])[..., 0]
        kept = torch.cat([picked[:, :3], picked[:, 4:]], 1)
        assert math.isclose(float(output.loss), float(-kept.mean()), rel_tol=1e-5)

    def test_unrolls_cyclic_windows(self):
        from toeplitz_theory.tmm.autoencoder import unroll

        code = torch.arange(6.0)[None]
        expected = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 0], [5, 0, 1], [0, 1, 2]]
        assert unroll(code, 7)[0].tolist() == expected

    def test_refuses_padding_and_odd_width(self):
        model = make(small_config(), TMMForAutoencoding)
        ids = ids_of(model.config)
        with pytest.raises(ValueError, match="without padding"):
            model(ids, attention_mask=torch.zeros_like(ids))
        with pytest.raises(ValueError, match="must be even"):
            TMMForAutoencoding(small_config(hidden_size=15))
        with pytest.raises(ValueError, match="tie_word_embeddings=False"):
            TMMForAutoencoding(small_config(tie_word_embeddings=True))


class TestBadInput:
    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            (torch.ones(1, 25, dtype=torch.long), "n = 24"),
            (torch.ones(1, 0, dtype=torch.long), "length >= 1"),
            (torch.tensor([[61]]), "outside the vocabulary"),
            (torch.tensor([[-1]]), "outside the vocabulary"),
            (torch.ones(1, 3), "int64 or int32"),
            (torch.ones(3, dtype=torch.long), "shape"),
        ],
    )
    def test_ids(self, ids, message):
        with pytest.raises(ValueError, match=message):
            make(small_config())(ids)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"input_ids": [[1, 2]]}, "must be a tensor of ids, not a list"),
            ({"inputs_embeds": torch.zeros(1, 3, 15)}, r"length >= 1, 16\), not \(1, 3, 15\)"),
            ({"inputs_embeds": torch.zeros(1, 0, 16)}, r"not \(1, 0, 16\)"),
            ({"inputs_embeds": torch.zeros(1, 3, 16).double()}, "torch.float64 but the model's weights are"),
            ({"inputs_embeds": torch.zeros(1, 3, 16).long()}, "torch.int64 but the model's weights are"),
            ({"labels": torch.ones(2, 3).long()}, r"labels must have shape \(2, 4\) .*not \(2, 3\)"),
            ({"labels": torch.ones(2, 4)}, "labels must be int64 or int32, not torch.float32"),
            ({"labels": torch.full((2, 4), 61)}, "labels run from 61 to 61, outside .* are -100"),
            ({"labels": torch.full((2, 4), -1)}, "labels run from -1 to -1"),
            ({"attention_mask": torch.full((2, 4), 0.5)}, "1 at tokens and 0 at padding"),
            ({"attention_mask": torch.ones(3, 4)}, r"= \(2, 4\), not \(3, 4\)"),
            ({"attention_mask": torch.ones(2, 1, 4, 4)}, r"not \(2, 1, 4, 4\)"),
            ({"past_key_values": [1]}, "must be a cache of transformers, not a list"),
        ],
        ids=str,
    )
    def test_what_goes_with_the_ids(self, changes, message):
        model = make(small_config())
        ids = (
            {} if {"inputs_embeds", "input_ids"} & set(changes) else {"input_ids": ids_of(model.config, 2, 4)}
        )
        with pytest.raises(ValueError, match=message):
            model(**ids, **changes)

    def test_empty_prompts(self):
        model = make(small_config())
        for prompts in ({"inputs": torch.ones(2, 0).long()}, {"input_ids": torch.ones(2, 0).long()}):
            with pytest.raises(ValueError, match="length >= 1"):
                model.generate(**prompts, max_new_tokens=2)

    def test_codes_and_lengths(self):
        model = make(small_config(), TMMForAutoencoding)
        for width, length in ((15, 3), (16, 25), (16, 0)):
            with pytest.raises(ValueError, match="a code has shape"):
                model.decode(torch.zeros(1, width), length)
        with pytest.raises(ValueError, match=r"made for n = 24 positions \(config.*\): shorten the input"):
            model(torch.ones(1, 25).long())
        with pytest.raises(ValueError, match="labels must have shape"):
            model(ids_of(model.config, 2, 4), labels=torch.ones(2, 3).long())

    def test_generating_past_the_kernels_end(self):
        model = make(small_config())
        with pytest.raises(ValueError, match="n = 24"):
            model.generate(
                ids_of(model.config, length=20), max_new_tokens=6, min_new_tokens=6, do_sample=False
            )

    def test_mask_of_another_shape(self):
        model = make(small_config())
        with pytest.raises(ValueError, match="attention_mask"):
            model(ids_of(model.config), attention_mask=torch.ones(3, 5))

    def test_neither_ids_nor_embeddings(self):
        with pytest.raises(ValueError, match="either"):
            make(small_config())()

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"hidden_sise": 3}, "no field 'hidden_sise'"),
            ({"hidden_size": 10, "num_heads": 4}, "not divisible"),
            ({"norm": "batch"}, "norm='batch'"),
            ({"num_hidden_layers": 0}, "at least 1"),
            ({"norm_eps": 0.0}, "positive"),
        ],
    )
    def test_config(self, fields, message):
        with pytest.raises(InputError, match=message):
            TMMConfig(**fields)

    def test_config_of_the_wrong_type(self):
        with pytest.raises(Exception, match="hidden_size"):
            TMMConfig(hidden_size="wide")
