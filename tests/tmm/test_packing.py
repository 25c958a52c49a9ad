"""Several documents in one row are refused: a convolution would leak from one to the next without a word."""

import pytest
import torch
from transformers import DataCollatorWithFlattening

from tests.tmm.family import make
from toeplitz_theory.tmm import TMMForAutoencoding, TMMForCausalLM, TMMModel


def packed(**options):
    documents = [{"input_ids": [1, 2, 3]}, {"input_ids": [4, 5]}]
    return DataCollatorWithFlattening(return_tensors="pt", **options)(documents)


@pytest.mark.parametrize("cls", [TMMModel, TMMForCausalLM, TMMForAutoencoding])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "position_ids"),
        ({"return_position_ids": False, "return_flash_attn_kwargs": True}, "cu_seq_lens_q"),
        ({"return_position_ids": False, "return_seq_idx": True}, "seq_idx"),
    ],
)
def test_what_a_packing_collator_gives_is_refused(cls, options, named):
    batch = packed(**options)
    if cls is TMMModel:
        batch.pop("labels")
    with pytest.raises(ValueError, match=rf"{named} put several documents in one row.*padded$"):
        make("flat", cls)(**batch)


@torch.no_grad()
@pytest.mark.parametrize("cls", [TMMModel, TMMForCausalLM, TMMForAutoencoding])
def test_positions_that_only_count_are_accepted(cls):
    model, ids = make("flat", cls), torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    for positions in (torch.arange(4)[None], torch.arange(4).expand(2, 4).int()):
        assert torch.equal(model(ids, position_ids=positions)[0], model(ids)[0])


@torch.no_grad()
@pytest.mark.parametrize("at_padding", [0, 1, -1])
def test_positions_of_a_left_padded_batch_are_accepted(at_padding):
    """Callers fill those at padding with what they like."""
    model, ids = make("flat"), torch.tensor([[0, 0, 3, 4], [5, 6, 7, 8]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    positions = (mask.cumsum(1) - 1).masked_fill(mask == 0, at_padding)
    found = model(ids, attention_mask=mask, position_ids=positions).logits
    assert torch.equal(found, model(ids, attention_mask=mask).logits)
    with pytest.raises(ValueError, match="position_ids"):
        model(ids, attention_mask=mask, position_ids=torch.arange(4).expand(2, 4))


@torch.no_grad()
def test_positions_go_on_after_a_cache_and_beyond_n():
    model = make("flat", beyond_n="slide")
    n = model.config.max_position_embeddings
    ids = torch.randint(0, model.config.vocab_size, (1, n + 3))
    first = model(ids[:, :n], use_cache=True, position_ids=torch.arange(n)[None])
    with pytest.raises(ValueError, match="position_ids"):
        model(ids[:, n:], past_key_values=first.past_key_values, position_ids=torch.arange(3)[None])
    rest = torch.arange(n, n + 3)[None]
    assert model(ids[:, n:], past_key_values=first.past_key_values, position_ids=rest).logits.isfinite().all()
