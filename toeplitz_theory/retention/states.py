"""Hidden states of any causal transformers model, layer by layer, and tokens to ask it with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from toeplitz_theory.errors import InputError

Tokens = NDArray[np.int64]
# Hidden states of the layers asked for that are kept at a time; more layers take more passes of the model.
STATE_BYTES = 1 << 30
_BATCH = 16  # sequences


def longest(model: nn.Module) -> int | None:
    """Return the number of positions a model takes, None where its config names no limit."""
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        size = getattr(getattr(model, "config", None), name, None)
        if isinstance(size, int):
            return size
    return None


def vocabulary(model: nn.Module) -> int:
    """Return the number of tokens a model knows."""
    size = getattr(getattr(model, "config", None), "vocab_size", None)
    if not isinstance(size, int):
        raise InputError(f"{type(model).__name__} has no config.vocab_size: pass a transformers causal model")
    return size


def sequence_length(model: nn.Module, length: int | None) -> int:
    """Return the length of the sequences to ask with: the one given, else the model's own, at most 256."""
    most = longest(model)
    if length is None:
        return min(most or 256, 256)
    if length < 2 or (most is not None and length > most):
        raise InputError(f"length is {length}: this model takes sequences of 2 to {most} tokens")
    return length


def drawn_tokens(generator: np.random.Generator, shape: tuple[int, ...], choice: Tokens, p: Any) -> Tokens:
    """Draw independent tokens of ``choice`` with probabilities ``p``."""
    return choice[generator.choice(choice.size, size=shape, p=p)]


def given_tokens(model: nn.Module, ids: ArrayLike) -> Tokens:
    """Return ids (sequences, length) that the model takes."""
    text = np.asarray(ids)
    known = vocabulary(model)
    if text.ndim != 2 or text.dtype.kind not in "iu" or text.size == 0:
        raise InputError(
            f"ids have shape {text.shape} and dtype {text.dtype}: pass integers (sequences, length)"
        )
    if text.min() < 0 or text.max() >= known:
        raise InputError(f"ids run from {text.min()} to {text.max()}: this model knows 0 to {known - 1}")
    sequence_length(model, text.shape[1])
    return text.astype(np.int64)


def text_of(
    model: nn.Module,
    ids: ArrayLike | None,
    samples: int,
    length: int | None,
    alphabet: int | None,
    seed: int,
    stream: int,
) -> Tokens:
    """Return the ids given, or (samples, length) random ones; each measure draws from a stream of its own."""
    if ids is not None:
        return given_tokens(model, ids)
    choice = alphabet_of(model, alphabet, seed)
    shape = (samples, sequence_length(model, length))
    return drawn_tokens(np.random.default_rng([seed, stream]), shape, choice, None)


def alphabet_of(model: nn.Module, size: int | None, seed: int) -> Tokens:
    """Return the tokens that are drawn: all, or ``size`` of them chosen by the seed, sorted."""
    known = vocabulary(model)
    if size is None:
        return np.arange(known)
    if not 2 <= size <= known:
        raise InputError(f"alphabet is {size}: this model knows {known} tokens, choose 2 to {known} of them")
    return np.sort(np.random.default_rng([seed, size]).choice(known, size=size, replace=False))


def chosen_layers(model: nn.Module, layers: Sequence[int] | None) -> list[int]:
    """Return the layers asked for, ascending, all by default: 0 the embedding, i the i-th block."""
    count = len(model_states(model, torch.zeros((1, 2), dtype=torch.long)))
    numbers = list(range(count)) if layers is None else [int(i) % count for i in layers]
    if not numbers or any(not -count <= int(i) < count for i in layers or ()):
        raise InputError(f"layers={layers!r}: this model has the layers 0 (embedding) to {count - 1}")
    return sorted(set(numbers))


def states_of(
    model: nn.Module, ids: Tokens, layers: Sequence[int], positions: slice
) -> dict[int, NDArray[np.float32]]:
    """Return the hidden states (sequences, positions, width) of each layer; nan or inf are refused."""
    parts: dict[int, list[NDArray[np.float32]]] = {i: [] for i in layers}
    for batch in torch.from_numpy(np.ascontiguousarray(ids)).split(_BATCH):
        states = model_states(model, batch)
        for i in layers:
            parts[i].append(states[i][:, positions].float().cpu().numpy())
    joined = {i: np.concatenate(part) for i, part in parts.items()}
    for i, values in joined.items():
        if not np.isfinite(values).all():
            raise InputError(f"layer {i} of {type(model).__name__} gives nan or infinite states on its input")
    return joined


def in_passes(
    model: nn.Module, ids: Tokens, layers: Sequence[int], positions: slice
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield layer and states, of as many layers at a time as fit into ``STATE_BYTES``."""
    width = model_states(model, torch.from_numpy(ids[:1]))[layers[0]].shape[-1]
    each = 4 * len(ids) * len(range(*positions.indices(ids.shape[1]))) * width
    at_once = max(1, STATE_BYTES // each)
    for start in range(0, len(layers), at_once):
        yield from states_of(model, ids, layers[start : start + at_once], positions).items()


def embedding_and_passes(
    model: nn.Module, ids: Tokens, layers: Sequence[int], positions: slice
) -> tuple[NDArray[np.float32], Iterator[tuple[int, NDArray[np.float32]]]]:
    """Return the states of the embedding, and those of ``layers`` as `in_passes`, from the same runs."""
    passes = in_passes(model, ids, sorted({0, *layers}), positions)
    first = next(passes)
    return first[1], (each for each in itertools.chain([first], passes) if each[0] in layers)


def model_states(model: nn.Module, ids: Tensor) -> Sequence[Tensor]:
    """Return the hidden states (B, t, d) of all layers: the embedding, then those after each block."""
    device = next(iter(model.parameters())).device
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            encoder: Any = getattr(model, "encoder_states", None)
            if encoder is not None:  # an autoencoder: what its encoder keeps of the input
                return encoder(ids.to(device))
            output = model(input_ids=ids.to(device), output_hidden_states=True, use_cache=False)
    except TypeError as error:
        raise InputError(f"{type(model).__name__}: pass a transformers causal model ({error})") from None
    finally:
        model.train(training)
    states = getattr(output, "hidden_states", None)
    if not states:
        raise InputError(
            f"{type(model).__name__} returns no hidden states when asked with output_hidden_states=True: "
            "pass a transformers causal model that does"
        )
    return states
