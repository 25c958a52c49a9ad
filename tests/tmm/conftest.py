"""Small models, each in the variants that matter."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from toeplitz_theory import TMMConfig

VARIANTS = {
    "flat": {"num_heads": 1},
    "heads": {"num_heads": 4},
    "fft": {"num_heads": 2, "product": "fft"},
    "mixer first, rms": {
        "num_heads": 1,
        "block_order": "mixer_first",
        "norm": "rmsnorm",
        "final_norm": False,
    },
    "no bias, tied": {"num_heads": 2, "mixer_bias": False, "tie_word_embeddings": True},
}


def small_config(**changes) -> TMMConfig:
    """Return a configuration of a few thousand parameters."""
    fields = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2, "max_position_embeddings": 24}
    return TMMConfig(**(fields | {"pad_token_id": 0, "eos_token_id": 0} | changes))


def small_llama() -> LlamaForCausalLM:
    """Return a model of another family with the vocabulary of `small_config`."""
    shape = {"vocab_size": 61, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    return LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=2)).eval()


def toeplitz_matrices(w):
    """Return the (H, t, t) lower-triangular Toeplitz matrices of kernels (H, t), entry by entry."""
    time = torch.arange(w.shape[1])
    return w[:, (time[:, None] - time).clamp(min=0)].tril()


@pytest.fixture(params=VARIANTS, ids=list(VARIANTS))
def config(request) -> TMMConfig:
    """Each variant in turn."""
    return small_config(**VARIANTS[request.param])


def with_random_biases(model):
    """Give every parameter that starts at zero or one a value that would show a misplaced position."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
            elif parameter.std() < 0.05:
                parameter.mul_(10)
    return model
