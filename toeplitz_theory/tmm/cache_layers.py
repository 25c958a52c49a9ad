"""What the layers that mixers put into transformers' cache have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from toeplitz_theory.errors import InputError

FOREIGN = "past_key_values was filled by a model of another kind: pass an empty cache, or none"


class MixerCacheLayer(CacheLayerMixin):
    """A layer of a cache that holds something other than keys and values; ``holds`` says what."""

    holds: str
    is_sliding = False
    supports_early_init = False

    def lazy_initialization(self, key_states, value_states) -> None:
        """Do nothing: what is held begins with the first input."""

    def update(self, key_states, value_states, *args, **kwargs):
        """Refuse: there are no keys and values here.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"this cache holds {self.holds}, not keys and values: it belongs to another model")

    def get_max_length(self) -> int:
        """Return -1: the model, not the cache, says where a sequence ends."""
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return length and offset of an attention mask over past and new positions."""
        return self.get_seq_length() + query_length, 0

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last ``-tokens_to_remove`` positions; the sign is transformers' convention.

        Raises
        ------
        InputError
            When it is positive, or the layer cannot go back so far.
        """
        if tokens_to_remove > 0:
            raise InputError(f"crop takes minus the number of tokens to remove, not {tokens_to_remove}")
        self.forget(-tokens_to_remove)

    @abstractmethod
    def forget(self, count: int) -> None:
        """Forget the last ``count`` positions."""

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Let row i continue what row ``beam_idx[i]`` was."""
        self.batch_select_indices(beam_idx)

    @abstractmethod
    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows of the batch, in this order."""

    def offload(self) -> None:
        """Do nothing: the state stays where the model computes."""

    def prefetch(self) -> None:
        """Do nothing, as nothing was offloaded."""


Layer = TypeVar("Layer", bound=MixerCacheLayer)


def claim(cache: Cache, index: int, kind: type[Layer]) -> Layer:
    """Return the layer of a cache at a block's place, put there when the cache is new.

    Raises
    ------
    InputError
        When the cache was filled by a model of another kind.
    """
    layers = cache.layers
    while len(layers) <= index:
        layers.append(kind())
    layer = layers[index]
    if isinstance(layer, kind):
        return layer
    if not hasattr(layer, "get_seq_length") or layer.get_seq_length() > 0:
        raise InputError(FOREIGN)
    fresh = layers[index] = kind()
    return fresh


def version_of(sources: Sequence[Tensor]) -> tuple:
    """Return what differs once a source has been changed in place, or is another tensor."""
    # Tensors made in inference mode have no version counter; changing them in place is not noticed.
    return tuple((s.data_ptr(), -1 if s.is_inference() else s._version) for s in sources)
