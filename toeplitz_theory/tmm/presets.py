"""The published variants, as values of configuration fields."""

from __future__ import annotations

from typing import Any

from toeplitz_theory.errors import InputError

# Mixers whose taps are parameters, which can be made positive.
STORED_KERNELS = ("toeplitz", "frozen_toeplitz")

PRESETS: dict[str, dict[str, Any]] = {
    # The paper's language models: nothing between the last block and the head, every map kaiming-normal.
    "paper": {
        "norm": "layernorm",
        "block_order": "mlp_first",
        "expansion": 4,
        "hidden_act": "silu",
        "final_norm": False,
        "mixer_bias": True,
        "projection_bias": True,
        "kernel_init": "kaiming",
        "linear_init": "kaiming",
    },
    # The variant that was made fast: positive taps, the mixer before the MLP.
    "optimised": {
        "norm": "rmsnorm",
        "block_order": "mixer_first",
        "expansion": 4,
        "hidden_act": "gelu_pytorch_tanh",
        "final_norm": True,
        "mixer_bias": True,
        "projection_bias": True,
        "positive_kernels": True,
    },
}


def preset_fields(name: str, mixer: str = "toeplitz") -> dict[str, Any]:
    """Return the fields a preset sets.

    Parameters
    ----------
    name : {"paper", "optimised"}
        Which published variant.
    mixer : str
        The token mixer it is for: what a preset says of stored taps is left out for mixers without any.

    Returns
    -------
    dict
        From the names of ``TMMConfig``'s fields to values.

    Raises
    ------
    InputError
        When there is no preset of that name.

    Examples
    --------
    >>> preset_fields("paper")["block_order"]
    'mlp_first'
    >>> "positive_kernels" in preset_fields("optimised", mixer="attention")
    False
    """
    if name not in PRESETS:
        raise InputError(f"there is no preset {name!r}; there are {', '.join(map(repr, PRESETS))}")
    stored = mixer in STORED_KERNELS
    return {key: value for key, value in PRESETS[name].items() if stored or key != "positive_kernels"}
