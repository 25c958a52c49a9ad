"""One small configuration of every mixer and variant, for the tests that go over all of them."""

import torch

from tests.tmm.conftest import small_config, with_random_biases
from toeplitz_theory import TMMConfig, TMMForCausalLM

MIXERS: dict[str, dict] = {
    "flat": {},
    "heads": {"num_heads": 4},
    "expanded": {"expanded": True},
    "expanded heads": {"expanded": True, "num_heads": 2},
    "channels": {"kernel_size": 3},
    "positive": {"positive_kernels": True},
    "positive heads": {"positive_kernels": True, "num_heads": 2, "projection_bias": True},
    "positive channels": {"positive_kernels": True, "kernel_size": 2},
    "row-normalised": {"positive_kernels": True, "row_normalised": True},
    "row-normalised heads": {"positive_kernels": True, "row_normalised": True, "num_heads": 2},
    "frozen": {"mixer": "frozen_toeplitz"},
    "frozen heads": {"mixer": "frozen_toeplitz", "num_heads": 2, "expanded": True},
    "masked": {"mixer": "masked"},
    "masked heads": {"mixer": "masked", "num_heads": 2, "projection_bias": True},
    "attention": {"mixer": "attention", "num_heads": 2},
    "linear attention": {"mixer": "linear_attention", "num_heads": 2},
    "hyena": {"mixer": "hyena"},
    "ssm": {"mixer": "ssm", "state_size": 3},
}
PRESETS = ("paper", "optimised")
NAMES = [*MIXERS, *PRESETS]
RECURRENT = ("linear attention", "ssm")
KEEPS_INPUTS = ("masked", "masked heads", "attention")


def config_of(name: str, **changes) -> TMMConfig:
    """Return the small configuration of a mixer, or of a preset with two heads."""
    if name in PRESETS:
        fields = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2, "max_position_embeddings": 24}
        special = {"pad_token_id": 0, "eos_token_id": 0}
        return TMMConfig.preset(name, **(fields | special | {"num_heads": 2} | changes))
    return small_config(**(MIXERS[name] | changes))


def make(name, cls=TMMForCausalLM, **changes):
    """Return a model whose biases would show a misplaced position."""
    torch.manual_seed(0)
    with torch.no_grad():
        return with_random_biases(cls(config_of(name, **changes))).eval()


def ids_of(model, batch=2, length=6, seed=1):
    """Return random tokens, none of them padding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, model.config.vocab_size, (batch, length), generator=generator)


def bound(logits):
    """Some hundreds of roundings of eps each, one after another, on numbers of order |logits|."""
    return 500 * torch.finfo(logits.dtype).eps * float(logits.abs().max())
