"""What the models of the family share: how weights begin, and what is refused when they are loaded."""

from __future__ import annotations

import math
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm.config import TMMConfig
from toeplitz_theory.tmm.mixers import CausalKernels, ToeplitzKernel
from toeplitz_theory.tmm.mixers.masked import MaskedKernel

# A language model may start from a stack without a head, and a stack may leave a head aside.
_HEAD = "lm_head."
# Bytes of the files of weights that a model being made is for; None when it is made without any.
_bytes_of_weights: ContextVar[int | None] = ContextVar("bytes_of_weights", default=None)
_WEIGHT_FILES = (".safetensors", ".bin", ".pt", ".pth")


class TMMPreTrainedModel(PreTrainedModel):
    """Initialisation, loading and flags shared by the models of the family."""

    config_class = TMMConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True  # it is what the attention mixer calls
    _no_split_modules = ["TMMBlock"]  # noqa: RUF012 (transformers extends it)

    def __init__(self, config, *args, **kwargs):
        # Fields may have been set since it was made: by hand, or from from_pretrained's keywords.
        config.refuse_impossible()
        _refuse_excess(config)
        super().__init__(config, *args, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """Load a model, as in transformers; weights of another architecture or vocabulary are refused.

        Parameters
        ----------
        pretrained_model_name_or_path : str or path-like
            A folder, or a name on the Hub.
        *args, **kwargs
            As for ``transformers.PreTrainedModel.from_pretrained``.

        Returns
        -------
        TMMPreTrainedModel
            In evaluation mode.

        Raises
        ------
        InputError
            When tensors are missing, left over or of another shape: transformers would draw them at random.
            When the configuration in a folder asks for far more numbers than its files hold.
            When ``device_map`` offloads matrices or kernels that are parts of a mixer: what brings offloaded
            weights back waits for calls, and those are read, not called.
        """
        lenient = kwargs.pop("ignore_mismatched_sizes", False)
        with_info = kwargs.pop("output_loading_info", False)
        held = None if lenient else _bytes_held(pretrained_model_name_or_path, kwargs.get("subfolder", ""))
        token = _bytes_of_weights.set(held)
        try:
            loaded: Any = super().from_pretrained(
                pretrained_model_name_or_path,
                *args,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **kwargs,
            )
        finally:
            _bytes_of_weights.reset(token)
        model, info = loaded
        wrong = _what_does_not_fit(info, lenient)
        if wrong:
            raise InputError(f"{pretrained_model_name_or_path} does not fit {cls.__name__}: {wrong}")
        _refuse_offloaded(model)
        for module in model.modules():
            if isinstance(module, ToeplitzKernel):
                # transformers makes the loaded tensors parameters that learn.
                module.stored.requires_grad_(not module.frozen)
        return (model, info) if with_info else model

    @torch.no_grad()
    def _init_weights(self, module):
        if callable(getattr(module, "draw", None)):
            module.draw(self.config.kernel_init)
            return
        super()._init_weights(module)
        kaiming = self.config.linear_init == "kaiming"
        if kaiming and isinstance(module, nn.Linear):
            init.normal_(module.weight, std=math.sqrt(2 / module.weight.shape[1]))
        elif kaiming and isinstance(module, nn.Embedding):
            init.copy_(module.weight, module.weight / self.config.initializer_range)


def _bytes_held(name, subfolder: str) -> int | None:
    """Return the bytes of the files of weights in a folder; None when there is no such folder or file."""
    folder = Path(name or "", subfolder)
    sizes = [path.stat().st_size for path in folder.glob("*") if path.suffix in _WEIGHT_FILES]
    return sum(sizes) if sizes and name else None


def _refuse_excess(config: TMMConfig) -> None:
    held = _bytes_of_weights.get()
    # A number takes half a byte at least, and a part may be drawn anew; small models may be what they like.
    if held is not None and config.least_numbers > 4 * held + 2**20:
        raise InputError(
            f"the configuration asks for {config.least_numbers:.3g} numbers at least, the files beside it "
            f"hold {held} bytes: are its sizes those of the model?"
        )


def _refuse_offloaded(model: nn.Module) -> None:
    mixers = {
        module.token_mixing_layer for module in model.modules() if hasattr(module, "token_mixing_layer")
    }
    for name, part in model.named_modules():
        read = isinstance(part, (CausalKernels, MaskedKernel)) and part not in mixers
        if read and any(parameter.is_meta for parameter in part.parameters()):
            raise InputError(
                f"device_map offloads {name}, which is read without being called and so would not come back: "
                "place its block on a device (the CPU is one), or load without device_map"
            )


def _what_does_not_fit(info: dict, lenient: bool) -> str:
    """Say in one line why loaded weights are not those of the model; empty when they are."""
    missing, extra = (
        sorted(key for key in info[name] if not key.startswith(_HEAD))
        for name in ("missing_keys", "unexpected_keys")
    )
    if missing or extra:
        lacks = f"it lacks {len(missing)} tensors ({missing[0]}, ...)" if missing else ""
        holds = f"it holds {len(extra)} that this model has not ({extra[0]}, ...)" if extra else ""
        return (
            f"{' and '.join(filter(None, (lacks, holds)))}; is it of another architecture or configuration?"
        )
    if info["mismatched_keys"] and not lenient:
        key, found, wanted = min(info["mismatched_keys"])
        more = " (is it of another vocabulary?)" if "embed" in key or key.startswith(_HEAD) else ""
        return f"{key} has shape {tuple(found)}, not {tuple(wanted)}{more}"
    return ""
