"""What a checkpoint holds, once read: its Toeplitz kernels, and everything that was not read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toeplitz_theory.errors import InputError


@dataclass(frozen=True, eq=False)
class ToeplitzLayer:
    """One causal Toeplitz kernel found in a checkpoint.

    The layer acts along time as ``y[t] = sum_k kernel[k] * x[t - k]``, alike on every channel of its
    head.

    Parameters
    ----------
    layer : str
        Position in the model, for example ``"mixer_blocks.0"`` or ``"decoderblocks.3"``. The two
        Toeplitz layers of an expanded mixer end in ``".first"`` and ``".second"``.
    head : int or None
        Head number; the tap number when a kernel over channels has several taps; the channel where
        each has a kernel of its own; None when the mixer has a single kernel.
    kernel : ndarray of float64, shape (n,)
        ``kernel[k]`` multiplies the input k steps back. Widened exactly from the stored values and
        read-only. It may hold nan or inf: the checkpoint does.
    dtype : str
        The dtype as stored, such as ``"float32"`` or ``"bfloat16"``.
    key : str
        Name of the tensor in the file.
    layout : str
        One of ``"flat"``, ``"heads"``, ``"parallel heads"``, ``"expanded"``, ``"expanded heads"``,
        ``"channel kernel"``, ``"early"``, ``"optimised heads"``; of kernels that are generated from other
        tensors, ``"state space"`` and ``"implicit filter"``, or ``"generated"`` where they were saved so.
    note : str
        What a reader must know about this kernel; empty when there is nothing.
    row_normalised : bool
        Whether the configuration says that the layer is D T(a), each row divided by its sum.

    Raises
    ------
    InputError
        If the kernel is not one-dimensional.

    Examples
    --------
    >>> import numpy as np
    >>> from toeplitz_theory.checkpoints import ToeplitzLayer
    >>> taps = np.array([1.0, -0.5])
    >>> one = ToeplitzLayer("blocks.0", None, taps, "float32", "blocks.0.mixer.weight", "early")
    >>> one.n, one.kernel.flags.writeable
    (2, False)
    """

    layer: str
    head: int | None
    kernel: np.ndarray
    dtype: str
    key: str
    layout: str
    note: str = ""
    row_normalised: bool = False

    def __post_init__(self) -> None:
        kernel = np.array(self.kernel, dtype=np.float64)
        if kernel.ndim != 1:
            raise InputError(f"{self.key}: a Toeplitz kernel has one axis, not shape {kernel.shape}.")
        kernel.flags.writeable = False
        object.__setattr__(self, "kernel", kernel)

    @property
    def n(self) -> int:
        """Number of taps, which is the sequence length the layer was built for."""
        return len(self.kernel)


@dataclass(frozen=True)
class Skipped:
    """Something that was seen and not analysed, and why.

    Parameters
    ----------
    name : str
        A tensor, a token mixer or a file.
    reason : str
        Why it was left out, in one line.

    Examples
    --------
    >>> from toeplitz_theory.checkpoints import Skipped
    >>> Skipped("mixer_blocks.0.token_mixing_layer", "dense").reason
    'dense'
    """

    name: str
    reason: str


@dataclass(frozen=True)
class SourceFile:
    """A file that values were read from.

    Parameters
    ----------
    path : str
        Path of the file as it was opened.
    sha256 : str
        Hexadecimal SHA-256 of the whole file.
    bytes : int
        Size of the file.

    Examples
    --------
    >>> from toeplitz_theory.checkpoints import SourceFile
    >>> SourceFile("model.safetensors", "e3b0c442", 0).bytes
    0
    """

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The Toeplitz layers of one model, with what was left out and where all of it came from.

    Parameters
    ----------
    source : str
        The path as given, or a description of the module or mapping.
    files : tuple of SourceFile
        The files read, with their hashes; empty for a model in memory.
    layers : tuple of ToeplitzLayer
        In reading order: encoder before decoder, blocks by number, then part, then head.
    skipped : tuple of Skipped
        Token mixers of another kind, and weight files that were not chosen.
    config : dict
        ``config.json`` beside the weights; without it, what a file of kernels says of its model; or empty.
    ignored : int
        How many tensors are no token mixers (embeddings, norms, MLPs, projections, biases).
    notes : tuple of str
        What concerns the checkpoint as a whole, such as the wrapper the weights were found in.

    Examples
    --------
    >>> import numpy as np
    >>> from toeplitz_theory.checkpoints import load
    >>> checkpoint = load({"blocks.0.mixer.weight": np.ones(4), "embed.weight": np.ones((9, 2))})
    >>> len(checkpoint.layers), checkpoint.ignored, checkpoint.files
    (1, 1, ())
    """

    source: str
    files: tuple[SourceFile, ...]
    layers: tuple[ToeplitzLayer, ...]
    skipped: tuple[Skipped, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    ignored: int = 0
    notes: tuple[str, ...] = ()
