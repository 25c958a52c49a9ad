"""What mixers that are no Toeplitz products keep between steps: all inputs, or a state of constant size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm.cache import MixerHistory
from toeplitz_theory.tmm.cache_layers import FOREIGN, MixerCacheLayer, claim, version_of


def extend(history: MixerHistory | None, x: Tensor) -> Tensor:
    """Return all inputs so far, (B, past + t, w): ``x`` (B, t, w) itself when there is no cache."""
    if history is None:
        return x
    layers, index = history.cache.layers, history.layer_index
    keys = getattr(layers[index], "keys", None) if index < len(layers) else None
    if keys is not None and keys.numel():
        if keys.ndim != 4 or keys.shape[1] != 1 or keys.shape[-1] != x.shape[-1]:
            raise InputError(FOREIGN)
        if keys.shape[0] != x.shape[0]:
            raise ValueError(
                f"inputs of {x.shape[0]} rows do not continue a batch of {keys.shape[0]}: reset the cache, "
                "or reorder it with the batch"
            )
    return history.extend(x)


class StateCacheLayer(MixerCacheLayer):
    """A recurrent state of constant size, as a layer of transformers' cache.

    Each tensor of the state has the batch as its first axis. A state is a summary: it can be reordered and
    repeated with the batch, and not taken back to an earlier position.
    """

    holds = "a recurrent state"
    is_croppable = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state: dict[str, Tensor] = {}
        self.length = 0
        self._derived: tuple[Any, Any] = (None, None)

    def keep(self, new: int, **state: Tensor) -> None:
        """Replace the state by that after ``new`` more positions."""
        self.state, self.length = state, self.length + new

    def derived(self, sources: Sequence[Tensor], make: Callable[[], Any]) -> Any:
        """Return ``make()``, made again only when a source has changed in place."""
        if torch.is_grad_enabled() and any(source.requires_grad for source in sources):
            return make()  # a graph is not to be used twice
        version = version_of(sources)
        if self._derived[0] != version:
            self._derived = (version, make())
        return self._derived[1]

    def get_seq_length(self) -> int:
        """Return the number of positions seen."""
        return self.length

    def reset(self) -> None:
        """Forget everything."""
        self.state, self.length = {}, 0

    def forget(self, count: int) -> None:
        """Forget everything, or nothing; refuse what lies between."""
        if count >= self.length:
            self.reset()
        elif count:
            raise InputError(
                "a recurrent state cannot go back to an earlier position: generate without drafts (assistant "
                "models, prompt lookup), or copy the cache before the steps you mean to undo"
            )

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows of the batch, in this order."""
        self.state = {key: value[indices.to(value.device)] for key, value in self.state.items()}

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row of the batch."""
        self.state = {key: value.repeat_interleave(repeats, 0) for key, value in self.state.items()}


def state_layer(history: MixerHistory, batch: int) -> StateCacheLayer:
    """Return the place of a block's state in the cache, put there when the cache is new."""
    layer = claim(history.cache, history.layer_index, StateCacheLayer)
    for value in layer.state.values():
        if value.shape[0] != batch:
            raise ValueError(
                f"inputs of {batch} rows do not continue a batch of {value.shape[0]}: reset the cache, or "
                "reorder it with the batch"
            )
    return layer
