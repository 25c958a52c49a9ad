"""What a model makes of the ids and masks it is given, and what it refuses."""

from typing import NamedTuple

import torch
from torch import Tensor


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
    if input_ids.ndim != 2 or input_ids.shape[1] == 0:
        raise ValueError(f"input_ids must have shape (batch, length >= 1), not {tuple(input_ids.shape)}")
    if input_ids.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"input_ids must be int64 or int32, not {input_ids.dtype}")
    if input_ids.device.type != "cpu" or torch.compiler.is_compiling() or input_ids.numel() == 0:
        return  # reading the values would stall an accelerator's queue
    low, high = int(input_ids.min()), int(input_ids.max())
    if low < 0 or high >= vocab_size:
        raise ValueError(
            f"input_ids run from {low} to {high}, outside the vocabulary 0..{vocab_size - 1}: "
            "is this the tokenizer the model was trained with?"
        )


def check_length(start: int, new: int, n: int) -> None:
    """Raise when a sequence would pass the end of the Toeplitz matrices."""
    if start + new > n:
        raise ValueError(
            f"the sequence reaches position {start + new} but the Toeplitz kernels have n = {n} taps "
            "(config.max_position_embeddings): shorten the input, generate fewer tokens, or set "
            'config.beyond_n = "slide"'
        )


def place_of(attention_mask: Tensor | None, start: int, new: int, n: int, like: Tensor) -> Place:
    """Return where ``new`` tokens stand after ``start`` earlier ones, in a context of n.

    A padded batch counts positions from the first real token, so that a left-padded prompt gets the
    same biases per position, and the same answer, as the prompt alone.
    """
    if attention_mask is None:
        return Place(torch.arange(start, start + new, device=like.device)[None].clamp(max=n - 1))
    if attention_mask.ndim != 2 or attention_mask.shape[1] != start + new:
        raise ValueError(
            f"attention_mask must have shape (batch, {start + new}), not {tuple(attention_mask.shape)}"
        )
    # Only the new columns are accumulated: a decoding step costs one sum over the past.
    before = attention_mask[:, :start].long().sum(1, keepdim=True)
    positions = (before + attention_mask[:, start:].long().cumsum(1) - 1).clamp(0, n - 1)
    return Place(positions, attention_mask[:, start:, None].to(like.dtype), attention_mask)
