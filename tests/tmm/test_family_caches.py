"""Caches of every mixer: far into a context, past its end, undone, reordered, and those of somebody else."""

import copy

import pytest
import torch

from tests.tmm.conftest import small_llama
from tests.tmm.family import KEEPS_INPUTS, MIXERS, RECURRENT, bound, config_of, ids_of, make
from toeplitz_theory.errors import InputError


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("name", MIXERS)
def test_cached_steps_far_into_a_long_context(name):
    """Beyond the lengths where products change from dense to FFT and from history to online."""
    model = make(name, max_position_embeddings=1100, num_hidden_layers=1)
    ids = ids_of(model, batch=1, length=1100)
    expected = model(ids, use_cache=False).logits[:, 1080:]
    past = model(ids[:, :1080], use_cache=True).past_key_values
    parts = [model(step, past_key_values=past).logits for step in ids[:, 1080:].split(1, 1)]
    torch.testing.assert_close(torch.cat(parts, 1), expected, atol=bound(expected), rtol=0)


@pytest.mark.parametrize("name", [name for name in MIXERS if config_of(name).slides])
def test_cached_steps_slide_past_n_as_the_full_pass_does(name):
    model = make(name, beyond_n="slide").double()
    ids = ids_of(model, length=60)
    expected = model(ids, use_cache=False).logits
    for sizes in ([1] * 60, [20, 30, *[1] * 10]):
        past, parts = None, []
        for chunk in ids.split(sizes, 1):
            output = model(chunk, past_key_values=past, use_cache=True)
            past = output.past_key_values
            parts.append(output.logits)
        torch.testing.assert_close(torch.cat(parts, 1), expected, atol=bound(expected), rtol=0)
    # What is n steps back has no way to the output of a single block, nor 2 n back through two products.
    one = make(name, beyond_n="slide", num_hidden_layers=1).double()
    ids, other = ids_of(model, length=90), ids_of(model, length=90, seed=4)
    changed = torch.cat([other[:, :30], ids[:, 30:]], 1)
    moved = (one(changed).logits - one(ids).logits).abs().amax((0, 2))
    reach = 30 + (46 if one.config.expanded else 23)
    assert float(moved[reach:].max()) <= bound(expected) < float(moved[reach - 1])


@pytest.mark.parametrize("name", [name for name in MIXERS if name not in RECURRENT])
def test_drafts_change_nothing(name):
    """Prompt lookup: the cache goes back after every draft that was wrong."""
    model = make(name)
    prompt = ids_of(model, batch=1, length=4).repeat(1, 2)
    settings = {"max_new_tokens": 14, "min_new_tokens": 14, "do_sample": False}
    drafted = model.generate(prompt, prompt_lookup_num_tokens=3, **settings)
    assert torch.equal(drafted, model.generate(prompt, use_cache=False, **settings))


class TestCaches:
    """Rows swapped and repeated, steps undone, and caches that belong to somebody else."""

    @pytest.mark.parametrize("name", MIXERS)
    def test_rows_are_selected_and_repeated(self, name):
        model = make(name).double()
        ids = ids_of(model, length=12)
        expected = model(ids, use_cache=False).logits
        past = model(ids[:, :9], use_cache=True).past_key_values
        past.batch_repeat_interleave(2)
        past.batch_select_indices(torch.tensor([3, 0, 1]))
        rows = [1, 0, 0]
        logits = model(ids[rows, 9:], past_key_values=past).logits
        torch.testing.assert_close(logits, expected[rows, 9:], atol=bound(expected), rtol=0)

    @pytest.mark.parametrize("name", MIXERS)
    def test_steps_are_undone_or_that_is_refused(self, name):
        model = make(name).double()
        ids = ids_of(model, length=12)
        past = model(ids, use_cache=True).past_key_values
        before = copy.deepcopy(past)
        if name in RECURRENT:
            assert not past.is_croppable
            with pytest.raises(InputError, match="cannot go back to an earlier position"):
                past.crop(-5)
            # transformers asks the cache itself before it steps back, from 5.24 on.
            with pytest.raises(ValueError, match=r"cannot go back to an earlier position|can be cropped"):
                # A prompt that repeats itself is sure to give drafts, and random weights to reject one.
                prompt = ids[:1, :3].repeat(1, 3)
                model.generate(prompt, max_new_tokens=14, prompt_lookup_num_tokens=3, do_sample=False)
        else:
            past.crop(-5)
            assert past.get_seq_length() == 7 and before.get_seq_length() == 12
            expected = model(ids, use_cache=False).logits
            logits = model(ids[:, 7:], past_key_values=past).logits
            torch.testing.assert_close(logits, expected[:, 7:], atol=bound(expected), rtol=0)
        before.crop(-12)
        assert before.get_seq_length() == 0

    @pytest.mark.parametrize("name", RECURRENT)
    def test_a_state_does_not_grow(self, name):
        model = make(name)
        ids = ids_of(model, length=20)

        def size(past):
            return sum(value.numel() for layer in past.layers for value in layer.state.values())

        sizes = {size(model(ids[:, :t], use_cache=True).past_key_values) for t in (1, 7, 20)}
        assert len(sizes) == 1 and sizes.pop() > 0

    @pytest.mark.parametrize("name", MIXERS)
    def test_of_another_model_are_refused(self, name):
        model = make(name)
        ids = ids_of(model)
        llama = small_llama()
        theirs = llama(ids, use_cache=True).past_key_values
        with pytest.raises(InputError, match="another kind"):
            model(ids, past_key_values=theirs)
        ours = model(ids, use_cache=True).past_key_values
        if name not in KEEPS_INPUTS:
            with pytest.raises(InputError, match="not keys and values"):
                llama(ids, past_key_values=ours)
        other = make("ssm" if name not in RECURRENT else "flat")
        with pytest.raises(InputError, match=r"another kind|not keys and values"):
            other(ids, past_key_values=model(ids, use_cache=True).past_key_values)

    @pytest.mark.parametrize("name", MIXERS)
    def test_of_another_batch_are_refused(self, name):
        model = make(name)
        past = model(ids_of(model), use_cache=True).past_key_values
        with pytest.raises(ValueError, match="do not continue a batch of 2"):
            model(ids_of(model, batch=3, length=1), past_key_values=past)

    @pytest.mark.parametrize("name", RECURRENT)
    def test_weights_changed_between_steps_are_noticed(self, name):
        """The state is that of the old weights; what the new ones read from it is theirs."""
        model = make(name)
        ids = ids_of(model, length=9)
        past = model(ids[:, :7], use_cache=True).past_key_values
        model(ids[:, 7:8], past_key_values=past)
        for key, parameter in model.named_parameters():
            if "token_mixing_layer" in key:
                parameter.add_(0.3)
        fresh = copy.deepcopy(past)
        for layer in fresh.layers:
            layer._derived = (None, None)
        noticed = model(ids[:, 8:], past_key_values=past).logits
        assert torch.equal(noticed, model(ids[:, 8:], past_key_values=fresh).logits)
