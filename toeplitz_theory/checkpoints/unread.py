"""What is recognised by its tensor names and not read as Toeplitz kernels, and what to do with it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from toeplitz_theory.names import shown

_AT_HAND = (
    "compute its kernels with its own code and give these arrays to tt.inspect, kernels[c, k] of channel c "
    "at lag k, or ask its layers themselves: tt.inspect(model, probe='PATTERN')"
)
# A model says what it is in its first names.
_MOST_NAMES = 10_000
_DEPENDS = "what multiplies the past depends on the input, so that no kernel does"


@dataclass(frozen=True)
class Kind:
    """A kind of tensors, told by patterns of which each must match some name."""

    name: str
    patterns: tuple[str, ...]
    advice: str

    def first_match(self, names: Iterable[str]) -> str | None:
        """The first name that the first pattern matches, where all patterns match; None otherwise."""
        names = list(names)
        firsts = []
        for pattern in self.patterns:
            match = re.compile(rf"(^|\.)({pattern})(\.|$)").search
            first = next((name for name in names if match(name)), None)
            if first is None:
                return None
            firsts.append(first)
        return firsts[0]


# How tensors were changed between training and saving: their values are not those the layer multiplies by.
_ALTERED = (
    Kind(
        "a weight adapted by LoRA",
        (r"lora_\w+|base_layer",),
        "merge the adapter first (model.merge_and_unload()) and save the model",
    ),
    Kind(
        "a parametrised weight",
        (r"parametrizations|weight_(g|v|orig|u|mask)",),
        "remove the parametrisation first (torch.nn.utils.parametrize.remove_parametrizations, or "
        "remove_weight_norm, prune.remove) and save the model",
    ),
    Kind(
        "a quantised weight",
        (
            r"qweight|qzeros|SCB|absmax|quant_map|quant_state|scales|(weight_|input_)(scale|scale_inv|zero_point)",
        ),
        "dequantise it first (model.dequantize()) and save the model",
    ),
)

# Token mixers whose values of the past are multiplied by what depends on the input.
_INPUT_DEPENDENT = (
    Kind(
        "attention, or linear attention",
        (r"[qkv]_proj|to_[qkv]|qkv|to_qkv|qkv_proj|Wqkv|c_attn|query_key_value|W_?[qkvQKV]",),
        _DEPENDS,
    ),
    Kind("Mamba, a selective state space", (r"A_log", r"dt_bias|dt_proj|x_proj|in_proj"), _DEPENDS),
    Kind("RWKV", (r"time_(decay|first|faaaa|maa\w*|mix\w*)",), _DEPENDS),
)

# Layers that are convolutions, in layouts that are not read.
_CONVOLUTIONS = (
    Kind(
        "Hyena",
        (r"filter_fn\.(implicit_filter|pos_emb|modulation)(\..*)?",),
        f"a network of the position generates its kernels: {_AT_HAND}",
    ),
    Kind(
        "H3",
        (r"ssm_k_(kernel|D)(\..*)?",),
        f"its shift and state space kernels are generated: {_AT_HAND}",
    ),
    Kind(
        "SGConv",
        (r"kernel_list\.[0-9]+", r"multiplier|kernel_norm"),
        f"its kernels are put together from pieces of several scales: {_AT_HAND}",
    ),
    Kind(
        "S4",
        (r"P", r"(inv_)?(log_)?[wA](_real|_imag)?|log_dt"),
        f"a state space generates its kernels: {_AT_HAND}",
    ),
    Kind(
        "S4D",
        (r"log_A_real|inv_A_real|A_real|A_imag", r"log_dt|inv_dt"),
        f"a diagonal state space generates its kernels: {_AT_HAND}",
    ),
    Kind(
        "STU, a spectral transform unit",
        (r"M_inputs|M_filters|M_phi_plus|M_phi_minus|stu_filters",),
        f"fixed spectral filters times learned matrices make its kernels: {_AT_HAND}",
    ),
    Kind(
        "LRU, a linear recurrent unit",
        (r"nu_log", r"theta_log"),
        f"a diagonal recurrence generates its kernels: {_AT_HAND}",
    ),
    Kind("TNN", (r"toep\..*",), f"a network of the position generates its kernels: {_AT_HAND}"),
    Kind(
        "LongConv, kernels as they are",
        (r"kernel\.kernel|conv\.filter|long_conv\w*(\..*)?",),
        "say so: tt.inspect(model, kernels='PATTERN'); time runs along the longest axis unless you "
        "add :axis=0",
    ),
)


def reason_for(names: Iterable[str]) -> str:
    """Say why the tensors of a token mixer, by their names within it, hold no kernel; empty where unknown."""
    names = list(names)
    kinds = (*_ALTERED, *_CONVOLUTIONS, *_INPUT_DEPENDENT)
    return next((f"{kind.name}: {kind.advice}" for kind in kinds if kind.first_match(names)), "")


def recognised(names: Iterable[str]) -> str:
    """Say what a model without a kernel is recognised as, by which tensor, and what to do; or nothing."""
    names = list(itertools.islice(names, _MOST_NAMES))
    for kind in (*_CONVOLUTIONS, *_INPUT_DEPENDENT, *_ALTERED):
        name = kind.first_match(names)
        if name is not None:
            return f"recognised as {kind.name} (by {shown(name)}): {kind.advice}"
    return ""
