"""What a model makes of the ids and masks it is given, and what it refuses."""

from dataclasses import fields
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPast

# What transformers calls a cache of earlier positions: "cache" from 5.24 on, "past_key_values" before.
CACHE_NAMES = ("cache", "past_key_values")
CACHE_NAME = next(name for name in CACHE_NAMES if name in {f.name for f in fields(BaseModelOutputWithPast)})


class Place(NamedTuple):
    """Where the new inputs of a mixer stand.

    Attributes
    ----------
    positions : Tensor of int, shape (B or 1, t)
        Counted from the first token of each row, at most n - 1.
    mask : Tensor or None, shape (B, t, 1)
        In the dtype of the stream, 0 at padding.
    attention_mask : Tensor or None, shape (B, past + t)
        As the caller gave it: it covers earlier positions too.
    """

    positions: Tensor
    mask: Tensor | None = None
    attention_mask: Tensor | None = None


def check_ids(input_ids: Tensor, vocab_size: int) -> None:
    """Raise when ids are not integers of the vocabulary, in words an index error does not have."""
    if not isinstance(input_ids, Tensor):
        raise ValueError(f"input_ids must be a tensor of ids, not a {type(input_ids).__name__}")
    if input_ids.ndim != 2 or input_ids.shape[1] == 0:
        raise ValueError(f"input_ids must have shape (batch, length >= 1), not {tuple(input_ids.shape)}")
    if input_ids.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"input_ids must be int64 or int32, not {input_ids.dtype}")
    if not _readable(input_ids):
        return
    low, high = int(input_ids.min()), int(input_ids.max())
    if low < 0 or high >= vocab_size:
        raise ValueError(
            f"input_ids run from {low} to {high}, outside the vocabulary 0..{vocab_size - 1}: "
            "is this the tokenizer the model was trained with?"
        )


def _readable(values: Tensor) -> bool:
    # Reading values would stall an accelerator's queue, and break a compiled graph.
    return values.device.type == "cpu" and values.numel() > 0 and not torch.compiler.is_compiling()


def check_vectors(vectors: Tensor, width: int, dtype: torch.dtype) -> None:
    """Raise when vectors in place of ids are not those of the embedding's width and dtype."""
    if vectors.ndim != 3 or vectors.shape[1] == 0 or vectors.shape[2] != width:
        raise ValueError(
            f"inputs_embeds must have shape (batch, length >= 1, {width}), not {tuple(vectors.shape)}"
        )
    autocast = torch.is_autocast_enabled(vectors.device.type) and vectors.is_floating_point()
    if vectors.dtype != dtype and not autocast:
        raise ValueError(
            f"inputs_embeds are {vectors.dtype} but the model's weights are {dtype}: convert one"
        )


def check_labels(labels: Tensor, shape: torch.Size, vocab_size: int) -> None:
    """Raise when labels are not ids of the vocabulary, or -100, one for each position."""
    if labels.shape != shape:
        raise ValueError(f"labels must have shape {tuple(shape)} as the inputs, not {tuple(labels.shape)}")
    if labels.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"labels must be int64 or int32, not {labels.dtype}")
    if not _readable(labels):
        return
    kept = labels[labels != -100]
    if kept.numel() and (int(kept.min()) < 0 or int(kept.max()) >= vocab_size):
        raise ValueError(
            f"labels run from {int(kept.min())} to {int(kept.max())}, outside the vocabulary "
            f"0..{vocab_size - 1}; positions without a label are -100"
        )


def kept_positions(states: Tensor, keep: int | Tensor) -> Tensor:
    """Return the (B, k, d) states whose logits are wanted: the last ``keep``, all for 0, or by indices."""
    if isinstance(keep, Tensor) and keep.ndim:
        if keep.ndim > 1 or keep.is_floating_point() or keep.dtype == torch.bool:
            raise ValueError(
                f"logits_to_keep as a tensor must be one row of indices, not {keep.dtype} of shape "
                f"{tuple(keep.shape)}"
            )
        return states[:, keep]
    count = int(keep)
    if count < 0:
        raise ValueError(
            f"logits_to_keep={count} is negative: give the number of last positions, or 0 for all"
        )
    return states[:, -count:] if 0 < count < states.shape[1] else states


# Keywords that say a row holds several documents: the collators for training without padding pass them.
PACKING = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx")
# What other libraries pass to every model, and these have no use for. Positions follow from the cache and the
# mask (`generate`); there is one kind of segment (tokenizers, through Trainer, accelerate and lm-eval).
WITHOUT_USE = ("cache_position", "token_type_ids")
# What these models cannot give; PEFT, pipelines and `generate` pass them as None or False.
NOT_GIVEN = ("output_attentions", "output_router_logits")


def check_keywords(keywords: dict[str, Any], place: Place, n: int, not_given: tuple[str, ...] = ()) -> None:
    """Raise when `forward` was given a keyword it does not know, cannot follow, or would have to ignore.

    ``position_ids`` that start again, and the keywords of `PACKING`, say that a row holds several documents,
    which no mixer here keeps apart. A keyword of `NOT_GIVEN`, or of ``not_given``, may be None or False.
    """
    for name, value in keywords.items():
        if name in ("position_ids", *PACKING):
            if value is not None and (name in PACKING or _start_again(value, place, n)):
                raise ValueError(
                    f"{name} put several documents in one row, or do not count from each row's first token: "
                    "mixers along time would leak from one to the next, so give every document a row of its "
                    "own, padded"
                )
        elif name in (*NOT_GIVEN, *not_given):
            if value is not None and value is not False:
                raise ValueError(f"{name} asks for what this model does not have: leave it out")
        elif name not in WITHOUT_USE:
            raise TypeError(f"forward() got an unexpected keyword argument {name!r}")


def _start_again(positions: Any, place: Place, n: int) -> bool:
    """Say whether positions differ, at a token, from those counted from each row's first token."""
    # On an accelerator the comparison waits for its queue, which beats a silent leak.
    if positions.device.type == "meta" or torch.compiler.is_compiling():
        return False
    here = positions.clamp(max=n - 1) == place.positions
    if place.mask is not None:
        here = here | (place.mask[..., 0] == 0)
    return not bool(here.all())


def check_length(start: int, new: int, n: int, slides: bool) -> None:
    """Raise when a sequence would pass the end of the context; ``slides`` says whether it could slide."""
    if start + new > n:
        reached = f"the sequence reaches position {start + new} but the"
        if slides:
            raise ValueError(
                f"{reached} Toeplitz kernels have n = {n} taps (config.max_position_embeddings): shorten the "
                'input, generate fewer tokens, or set config.beyond_n = "slide"'
            )
        raise ValueError(
            f"{reached} model was made for n = {n} positions (config.max_position_embeddings): shorten the "
            "input, or generate fewer tokens"
        )


def place_of(attention_mask: Tensor | None, start: int, new: int, n: int, like: Tensor) -> Place:
    """Return where ``new`` tokens stand after ``start`` earlier ones, in a context of n.

    A padded batch counts positions from the first real token, so that a left-padded prompt gets the
    same biases per position, and the same answer, as the prompt alone.
    """
    if attention_mask is None:
        return Place(torch.arange(start, start + new, device=like.device)[None].clamp(max=n - 1))
    wanted = (like.shape[0], start + new)
    if tuple(attention_mask.shape) != wanted:
        raise ValueError(
            f"attention_mask must have shape (batch, past and new positions) = {wanted}, not "
            f"{tuple(attention_mask.shape)}"
        )
    recent = attention_mask[:, start:]
    if (
        attention_mask.dtype != torch.bool
        and _readable(recent)
        and bool(((recent != 0) & (recent != 1)).any())
    ):
        raise ValueError("attention_mask must hold 1 at tokens and 0 at padding, and nothing else")
    # Only the new columns are accumulated: a decoding step costs one sum over the past.
    before = attention_mask[:, :start].long().sum(1, keepdim=True)
    positions = (before + recent.long().cumsum(1) - 1).clamp(0, n - 1)
    return Place(positions, recent[..., None].to(like.dtype), attention_mask)


def one_cache(cache: Any, past_key_values: Any) -> Any:
    """Return the cache given under either of its names."""
    if cache is not None and past_key_values is not None:
        raise ValueError("cache and past_key_values are two names of one thing: give one of them")
    return past_key_values if cache is None else cache
