"""Kernels of the layers inside a live model, each asked where it stands, with what the model hands it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toeplitz_theory.checkpoints.checkpoint import Checkpoint, MixingLayer, Skipped, ToeplitzLayer
from toeplitz_theory.checkpoints.probing import Probe, checked, evaluating, first_of, measure
from toeplitz_theory.checkpoints.stores import is_torch
from toeplitz_theory.errors import InputError, reason_of
from toeplitz_theory.names import shown

_MOST_TOKENS = 512  # fed where nobody gave inputs
_ROWS = 4
_ADVICE = "at given inputs it is a matrix, which tt.CausalMatrix takes"
_NOTE = (
    "the layers that the caller chose were asked for their impulse responses: the numbers are those of what "
    "they answered, with the rounding of their type"
)


@dataclass
class _Call:
    """What a module was called with: `place` is where its inputs (B, t, channels) stand among it."""

    arguments: list[Any]
    keywords: dict[str, Any]
    place: int | str | None


def probed_layers(model: Any, patterns: str | Sequence[str], inputs: Any = None) -> Checkpoint:
    """Run a model once, and ask every module that a pattern names for its impulse responses.

    Parameters
    ----------
    model : torch.nn.Module
        The model.
    patterns : str or sequence of str
        Names of modules, or patterns.
    inputs : tensor, tuple, dict, optional
        What to call the model with. Without it random ids, for models with transformers' configuration.

    Returns
    -------
    Checkpoint
        One layer a channel, or one for all where they agree to rounding. Modules that are no causal
        convolution are skipped with the numbers that say so; those that mix channels are in ``mixing``.

    Raises
    ------
    InputError
        If it is no live module, no module is named so, the model cannot be called, or nothing is read.
    """
    import torch

    if not isinstance(model, torch.nn.Module):
        raise InputError(
            f"probe= asks live modules, and this is a {type(model).__name__}: hand over the model"
        )
    wanted = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(wanted, Sequence) or not all(isinstance(pattern, str) for pattern in wanted):
        raise InputError(f"probe={shown(repr(patterns))}: give names of modules, or patterns, as text")
    modules = dict(model.named_modules())
    matched = {
        pattern: {
            name for name in modules if name and (name == pattern or fnmatch.fnmatchcase(name, pattern))
        }
        for pattern in wanted
    }
    chosen = [name for name in modules if any(name in names for names in matched.values())]
    if not chosen:
        raise InputError(f"probe={patterns!r}: no module is named so; there are {_names(modules)}")
    layers: list[ToeplitzLayer] = []
    mixing: list[MixingLayer] = []
    skipped = [Skipped(pattern, "no module is named so") for pattern, names in matched.items() if not names]
    with evaluating(model), torch.no_grad():
        calls = _recorded(model, {name: modules[name] for name in chosen}, inputs)
        for name in chosen:
            try:
                answer = _ask(modules[name], calls.get(name))
            except InputError as reason:
                skipped.append(Skipped(name, str(reason)))
            else:
                if answer.mixes:
                    mixing.append(MixingLayer(name, answer.taps, answer.dtype, answer.note))
                else:
                    layers += _layers(name, answer)
    if not layers and not mixing:
        raise InputError(f"probe={patterns!r}: {'; '.join(f'{s.name}: {s.reason}' for s in skipped[:3])}")
    source = shown(type(model).__name__)
    return Checkpoint(source, (), tuple(layers), tuple(skipped), notes=(_NOTE,), mixing=tuple(mixing))


def _names(modules: dict[str, Any]) -> str:
    names = dict.fromkeys(re.sub(r"\b[0-9]+\b", "*", name) for name in modules if name)
    return shown(", ".join(names), 400) or "none inside it: tt.probe asks the module itself"


def _recorded(model: Any, modules: dict[str, Any], inputs: Any) -> dict[str, _Call]:
    """Call the model, and keep what each module is first called with."""
    calls: dict[str, _Call] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, arguments: Any, keywords: Any) -> None:
            calls.setdefault(name, _Call(list(arguments), dict(keywords), _place(arguments, keywords)))

        return hook

    arguments, keywords = _as_call(model, inputs)
    hooks = [
        part.register_forward_pre_hook(keep(name), with_kwargs=True, prepend=True)
        for name, part in modules.items()
    ]
    try:
        model(*arguments, **keywords)
    except Exception as error:
        raise InputError(f"the model failed on the inputs it was called with: {reason_of(error)}") from error
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _place(arguments: Any, keywords: Any) -> int | str | None:
    """Where the first tensor of real numbers with three axes stands."""
    for place, value in [*enumerate(arguments), *keywords.items()]:
        if is_torch(value) and value.ndim == 3 and value.is_floating_point():
            return place
    return None


def _as_call(model: Any, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments and keywords that inputs stand for; random ids where there are none."""
    if isinstance(inputs, dict):
        return (), inputs
    if inputs is not None:
        return (tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)), {}
    import torch

    config = getattr(model, "config", None)
    size = getattr(config, "vocab_size", None)
    if not isinstance(size, int) or size < 1:
        raise InputError("probe= has to call the model once: give inputs=, a batch it can be called with")
    lengths = (getattr(config, name, None) for name in ("max_position_embeddings", "context_length"))
    n = min([_MOST_TOKENS, *(length for length in lengths if isinstance(length, int) and length > 0)])
    device = next((parameter.device for parameter in model.parameters()), None)
    ids = torch.randint(size, (_ROWS, n), generator=torch.Generator().manual_seed(0)).to(device)
    return (), {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}


def _ask(module: Any, call: _Call | None) -> Probe:
    """Probe one module with everything but its inputs as the model handed it over."""
    import torch

    if call is None:
        raise InputError(
            "the model did not call it on these inputs; tt.probe asks a module alone, kernels= reads weights"
        )
    if call.place is None:
        raise InputError("it was called with no tensor (batch, time, channels) of real numbers")
    example = call.arguments[call.place] if isinstance(call.place, int) else call.keywords[call.place]
    last = isinstance(module, torch.nn.Conv1d)  # inputs (B, channels, t)
    shape = example.transpose(1, 2).shape if last else example.shape
    rows, n, channels = shape

    def respond(x: np.ndarray) -> np.ndarray:
        # everything else stays as it was recorded, with as many rows
        full = np.concatenate([x, np.zeros((-len(x) % rows, n, channels))])
        parts = [answer(full[at : at + rows]) for at in range(0, len(full), rows)]
        return np.concatenate(parts)[: len(x)]

    def answer(x: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(np.swapaxes(x, 1, 2).copy() if last else x).to(
            example.device, example.dtype
        )
        arguments, keywords = list(call.arguments), dict(call.keywords)
        into: Any = arguments if isinstance(call.place, int) else keywords
        into[call.place] = tensor
        y = first_of(module(*arguments, **keywords)).to(torch.float64).cpu().numpy()
        return np.swapaxes(y, 1, 2) if last and y.ndim == 3 else y

    kind = str(example.dtype).removeprefix("torch.")
    found = measure(checked(respond, n), n, channels, kind, torch.finfo(example.dtype).eps / 2)
    if found.why_not:
        raise InputError(f"{found.why_not}; {_ADVICE}")
    if found.mixes and found.taps.shape[1] != found.taps.shape[2]:
        raise InputError(
            f"it makes {found.taps.shape[1]} channels of {found.taps.shape[2]}: an index needs as many"
        )
    return found


def _layers(name: str, answer: Probe) -> list[ToeplitzLayer]:
    """One layer a channel; one for all where no channel differs from the first by more than rounding."""
    kernels = answer.taps.T
    apart = float(np.abs(kernels - kernels[0]).max())
    alike = apart <= answer.tolerance**2 * 64 * float(np.abs(kernels).max())
    note = answer.note
    if alike and len(kernels) > 1:
        note += f"; alike in all {len(kernels)} channels to {apart:.1g}"
    return [
        ToeplitzLayer(
            name, None if len(kernels) == 1 or alike else channel, kernel, answer.dtype, name, "probed", note
        )
        for channel, kernel in enumerate(kernels[:1] if alike else kernels)
    ]
