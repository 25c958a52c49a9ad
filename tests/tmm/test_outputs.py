"""What callers in transformers ask of a forward pass: tuples, some positions only, any integer labels."""

import weakref

import pytest
import torch

from tests.tmm.family import ids_of, make
from toeplitz_theory.tmm import TMMForAutoencoding, TMMForCausalLM, TMMModel

CLASSES = (TMMModel, TMMForCausalLM, TMMForAutoencoding)


@torch.no_grad()
@pytest.mark.parametrize("cls", CLASSES)
def test_a_tuple_when_asked_for(cls):
    model = make("flat", cls)
    named = model(ids_of(model))
    by_call = model(ids_of(model), return_dict=False)
    model.config.return_dict = False
    by_config, named_again = model(ids_of(model)), model(ids_of(model), return_dict=True)
    for found in (by_call, by_config):
        assert type(found) is tuple and torch.equal(found[0], named[0])
    assert torch.equal(named_again[0], named[0]) and not isinstance(named_again, tuple)


@torch.no_grad()
def test_a_tuple_begins_with_the_loss_when_there_are_labels():
    for cls in (TMMForCausalLM, TMMForAutoencoding):
        model = make("flat", cls)
        named = model(ids_of(model), labels=ids_of(model))
        found = model(ids_of(model), labels=ids_of(model), return_dict=False)
        assert torch.equal(found[0], named.loss) and torch.equal(found[1], named.logits)


@torch.no_grad()
@pytest.mark.parametrize("cls", CLASSES)
def test_hidden_states_that_nobody_asked_for_are_not_held(cls):
    model = make("flat", cls, num_hidden_layers=3)
    stack = model.encoderblocks if cls is TMMForAutoencoding else model.base_model.mixer_blocks
    states, alive = [], []
    stack[0].register_forward_hook(lambda module, inputs, output: states.append(weakref.ref(output)))
    stack[2].register_forward_hook(lambda *_: alive.append(states[0]() is not None))
    model(ids_of(model))
    assert alive == [False]


@torch.no_grad()
@pytest.mark.parametrize("wanted", [[3], [0, 2], [5, 0, 5], [-1], []])
def test_logits_of_the_positions_asked_for(wanted):
    model = make("flat")
    everything = model(ids_of(model)).logits
    found = model(ids_of(model), logits_to_keep=torch.tensor(wanted, dtype=torch.int64)).logits
    torch.testing.assert_close(found, everything[:, wanted])


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 4, 6, 7, torch.tensor(2)])
def test_logits_of_the_last_positions(count):
    model = make("flat")
    everything = model(ids_of(model)).logits
    torch.testing.assert_close(
        model(ids_of(model), logits_to_keep=count).logits, everything[:, -int(count) :]
    )


@pytest.mark.parametrize("keep", [-1, torch.tensor([0.0]), torch.tensor([[0]]), torch.tensor([True] * 6)])
def test_refuses_to_keep_what_is_no_position(keep):
    model = make("flat")
    with pytest.raises(ValueError, match="logits_to_keep"):
        model(ids_of(model), logits_to_keep=keep)


def test_refuses_labels_without_all_logits():
    model = make("flat")
    for keep in (2, torch.tensor([0, 1])):
        with pytest.raises(ValueError, match="leave logits_to_keep at 0"):
            model(ids_of(model), labels=ids_of(model), logits_to_keep=keep)


@torch.no_grad()
@pytest.mark.parametrize("cls", [TMMForCausalLM, TMMForAutoencoding])
def test_labels_of_32_bits(cls):
    model = make("flat", cls)
    expected = model(ids_of(model), labels=ids_of(model)).loss
    assert torch.equal(model(ids_of(model).int(), labels=ids_of(model).int()).loss, expected)
