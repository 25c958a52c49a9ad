"""Layers that no kernel describes, at given tokens: attention weights, and linearised mixers of any kind."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.names import shown
from toeplitz_theory.operators import CausalMatrix
from toeplitz_theory.retention.jacobian import of_part, without_cache

if TYPE_CHECKING:
    import pandas as pd

# Of what is in float64: rounding is far below, and a layer that looks ahead far above.
_AHEAD = 1e-7
_CHANNELS = 4


@dataclass(frozen=True, eq=False, repr=False)
class MixingMatrices(Displayed):
    """What the mixing layers of a model do at given tokens, each a lower-triangular matrix.

    Attributes
    ----------
    matrices : mapping of (str, int) to CausalMatrix
        By name of the layer, and head or channel.
    kind : {"attention weights", "linearised"}
        What they are: the weights with which a head adds up its values, or derivatives of a channel's outputs
        by the same channel's inputs, which say what small changes do.
    ahead : float
        Norm of what lay above the diagonal over the whole norm, at most over the matrices: rounding.

    Examples
    --------
    >>> mixing = MixingMatrices({("layer", 0): CausalMatrix(np.eye(3))}, "linearised", 0.0)
    >>> mixing.table()["delay_90"].tolist()
    [0]
    """

    matrices: Mapping[tuple[str, int], CausalMatrix]
    kind: str
    ahead: float

    def table(self, snr: float = 100.0) -> pd.DataFrame:
        """Return one row per matrix, in columns named as those of `toeplitz_theory.inspect`.

        There is no index: that belongs to an operator on infinite sequences, and these matrices end with
        their tokens. Recovery is of the middle input, from noisy outputs.

        Parameters
        ----------
        snr : float
            Ratio of the variances of input and noise for the recovery.

        Returns
        -------
        pandas.DataFrame
            ``layer, head, n, recovered_at_once, delay_90, mean_lag, log10_condition, nullity,
            bits_bfloat16``; a missing ``mean_lag`` where the last row is all zeros.
        """
        import pandas as pd

        return pd.DataFrame(
            [{"layer": layer, "head": head, **_numbers(m, snr)} for (layer, head), m in self.matrices.items()]
        )


def _numbers(matrix: CausalMatrix, snr: float) -> dict[str, Any]:
    recovery = matrix.recovery(snr)
    return {
        "n": matrix.shape[0],
        "recovered_at_once": recovery.at_once,
        "delay_90": recovery.delay(0.9),
        "mean_lag": matrix.memory().mean_lag if matrix.matrix[-1].any() else None,
        "log10_condition": matrix.log10_condition().value,
        "nullity": int(matrix.nullity()),
        "bits_bfloat16": matrix.bits_at("bfloat16"),
    }


def causal_matrix(
    model: nn.Module,
    input_ids: Tensor,
    part: str | None = None,
    channels: Sequence[int] | None = None,
) -> MixingMatrices:
    """Return the matrices by which a model's layers mix the tokens of one text.

    What depends on its inputs, attention, a selective state space, a gated layer, has no kernel and no index;
    at given tokens it is a lower-triangular matrix all the same. The model is copied to float64 and evaluated
    without dropout.

    Parameters
    ----------
    model : nn.Module
        A causal language model of transformers, or any module that takes ``input_ids``.
    input_ids : Tensor of int, shape (1, n)
        The text. Cost and memory grow with n squared, for recovery and condition with its cube.
    part : str, optional
        Name of a submodule, or a pattern such as ``"backbone.layers.*.mixer"``: each is linearised, from what
        enters it to what leaves it. By default the weights of the model's own attention are taken.
    channels : sequence of int, optional
        Which channels of a part; four spread evenly by default. Each costs n backward passes.

    Returns
    -------
    MixingMatrices

    Raises
    ------
    InputError
        If the model has no attention weights to give and no part is named, no part has the name, a part
        changes the width of its inputs or looks ahead, or there is no such channel.

    Examples
    --------
    >>> import torch, toeplitz_theory as tt
    >>> _ = torch.manual_seed(0)
    >>> model = tt.TMMForCausalLM(tt.TMMConfig(vocab_size=50, hidden_size=16, max_position_embeddings=8))
    >>> part = "model.mixer_blocks.*.token_mixing_layer"
    >>> table = tt.causal_matrix(model, torch.arange(8)[None], part=part).table()
    >>> table["layer"].nunique(), len(table)
    (4, 16)
    """
    if input_ids.ndim != 2 or len(input_ids) != 1:
        raise InputError(f"input_ids has shape {tuple(input_ids.shape)}: pass one text, of shape (1, n)")
    twin = copy.deepcopy(model).double().eval()
    if part is None:
        if channels is not None:
            raise InputError("channels are those of a part: name it, or leave channels out")
        return _collected(_attention_weights(twin, input_ids), "attention weights")
    names = [name for name, _ in twin.named_modules() if name and fnmatch.fnmatchcase(name, part)]
    if not names:
        raise InputError(f"no part of the model is named {shown(part)}: see model.named_modules()")
    squares = {}
    for name in names:
        function, entering = of_part(twin, input_ids, name)
        for channel, square in _linearised(function, entering, name, channels):
            squares[name, channel] = square
    return _collected(squares, "linearised")


def _attention_weights(model: Any, input_ids: Tensor) -> dict[tuple[str, int], Tensor]:
    advice = "name a part to linearise, such as part='model.layers.*.mixer'"
    if hasattr(model, "set_attn_implementation"):
        try:
            model.set_attn_implementation("eager")  # the others do not hand their weights out
        except (ValueError, NotImplementedError):
            raise InputError(f"the model's attention does not hand out its weights: {advice}") from None
    try:
        with torch.no_grad():
            weights = getattr(
                model(input_ids, output_attentions=True, **without_cache(model)), "attentions", None
            )
    except TypeError:
        weights = None
    if not weights or any(layer is None or layer.ndim != 4 for layer in weights):
        raise InputError(f"the model has no attention weights: {advice}")
    return {(f"layer {at}", head): w for at, layer in enumerate(weights) for head, w in enumerate(layer[0])}


def _linearised(function, entering: Tensor, name: str, channels: Sequence[int] | None):
    """Yield (channel, derivatives of its outputs by its inputs), an output at a time."""
    x = entering.detach().clone().requires_grad_()
    y = function(x)
    if x.ndim != 3 or y.shape != x.shape:
        raise InputError(
            f"{name} makes {tuple(y.shape)} of {tuple(x.shape)}: choose a part that keeps (1, n, width)"
        )
    _, n, width = x.shape
    chosen = np.linspace(0, width - 1, min(_CHANNELS, width)).round().astype(int)
    for channel in chosen if channels is None else channels:
        if not 0 <= channel < width:
            raise InputError(f"{name} has no channel {channel}: it has {width}")
        rows = [
            torch.autograd.grad(y[0, t, channel], x, retain_graph=True, allow_unused=True)[0]
            for t in range(n)
        ]
        yield (
            int(channel),
            torch.stack([x.new_zeros(n) if row is None else row[0, :, channel] for row in rows]),
        )


def _collected(squares: Mapping[tuple[str, int], Tensor], kind: str) -> MixingMatrices:
    matrices, largest = {}, 0.0
    for (layer, head), square in squares.items():
        values = square.numpy()
        whole = float(np.linalg.norm(values))
        ahead = float(np.linalg.norm(np.triu(values, 1))) / whole if whole else 0.0
        if not ahead <= _AHEAD:
            raise InputError(
                f"{layer}, {head}: {ahead:.2g} of its norm lies ahead of the diagonal: it is not causal"
            )
        largest = max(largest, ahead)
        matrices[layer, head] = CausalMatrix(np.tril(values))
    return MixingMatrices(matrices, kind, largest)
