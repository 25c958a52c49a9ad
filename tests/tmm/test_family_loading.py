"""What `from_pretrained` takes, and what it refuses."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.tmm.conftest import small_llama
from tests.tmm.family import MIXERS, config_of, ids_of, make
from toeplitz_theory import TMMForAutoencoding, TMMForCausalLM
from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm import TMMModel


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


class TestLoadingWhatDoesNotFit:
    @pytest.mark.parametrize(
        ("cls", "fields", "message"),
        [
            (TMMForCausalLM, {"vocab_size": 70}, r"shape \(61, 16\), not \(70, 16\).*another vocabulary"),
            (TMMForCausalLM, {"max_position_embeddings": 20}, r"shape \(24,\), not \(20,\)$"),
            (
                TMMForCausalLM,
                {"num_heads": 2},
                "lacks 14 tensors .* holds 4 that .*another architecture",
            ),
            (TMMForCausalLM, {"num_hidden_layers": 1}, "holds 10 that this model has not"),
            (TMMForAutoencoding, {}, "does not fit TMMForAutoencoding: it lacks"),
        ],
    )
    def test_is_refused_in_one_line(self, cls, fields, message, tmp_path):
        make("flat").save_pretrained(tmp_path)
        with pytest.raises(InputError, match=message) as refusal:
            cls.from_pretrained(tmp_path, **fields)
        assert "\n" not in str(refusal.value)

    def test_a_folder_of_another_architecture(self, tmp_path):
        small_llama().save_pretrained(tmp_path)
        with pytest.raises(InputError, match="of a 'llama' model, not 'tmm'"):
            TMMForCausalLM.from_pretrained(tmp_path)
        with pytest.raises(InputError, match="another architecture"):
            TMMForCausalLM.from_pretrained(tmp_path, config=config_of("flat"))

    def test_a_head_may_be_left_aside_or_drawn(self, tmp_path):
        model = make("heads")
        model.save_pretrained(tmp_path / "whole")
        stack = TMMModel.from_pretrained(tmp_path / "whole")
        ids = ids_of(model)
        states = model(ids, output_hidden_states=True).hidden_states[-1]
        assert torch.equal(stack.eval()(ids).last_hidden_state, states)
        stack.save_pretrained(tmp_path / "stack")
        again = TMMForCausalLM.from_pretrained(tmp_path / "stack").eval()
        assert torch.equal(again(ids, output_hidden_states=True).hidden_states[-1], states)

    def test_other_shapes_are_taken_when_asked_for(self, tmp_path):
        make("flat").save_pretrained(tmp_path)
        model = TMMForCausalLM.from_pretrained(tmp_path, vocab_size=70, ignore_mismatched_sizes=True)
        assert model.lm_head.weight.shape == (70, 16)


@pytest.mark.parametrize("name", ["flat", "attention"])
def test_the_attention_that_is_computed_may_be_asked_for_by_name(name, tmp_path):
    """Attention runs through torch's own product; `attn_implementation="sdpa"` is what many scripts pass."""
    model = make(name)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="sdpa")
    assert again.config._attn_implementation == "sdpa"
    assert torch.equal(again(ids_of(model)).logits, model(ids_of(model)).logits)
    with pytest.raises(ValueError, match="does not support Flash Attention"):
        AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="flash_attention_2")


class TestFieldsChangedAfterTheConfigurationWasMade:
    """By hand, or by keywords of `from_pretrained`, which transformers sets on what it has read."""

    @pytest.mark.parametrize(
        ("name", "fields", "message"),
        [
            ("flat", {"beyond_n": "slyde"}, "beyond_n='slyde' is not one of 'error', 'slide'"),
            ("flat", {"product": "ftt"}, "product='ftt' is not one of"),
            ("flat", {"num_heads": 3}, "hidden_size=16 is not divisible by num_heads=3"),
            ("ssm", {"beyond_n": "slide"}, "no window of n inputs"),
            ("flat", {"pad_token_id": 61}, r"pad_token_id=61 is outside the vocabulary 0..60"),
        ],
    )
    def test_are_checked_like_those_given_at_first(self, name, fields, message, tmp_path):
        make(name).save_pretrained(tmp_path)
        for load in (TMMForCausalLM.from_pretrained, AutoModelForCausalLM.from_pretrained):
            with pytest.raises(InputError, match=message):
                load(tmp_path, **fields)
        config = config_of(name)
        for field, value in fields.items():
            setattr(config, field, value)
        with pytest.raises(InputError, match=message):
            TMMForCausalLM(config)
        with pytest.raises(InputError, match=message):
            config_of(name, **fields)

    @pytest.mark.parametrize(("name", "value"), [("flat", "slyde"), ("attention", "slide"), ("ssm", "slide")])
    def test_only_what_can_slide_runs_past_n(self, name, value):
        model = make(name)
        model.config.beyond_n = value
        with pytest.raises(ValueError, match="n = 24"):
            model(ids_of(model, length=25))


# Mixers without parts whose weights are read from outside.
CALLED = [
    name
    for name, fields in MIXERS.items()
    if fields.get("mixer") in ("attention", "linear_attention")
    or not (fields.keys() & {"num_heads", "expanded"} or fields.get("mixer") in ("hyena", "ssm"))
]


class TestOffloading:
    """A block on disk: the same logits, or a refusal that names what cannot be there."""

    def load(self, name, folder):
        model = make(name)
        model.save_pretrained(folder / "model")
        places = dict.fromkeys(("model.embed_tokens", "model.mixer_blocks.0", "model.norm", "lm_head"), "cpu")
        places |= {"model.mixer_blocks.1": "disk"}
        loaded = TMMForCausalLM.from_pretrained(
            folder / "model", device_map=places, offload_folder=folder / "away"
        )
        return model, loaded

    @pytest.mark.parametrize("name", CALLED)
    def test_mixers_of_one_part_are_brought_back(self, name, tmp_path):
        model, loaded = self.load(name, tmp_path)
        ids = ids_of(model)
        assert torch.equal(loaded(ids).logits, model(ids).logits)

    @pytest.mark.parametrize("name", [name for name in MIXERS if name not in CALLED])
    def test_parts_that_are_read_are_refused_by_name(self, name, tmp_path):
        with pytest.raises(InputError, match=r"offloads model\.mixer_blocks\.1\.token_mixing_layer\.\w+"):
            self.load(name, tmp_path)


class TestConfigurationsOfUnknownOrigin:
    """Read from a file that somebody else wrote: exact types, bounded sizes, no code from elsewhere."""

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"max_position_embeddings": True}, "'max_position_embeddings' expected int, got bool"),
            ({"num_hidden_layers": 2.0}, "'num_hidden_layers' expected int, got float"),
            ({"hidden_size": "16"}, "'hidden_size' expected int, got str"),
            ({"expanded": 1}, "'expanded' expected bool, got int"),
            ({"mixer": ["toeplitz"] * 10**5}, "'mixer' expected str, got list"),
            ({"eos_token_id": True}, "'eos_token_id'"),
            ({"norm_eps": float("inf")}, "must be positive and finite"),
            ({"max_position_embeddings": 10**9}, "max_position_embeddings is more than 16777216"),
            ({"max_position_embeddings": 10**400}, "max_position_embeddings is more than 16777216"),
            ({"num_hidden_layers": 10**9}, "num_hidden_layers is more than 4096"),
            ({"vocab_size": 10**12}, "vocab_size is more than"),
            ({"hidden_size": 2**30}, "hidden_size is more than"),
            ({"num_labels": 10**9}, "num_labels=1000000000 is no number"),
            ({"num_labels": "3"}, "num_labels='3' is no number"),
            (
                {"max_position_embeddings": 2**22},
                "asks for 8.39e.06 numbers at least, the files beside it hold",
            ),
            ({"num_hidden_layers": 4096}, "numbers at least, the files beside it hold"),
            ({"attn_implementation": "owner/name"}, "code from the Hub is not run"),
            ({"_attn_implementation": "owner/name@main:attention"}, "code from the Hub is not run"),
            ({"_attn_implementation_internal": "owner/name"}, "code from the Hub is not run"),
            ({"attn_implementation": {"": "owner/name"}}, "code from the Hub is not run"),
            ({"attn_implementation": "paged|owner/name"}, "code from the Hub is not run"),
            ({"experts_implementation": "owner/name"}, "no field 'experts_implementation'"),
            ({"_experts_implementation": "owner/name"}, "no field '_experts_implementation'"),
            ({"auto_map": {"AutoConfig": "owner/name--code.Config"}}, "no field 'auto_map'"),
            ({"quantization_config": {"quant_method": "owner/name"}}, "no field 'quantization_config'"),
            ({"_anything": 1}, "no field '_anything'"),
        ],
        ids=lambda value: str(value)[:60],
    )
    def test_are_refused_in_one_line(self, fields, message, tmp_path):
        make("flat").save_pretrained(tmp_path)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
        for cls in (TMMForCausalLM, AutoModelForCausalLM):
            with pytest.raises(InputError, match=message) as refusal:
                cls.from_pretrained(tmp_path)
            assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 400

    @pytest.mark.parametrize("name", MIXERS)
    def test_least_numbers_is_at_most_what_a_model_has(self, name):
        for cls in (TMMModel, TMMForCausalLM, TMMForAutoencoding):
            model = make(name, cls)
            count = sum(parameter.numel() for parameter in model.parameters())
            assert model.config.least_numbers <= count
            # Hyena's networks are of a size of their own.
            assert name == "hyena" or count < 3 * model.config.least_numbers

    def test_code_asked_for_by_keyword_or_by_hand_is_refused_too(self, tmp_path):
        make("flat").save_pretrained(tmp_path)
        with pytest.raises(InputError, match="code from the Hub is not run"):
            TMMForCausalLM.from_pretrained(tmp_path, attn_implementation="owner/name")
        config = config_of("flat")
        config._attn_implementation = "owner/name"
        with pytest.raises(InputError, match="code from the Hub is not run"):
            TMMForCausalLM(config)
