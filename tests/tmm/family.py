"""One small configuration of every mixer and variant, for the tests that go over all of them."""

from tests.tmm.conftest import small_config
from toeplitz_theory import TMMConfig

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


def config_of(name: str, **changes) -> TMMConfig:
    """Return the small configuration of a mixer, or of a preset with two heads."""
    if name in PRESETS:
        fields = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2, "max_position_embeddings": 24}
        special = {"pad_token_id": 0, "eos_token_id": 0}
        return TMMConfig.preset(name, **(fields | special | {"num_heads": 2} | changes))
    return small_config(**(MIXERS[name] | changes))
