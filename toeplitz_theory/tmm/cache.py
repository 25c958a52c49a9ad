"""Earlier inputs of the mixers, kept in transformers' cache between steps of generation.

``generate`` makes a ``DynamicCache`` and hands it to every step. A mixer that multiplies by Toeplitz
matrices puts a layer of its own in its place there, so that beams, rollbacks and batches selected by
transformers reach the state of the online product; other mixers keep their inputs in the layers that
transformers made.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import Cache, CacheLayerMixin

from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm.online import OnlineConvolution
from toeplitz_theory.tmm.online_levels import Blocks
from toeplitz_theory.tmm.products import causal_toeplitz_product

FOREIGN = "the cache was filled by a model of another kind: pass an empty one, or none"


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
    if getattr(layer, "get_seq_length", lambda: 1)() > 0:
        raise InputError(FOREIGN)
    fresh = layers[index] = kind()
    return fresh


def version_of(sources: Sequence[Tensor]) -> tuple:
    """Return what differs once a source has been changed in place, or is another tensor."""
    # Tensors made in inference mode have no version counter; changing them in place is not noticed.
    return tuple((s.data_ptr(), -1 if s.is_inference() else s._version) for s in sources)


# Up to this many taps a step that reads the whole history won on the CPUs measured (benchmarks/decode.py).
HISTORY_UP_TO = 512
DECODING = ("auto", "history", "online")


def blocks_for(n: int, decoding: str = "auto") -> Blocks | None:
    """Return how a stream of products with n taps cuts time, None for the dot product with the history.

    Parameters
    ----------
    n : int
        Number of taps.
    decoding : {"auto", "history", "online"}
        ``"auto"`` takes the history up to a measured length, blocks above it.

    Returns
    -------
    Blocks or None

    Raises
    ------
    InputError
        When ``decoding`` is unknown.

    Examples
    --------
    >>> blocks_for(256) is None, blocks_for(256, "online") is None
    (True, False)
    """
    if decoding not in DECODING:
        raise InputError(f"decoding={decoding!r} is not one of {', '.join(map(repr, DECODING))}")
    plain = decoding == "history" or (decoding == "auto" and n <= HISTORY_UP_TO)
    return None if plain else Blocks()


class ToeplitzCacheLayer(MixerCacheLayer):
    """Streams of one block's Toeplitz products (by slot: the expanded mixer has two), as a layer of a cache.

    Examples
    --------
    >>> ToeplitzCacheLayer().get_seq_length()
    0
    """

    holds = "Toeplitz products"
    is_croppable = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.streams: dict[int, OnlineConvolution] = {}
        self.versions: dict[int, tuple] = {}

    def get_seq_length(self) -> int:
        """Return the number of positions seen."""
        return next((stream.length for stream in self.streams.values()), 0)

    def reset(self) -> None:
        """Forget all inputs."""
        self.streams, self.versions = {}, {}

    def forget(self, count: int) -> None:
        """Forget the last ``count`` positions."""
        if count:
            for stream in self.streams.values():
                stream.crop(max(0, stream.length - count))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows of the batch, in this order."""
        for stream in self.streams.values():
            stream.select(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row of the batch."""
        for stream in self.streams.values():
            stream.select(torch.arange(stream.batch).repeat_interleave(repeats))


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


class MixerHistory:
    """What one block may know of earlier positions: its place in the cache.

    Parameters
    ----------
    cache : transformers.Cache
        Of the whole model.
    layer_index : int
        The block's place in it.
    decoding : {"auto", "history", "online"}
        How Toeplitz products of single new positions are computed.
    phase : float in [0, 1)
        Spreads the busy steps of different blocks.

    Examples
    --------
    >>> import torch
    >>> from transformers import DynamicCache
    >>> history, kernels = MixerHistory(DynamicCache(), 0), torch.tensor([[1.0, 0.5]])
    >>> for x in (1.0, 0.0):
    ...     print(history.convolve(torch.full((1, 1, 1, 1), x), [kernels], lambda: kernels).item())
    1.0
    0.5
    """

    def __init__(self, cache: Cache, layer_index: int, decoding: str = "auto", phase: float = 0.0):
        self.cache, self.layer_index, self.decoding, self.phase = cache, layer_index, decoding, phase

    def extend(self, x: Tensor) -> Tensor:
        """Append new inputs and return all so far, for mixers that are no Toeplitz products.

        Parameters
        ----------
        x : Tensor, shape (B, t, d)
            New inputs.

        Returns
        -------
        Tensor, shape (B, past + t, d)

        Raises
        ------
        InputError
            When the cache was filled by a model of another kind, or with another number of rows.

        Examples
        --------
        >>> import torch
        >>> from transformers import DynamicCache
        >>> history = MixerHistory(DynamicCache(), 0)
        >>> _ = history.extend(torch.zeros(1, 3, 2))
        >>> history.extend(torch.zeros(1, 1, 2)).shape
        torch.Size([1, 4, 2])
        """
        layers, index = self.cache.layers, self.layer_index
        kept = getattr(layers[index], "keys", None) if index < len(layers) else None
        if kept is not None and kept.numel():
            if kept.ndim != 4 or kept.shape[1] != 1 or kept.shape[-1] != x.shape[-1]:
                raise InputError(FOREIGN)
            _check_rows(x.shape[0], kept.shape[0])
        # Keys with values of width zero: transformers' own layers then grow, crop and reorder them.
        keys, _ = self.cache.update(x[:, None], x[:, None, :, :0], self.layer_index)
        return keys[:, 0]

    def convolve(
        self,
        x: Tensor,
        sources: Sequence[Tensor],
        kernels: Callable[[], Tensor],
        method: str = "auto",
        slot: int = 0,
    ) -> Tensor:
        """Return the Toeplitz product at new positions, given the inputs at earlier ones.

        Parameters
        ----------
        x : Tensor, shape (B, t, H, c)
            New inputs.
        sources : sequence of Tensor
            The parameters the kernels are made of. A change of theirs in place is noticed by their version
            counters and makes the kernels anew; a change through ``.data`` has no counter and is not.
        kernels : callable
            Returns the kernels, shape (H, n). Called when the sources are new or have changed.
        method : {"auto", "fft", "dense", "blocked"}
            For the first positions, which are multiplied at once.
        slot : int
            Which of the block's products this is, when it has several.

        Returns
        -------
        Tensor, shape (B, t, H, c)
            Gradients flow through the first call only: to ask for those of a later step is an error.

        Raises
        ------
        InputError
            When the cache was filled by a model of another kind.
        ValueError
            When the new inputs do not continue the batch in the cache.

        Examples
        --------
        >>> import torch
        >>> from transformers import DynamicCache
        >>> history, kernels = MixerHistory(DynamicCache(), 0), torch.tensor([[1.0, 0.5]])
        >>> history.convolve(torch.ones(1, 3, 1, 1), [kernels], lambda: kernels).flatten()
        tensor([1.0000, 1.5000, 1.5000])
        """
        layer = claim(self.cache, self.layer_index, ToeplitzCacheLayer)
        stream, version = layer.streams.get(slot), version_of(sources)
        if stream is None or stream.length == 0:
            taps = kernels()
            stream = OnlineConvolution(taps, blocks_for(taps.shape[1], self.decoding), self.phase)
            stream.load(x)
            layer.streams[slot], layer.versions[slot] = stream, version
            return causal_toeplitz_product(x, pad(taps, (0, max(0, x.shape[1] - taps.shape[1]))), method)
        if layer.versions[slot] != version:
            stream.set_kernels(kernels())
            layer.versions[slot] = version
        y = stream.push(x)
        return _Detached.apply(x, y) if x.requires_grad and torch.is_grad_enabled() else y

    def state(self, batch: int) -> StateCacheLayer:
        """Return the recurrent state of a batch of so many rows, for mixers that keep one.

        Parameters
        ----------
        batch : int
            Number of rows B of the new inputs.

        Returns
        -------
        StateCacheLayer

        Raises
        ------
        InputError
            When the cache was filled by a model of another kind, or with another number of rows.

        Examples
        --------
        >>> from transformers import DynamicCache
        >>> MixerHistory(DynamicCache(), 0).state(batch=1).state
        {}
        """
        layer = claim(self.cache, self.layer_index, StateCacheLayer)
        for value in layer.state.values():
            _check_rows(batch, value.shape[0])
        return layer


def _check_rows(new: int, kept: int) -> None:
    if new != kept:
        raise InputError(
            f"inputs of {new} rows do not continue a batch of {kept}: reset the cache, or reorder it with "
            "the batch"
        )


class _Detached(torch.autograd.Function):
    """A value that also depends on inputs no longer in the graph: its gradient would be incomplete."""

    @staticmethod
    def forward(ctx, x, y):
        return y

    @staticmethod
    def backward(ctx, *gradients):
        raise RuntimeError(
            "a cached step does not carry gradients to earlier positions: pass the whole sequence at once, "
            "with use_cache=False"
        )
