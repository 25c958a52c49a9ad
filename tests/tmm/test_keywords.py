"""What `forward` and `generate` are called with by other libraries, in each of their versions."""

import inspect

import pytest
import torch
from transformers import DynamicCache, Trainer, TrainingArguments
from transformers.generation.utils import GenerationMixin

from tests.tmm.family import MIXERS, ids_of, make
from toeplitz_theory.tmm import TMMForAutoencoding, TMMForCausalLM, TMMModel
from toeplitz_theory.tmm.inputs import CACHE_NAME, CACHE_NAMES

CLASSES = (TMMModel, TMMForCausalLM, TMMForAutoencoding)
# Keywords of whole calls, as these libraries make them.
CALLS = {
    "transformers, a padded batch of a tokenizer": {
        "attention_mask": torch.ones(2, 6, dtype=torch.long),
        "token_type_ids": torch.zeros(2, 6, dtype=torch.long),
    },
    "transformers, older generation": {"cache_position": torch.arange(6), "use_cache": False},
    "PEFT": {
        "attention_mask": None,
        "inputs_embeds": None,
        "output_attentions": None,
        "output_hidden_states": None,
        "return_dict": None,
        "position_ids": None,
        "token_type_ids": None,
    },
    "pipelines": {"output_attentions": False, "output_hidden_states": False, "return_dict": True},
}


@torch.no_grad()
@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("call", CALLS)
def test_calls_of_other_libraries_are_answered(cls, call):
    model = make("flat", cls)
    assert torch.equal(model(input_ids=ids_of(model), **CALLS[call])[0], model(ids_of(model))[0])


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    "name", ["atention_mask", "past_key_value", "cache_params", "head_mask", "shift_labels"]
)
def test_a_keyword_that_is_not_known_is_refused(cls, name):
    model = make("flat", cls)
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        model(ids_of(model), **{name: None})


def test_keywords_of_another_model_of_the_family_are_refused():
    stack, coder = make("flat", TMMModel), make("flat", TMMForAutoencoding)
    for name in ("labels", "num_items_in_batch", "logits_to_keep"):
        with pytest.raises(TypeError, match=name):
            stack(ids_of(stack), **{name: 1})
    for name in ("use_cache", "output_hidden_states", *CACHE_NAMES):
        with pytest.raises(ValueError, match=f"{name} asks for what this model does not have"):
            coder(ids_of(coder), **{name: True})


@pytest.mark.parametrize("cls", CLASSES)
def test_attention_weights_are_not_promised(cls):
    model = make("attention", cls)
    with pytest.raises(ValueError, match="output_attentions asks for what this model does not have"):
        model(ids_of(model), output_attentions=True)


@torch.no_grad()
@pytest.mark.parametrize("cls", [TMMModel, TMMForCausalLM])
@pytest.mark.parametrize("name", CACHE_NAMES)
def test_a_cache_goes_by_both_names(cls, name):
    model = make("heads", cls)
    ids = ids_of(model)
    whole, cache = model(ids)[0], DynamicCache()
    steps = [model(ids[:, i : i + 1], use_cache=True, **{name: cache})[0] for i in range(ids.shape[1])]
    torch.testing.assert_close(torch.cat(steps, 1), whole)
    assert cache.get_seq_length() == ids.shape[1]
    assert model(ids, use_cache=True)[CACHE_NAME].get_seq_length() == ids.shape[1]
    with pytest.raises(ValueError, match="two names of one thing"):
        model(ids, cache=cache, past_key_values=cache)


def test_the_name_is_the_one_that_generation_uses():
    """The fault this guards against: under another name each step saw one token, and nobody was told."""
    assert f'model_inputs["{CACHE_NAME}"]' in inspect.getsource(GenerationMixin.prepare_inputs_for_generation)


@torch.no_grad()
@pytest.mark.parametrize("name", MIXERS)
def test_generation_with_a_cache_is_generation_without(name):
    model = make(name)
    ids = ids_of(model, batch=1)
    plain, cached = (
        model.generate(ids, max_new_tokens=8, do_sample=False, use_cache=use, eos_token_id=None)
        for use in (False, True)
    )
    assert torch.equal(plain, cached)


@torch.no_grad()
@pytest.mark.parametrize("name", CACHE_NAMES)
def test_generation_goes_on_from_a_cache_by_both_names(name):
    model = make("flat")
    ids = ids_of(model, batch=1, length=10)
    settings = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
    cache = DynamicCache()
    model(ids[:, :6], use_cache=True, cache=cache)
    assert torch.equal(model.generate(ids, **{name: cache}, **settings), model.generate(ids, **settings))
    assert cache.get_seq_length() == 13  # the last token was not fed back


@pytest.mark.parametrize("cls", [TMMForCausalLM, TMMForAutoencoding])
def test_a_trainer_is_answered_and_keeps_no_cache(cls, tmp_path):
    model = make("flat", cls)
    rows = [{"input_ids": row, "labels": row} for row in ids_of(model, batch=4)]
    arguments = TrainingArguments(
        tmp_path, per_device_eval_batch_size=2, per_device_train_batch_size=2, max_steps=2, report_to=[],
        gradient_accumulation_steps=2, use_cpu=True, disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    predictions = trainer.predict(rows).predictions
    logits = predictions[0] if cls is TMMForAutoencoding else predictions  # beside its code
    assert logits.shape == (4, 6, model.config.vocab_size)
