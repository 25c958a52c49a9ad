"""What a checkpoint holds, once read: its Toeplitz kernels, and everything that was not read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from toeplitz_theory.checkpoints.dtypes import is_scaled
from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.names import shown

if TYPE_CHECKING:
    from toeplitz_theory.operators import MultiHeadSymbol


@dataclass(frozen=True, eq=False, repr=False)
class ToeplitzLayer(Displayed):
    """One causal Toeplitz kernel of a checkpoint.

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
    kernel : ndarray of float64 or complex128, shape (n,)
        ``kernel[k]`` multiplies the input k steps back. Widened exactly from the stored values and
        read-only. It may hold nan or inf: the checkpoint does.
    dtype : str
        The dtype as stored, such as ``"float32"`` or ``"bfloat16"``.
    key : str
        Name of the tensor in the file.
    layout : str
        One of ``"flat"``, ``"heads"``, ``"parallel heads"``, ``"expanded"``, ``"expanded heads"``,
        ``"channel kernel"``, ``"early"``, ``"optimised heads"``; of kernels that are generated from other
        tensors, ``"state space"`` and ``"implicit filter"``, or ``"generated"`` where they were saved so;
        ``"named"`` where the caller said which tensor holds kernels, ``"probed"`` where the module was asked.
    note : str
        What a reader must know about this kernel; empty when there is nothing.
    row_normalised : bool or None
        Whether the layer is D T(a), each row divided by its sum. None where the checkpoint does not say: the
        published layers with positive heads are saved alike either way.
    w_in : ndarray of float64, shape (c, d), or None
        The projection that feeds this head: c channels out of the d of the stream. None where there is none,
        or where `load` was not asked for projections.
    w_out : ndarray of float64, shape (d, c), or None
        The columns of the output projection that this head is multiplied by.
    residual : bool
        Whether the layer stands in a residual connection, as all do whose layout is known.

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
    row_normalised: bool | None = False
    w_in: np.ndarray | None = None
    w_out: np.ndarray | None = None
    residual: bool = True

    def __post_init__(self) -> None:
        kernel = np.array(self.kernel, np.complex128 if np.iscomplexobj(self.kernel) else np.float64)
        if kernel.ndim != 1:
            raise InputError(f"{shown(self.key)}: a Toeplitz kernel has one axis, not shape {kernel.shape}.")
        kernel.flags.writeable = False
        object.__setattr__(self, "kernel", kernel)

    @property
    def n(self) -> int:
        """Number of taps, which is the sequence length the layer was built for."""
        return len(self.kernel)

    @property
    def scale_unknown(self) -> str:
        """Why the kernel is known only up to a factor, which leaves I + T(a) open; or nothing."""
        if not is_scaled(self.dtype):
            return ""
        return f"stored as {self.dtype}, and the checkpoint does not give the scale"


@dataclass(frozen=True, eq=False)
class MixingLayer:
    """A causal convolution that mixes channels: ``y[t] = sum_k taps[k] @ x[t - k]``.

    Parameters
    ----------
    layer : str
        Position in the model.
    taps : ndarray, shape (n, d, d)
        A square matrix for each lag.
    dtype : str
        What the module computes in.
    note : str
        How the taps were come by.
    residual : bool
        Whether the layer stands in a residual connection.

    Examples
    --------
    >>> import numpy as np
    >>> MixingLayer("blocks.0.mixer", np.zeros((8, 2, 2)), "float32").taps.shape
    (8, 2, 2)
    """

    layer: str
    taps: np.ndarray
    dtype: str
    note: str = ""
    residual: bool = True


@dataclass(frozen=True, repr=False)
class Skipped(Displayed):
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


@dataclass(frozen=True, repr=False)
class SourceFile(Displayed):
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


@dataclass(frozen=True, eq=False, repr=False)
class Checkpoint(Displayed):
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
    mixing : tuple of MixingLayer
        Of modules that were asked, those that mix channels: their symbol is a matrix.

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
    mixing: tuple[MixingLayer, ...] = ()

    def multihead(self, layer: str) -> MultiHeadSymbol:
        """Return the matrix-valued symbol of a whole layer: its heads with their projections.

        Parameters
        ----------
        layer : str
            Name of a layer with heads, as in ``layers[i].layer``.

        Returns
        -------
        MultiHeadSymbol
            Of d channels; its ``residual_index()`` is that of the layer with its residual connection.

        Raises
        ------
        InputError
            If there is no such layer, if it is no linear map with heads and projections, or if the checkpoint
            was read without ``projections=True``.

        Examples
        --------
        >>> import numpy as np
        >>> from toeplitz_theory.checkpoints import load
        >>> mixer = "mixer_blocks.0.token_mixing_layer."
        >>> state = {f"{mixer}mixer_heads.0.weight": np.array([[0.0, 3.0]])}
        >>> state |= {f"{mixer}proj_head.0.weight": np.eye(2), f"{mixer}out_proj.weight": np.eye(2)}
        >>> load(state, projections=True).multihead("mixer_blocks.0").residual_index().value
        -2
        """
        from toeplitz_theory.operators import MultiHeadSymbol

        heads = [head for head in self.layers if head.layer == layer]
        if not heads:
            names = ", ".join(dict.fromkeys(shown(head.layer) for head in self.layers[:64]))
            raise InputError(f"no layer {shown(layer)}; the layers are {shown(names, 300)}.")
        if heads[0].row_normalised is not False or heads[0].scale_unknown:
            rows = "are" if heads[0].row_normalised else "may be"
            reason = heads[0].scale_unknown or f"its rows {rows} divided by their sums"
            raise InputError(f"{shown(layer)}: no matrix-valued symbol: {reason}.")
        pairs = [(head.w_in, head.w_out) for head in heads]
        w_in = [first for first, _ in pairs if first is not None]
        w_out = [last for _, last in pairs if last is not None]
        if len(w_in) != len(heads) or len(w_out) != len(heads):
            raise InputError(
                f"{shown(layer)}: no projections of heads were read; load(..., projections=True) reads them "
                f"where a layer has them (its layout: {heads[0].layout})."
            )
        kernels = [head.kernel for head in heads]
        return MultiHeadSymbol(kernels, np.concatenate(w_in), np.concatenate(w_out, axis=1))
