"""Linear maps of heads and filters that others have changed: adapters, hooks and the like act."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

from tests.tmm.family import MIXERS, bound, ids_of, make

HEADED = [name for name, fields in MIXERS.items() if fields.get("num_heads") and "attention" not in name]


class Adapter(nn.Module):
    """A linear map and a trained addition, with the map's weight under its own name, as adapters have it."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        self.added = nn.Linear(base.in_features, base.out_features, bias=False).to(base.weight.dtype)

    @property
    def weight(self):
        return self.base.weight

    @property
    def bias(self):
        return self.base.bias

    def forward(self, x):
        return self.base(x) + self.added(x)


def projections(model):
    """Every list of a model's projections of heads."""
    return [m.token_mixing_layer.proj_head for m in model.model.mixer_blocks]


def filters(model):
    """Every filter that makes kernels of a Hyena model."""
    return [long for m in model.model.mixer_blocks for long in m.token_mixing_layer.filters]


@pytest.mark.parametrize("name", HEADED)
def test_an_adapter_is_its_merged_weight_and_learns(name):
    model, merged = make(name).double(), make(name).double()
    for adapted, plain in zip(projections(model), projections(merged), strict=True):
        adapted[1] = Adapter(adapted[1])
        with torch.no_grad():
            plain[1].weight += adapted[1].added.weight
    ids = ids_of(model)
    expected = merged(ids).logits.detach()
    torch.testing.assert_close(model(ids).logits, expected, atol=bound(expected), rtol=0)
    model(ids, labels=ids).loss.backward()
    assert all(float(heads[1].added.weight.grad.abs().max()) > 0 for heads in projections(model))


@pytest.mark.parametrize("name", HEADED)
def test_parametrised_and_pruned_weights_are_the_effective_ones(name):
    model, same = make(name).double(), make(name).double()
    for changed, plain in zip(projections(model), projections(same), strict=True):
        weight_norm(changed[0])
        prune.l1_unstructured(changed[1], "weight", amount=3)
        with torch.no_grad():
            plain[1].weight *= changed[1].weight_mask
    ids = ids_of(model)
    expected = same(ids).logits.detach()
    torch.testing.assert_close(model(ids).logits, expected, atol=bound(expected), rtol=0)


@pytest.mark.parametrize("name", HEADED)
def test_a_hook_is_called(name):
    model = make(name)
    ids = ids_of(model)
    calls = []
    for heads in projections(model):
        heads[0].register_forward_hook(lambda module, inputs, output: calls.append(output.shape))
    model(ids)
    assert len(calls) == len(projections(model))


@pytest.mark.parametrize("name", HEADED)
def test_padding_adds_nothing_through_a_map_with_a_bias(name):
    model = make(name, projection_bias=False)
    for heads in projections(model):
        heads[0] = nn.Linear(heads[0].in_features, heads[0].out_features)  # as an adapter with a bias
        nn.init.ones_(heads[0].bias)
        heads[1] = Adapter(heads[1])  # not plain: each head is called
    ids = ids_of(model, batch=1)
    padded = torch.cat([torch.zeros_like(ids[:, :3]), ids], 1)
    mask = (torch.arange(padded.shape[1]) >= 3).long()[None]
    logits = model(padded, attention_mask=mask).logits[:, 3:]
    expected = model(ids).logits.detach()
    torch.testing.assert_close(logits, expected, atol=bound(expected), rtol=0)


@pytest.mark.parametrize("part", ["first", "second", "last"])
def test_an_adapter_in_a_filter_is_its_merged_weight_and_learns(part):
    model, merged = make("hyena").double(), make("hyena").double()
    added = []
    for changed, plain in zip(filters(model), filters(merged), strict=True):
        adapter = Adapter(getattr(changed, part))
        setattr(changed, part, adapter)
        added.append(adapter.added.weight)
        with torch.no_grad():
            getattr(plain, part).weight += adapter.added.weight
    ids = ids_of(model)
    expected = merged(ids).logits.detach()
    torch.testing.assert_close(model(ids).logits, expected, atol=bound(expected), rtol=0)
    model(ids, labels=ids).loss.backward()
    assert all(float(weight.grad.abs().max()) > 0 for weight in added)


def test_an_adapted_filter_in_bfloat16_is_called_in_it():
    model = make("hyena").bfloat16()
    for changed in filters(model):
        changed.second = Adapter(changed.second)
        assert changed.kernels().dtype is torch.float32


def test_plain_projections_compile_into_one_graph():
    model = make("heads", num_hidden_layers=1).train()
    ids = ids_of(model, length=20)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    one = compiled(input_ids=ids, labels=ids, use_cache=False).loss
    assert float(one.detach() - model(input_ids=ids, labels=ids, use_cache=False).loss.detach()) == 0
