"""Attention weights and linearised layers against formulas written out and finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
)

import toeplitz_theory as tt
from toeplitz_theory.errors import InputError

IDS = torch.arange(1, 13)[None]


def gpt2():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=32, bos_token_id=0, eos_token_id=0
    )
    return GPT2LMHeadModel(config).eval()


def mamba():
    torch.manual_seed(0)
    config = MambaConfig(vocab_size=50, hidden_size=8, num_hidden_layers=2, state_size=4)
    return MambaForCausalLM(config).eval()


class Gated(nn.Module):
    """Embedding, then a causal convolution times a gate that depends on the input."""

    def __init__(self, width=3, look_ahead=False):
        super().__init__()
        self.embed, self.mixer = nn.Embedding(50, width), GatedMixer(width, look_ahead)

    def forward(self, ids):
        return self.mixer(self.embed(ids))


class GatedMixer(nn.Module):
    def __init__(self, width, look_ahead):
        super().__init__()
        self.gate, self.look_ahead = nn.Linear(width, width), look_ahead

    def forward(self, x):
        mixed = x.flip(1).cumsum(1).flip(1) if self.look_ahead else x.cumsum(1)
        return torch.sigmoid(self.gate(x)) * mixed


def test_attention_is_softmax_of_queries_and_keys():
    model = gpt2()
    mixing = tt.causal_matrix(model, IDS)
    assert mixing.kind == "attention weights" and len(mixing.matrices) == 4
    block = model.transformer.h[0]
    with torch.no_grad():
        h = model.transformer.wte(IDS) + model.transformer.wpe(torch.arange(12))
        q, k, _ = block.attn.c_attn(block.ln_1(h))[0].split(16, dim=-1)
        scores = (q.view(12, 2, 8).transpose(0, 1) @ k.view(12, 2, 8).permute(1, 2, 0)) / 8**0.5
        expected = scores.masked_fill(torch.ones(12, 12).triu(1).bool(), -torch.inf).softmax(-1)
    for head in range(2):
        np.testing.assert_allclose(mixing.matrices["layer 0", head].matrix, expected[head], atol=1e-5)


def test_llama_and_the_table():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    table = tt.causal_matrix(LlamaForCausalLM(config), IDS).table()
    assert table["head"].tolist() == [0, 1] and (table["n"] == 12).all()
    assert set(table) >= {"recovered_at_once", "delay_90", "log10_condition", "nullity", "bits_bfloat16"}
    assert "index" not in table


def test_a_toeplitz_layer_is_the_section_of_its_kernel():
    torch.manual_seed(0)
    config = tt.TMMConfig(vocab_size=50, hidden_size=4, num_hidden_layers=1, max_position_embeddings=12)
    model = tt.TMMForCausalLM(config)
    (row,) = tt.inspect(model)
    mixing = tt.causal_matrix(model, IDS, part="model.mixer_blocks.0.token_mixing_layer", channels=[0, 3])
    section = tt.CausalToeplitz(row.symbol.kernel, 12)
    for matrix in mixing.matrices.values():
        np.testing.assert_allclose(matrix.matrix, np.asarray(section), atol=1e-12)
    assert mixing.table()["log10_condition"][0] == pytest.approx(section.log10_condition().value, abs=1e-6)


def test_mamba_by_finite_differences():
    model = mamba()
    mixing = tt.causal_matrix(model, IDS, part="backbone.layers.*.mixer", channels=[5])
    assert [layer for layer, _ in mixing.matrices] == [f"backbone.layers.{i}.mixer" for i in range(2)]
    twin, seen = model.double(), []
    handle = twin.backbone.layers[0].mixer.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    with torch.no_grad():
        twin(IDS)
        handle.remove()
        x, mixer = seen[0], twin.backbone.layers[0].mixer
        for s in (0, 4, 11):
            step = torch.zeros_like(x)
            step[0, s, 5] = 1e-6
            column = (mixer(x + step) - mixer(x - step))[0, :, 5] / 2e-6
            np.testing.assert_allclose(
                mixing.matrices["backbone.layers.0.mixer", 5].matrix[:, s], column, atol=1e-7
            )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), length=st.integers(1, 9))
def test_a_gated_layer_is_triangular_and_what_calculus_says(seed, length):
    torch.manual_seed(seed)
    model, ids = Gated(), torch.randint(50, (1, length))
    mixing = tt.causal_matrix(model, ids, part="mixer")
    assert mixing.ahead == 0
    model = model.double()
    x = model.embed(ids)[0].detach()
    gate = torch.sigmoid(model.mixer.gate(x)).detach()
    for (_, c), matrix in mixing.matrices.items():
        own = gate[:, c] * (1 - gate[:, c]) * model.mixer.gate.weight[c, c].detach() * x.cumsum(0)[:, c]
        expected = torch.tril(gate[:, c, None].expand(length, length)) + torch.diag(own)
        np.testing.assert_allclose(matrix.matrix, expected, atol=1e-12)


def test_what_is_no_causal_matrix_is_refused():
    with pytest.raises(InputError, match=r"mixer, 0: .* lies ahead of the diagonal: it is not causal"):
        tt.causal_matrix(Gated(look_ahead=True), IDS, part="mixer")
    with pytest.raises(InputError, match="no attention weights: name a part to linearise"):
        tt.causal_matrix(mamba(), IDS)
    with pytest.raises(InputError, match="no part of the model is named nothing"):
        tt.causal_matrix(gpt2(), IDS, part="nothing")
    with pytest.raises(InputError, match="has no channel 3: it has 3"):
        tt.causal_matrix(Gated(), IDS, part="mixer", channels=[3])
    with pytest.raises(InputError, match=r"makes \(1, 12, 50\) of \(1, 12, 16\)"):
        tt.causal_matrix(gpt2(), IDS, part="lm_head")
    with pytest.raises(InputError, match=r"input_ids has shape \(12,\): pass one text"):
        tt.causal_matrix(gpt2(), IDS[0])
