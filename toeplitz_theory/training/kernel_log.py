"""Numbers of a model's kernels while it trains, cheap enough for every hundred steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from toeplitz_theory.checkpoints import ToeplitzLayer, load
from toeplitz_theory.errors import NumericalError, whole_number
from toeplitz_theory.names import printable
from toeplitz_theory.operators import Symbol
from toeplitz_theory.threads import one_thread

if TYPE_CHECKING:
    from toeplitz_theory.checkpoints.named_kernels import Naming

PREFIX = "toeplitz"


def log_kernels(
    model: Any,
    *,
    step: int | None = None,
    log: Callable[..., Any] | None = None,
    writer: Any = None,
    kernels: Naming | None = None,
    probe: str | Sequence[str] | None = None,
    inputs: Any = None,
    condition: bool = False,
    per_layer: int = 16,
) -> dict[str, float]:
    """Return medians over each layer's kernels, and hand them to a logger.

    Parameters
    ----------
    model : torch module, or anything else that `inspect` takes
        The model as it is now.
    step : int, optional
        The step, for the logger.
    log : callable, optional
        Called with the numbers, and with ``step=`` where one is given, as ``wandb.log`` is.
    writer : object, optional
        With ``add_scalar(name, value, step)``, as TensorBoard's ``SummaryWriter`` has it.
    kernels, probe, inputs
        As for `toeplitz_theory.inspect`: which tensors are kernels, or which modules are to be asked. The
        model is run for ``probe``, in evaluation mode and without gradients.
    condition : bool
        Whether to compute log10 of the condition number too, with proof: 10 ms a kernel of 512 taps instead
        of 3, some seconds at 65,536.
    per_layer : int
        Kernels of a layer that are looked at, evenly spaced among its heads or channels.

    Returns
    -------
    dict of str to float
        ``"toeplitz/LAYER/index_median"``, the same of ``delay_50`` and ``delay_90`` (tokens),
        ``jensen_deficit`` (nats per token), ``min_modulus`` and ``log10_condition``; and over all kernels
        looked at, without the layer. Index and least modulus are proved, deficit and delays estimated
        (`Symbol.quick_look`). Kernels without a number do not count towards its median; what is known of none
        is not there, and ``"toeplitz/LAYER/without_index"`` counts those whose index is not proved.

    Raises
    ------
    InputError
        The model holds no such kernels, or ``per_layer`` is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> kernels = {"blocks.0.mixer.weight": np.array([[1.0, -2.0, 0.0], [1.0, -4.0, 0.0]])}
    >>> numbers = log_kernels(kernels, step=100, log=lambda numbers, step: print(step, len(numbers)))
    100 12
    >>> numbers["toeplitz/blocks.0/index_median"], numbers["toeplitz/index_median"]
    (-1.0, -1.0)
    """
    refusal = f"per_layer = {per_layer!r}: give the number of kernels of a layer, 1 or more"
    whole_number(per_layer, 1, None, refusal)
    layers: dict[str, list[ToeplitzLayer]] = {}
    for kernel in load(model, kernels=kernels, probe=probe, inputs=inputs).layers:
        layers.setdefault(printable(kernel.layer), []).append(kernel)
    numbers: dict[str, float] = {}
    everything: list[dict[str, float]] = []
    with one_thread():
        for name, heads in layers.items():
            places = np.unique(np.linspace(0, len(heads) - 1, min(per_layer, len(heads))).round().astype(int))
            rows = [_numbers(heads[place].kernel, condition) for place in places]
            numbers |= _medians(f"{PREFIX}/{name}", rows)
            everything += rows
    numbers |= _medians(PREFIX, everything)
    if log is not None:
        log(numbers) if step is None else log(numbers, step=step)
    if writer is not None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)
    return numbers


def _numbers(kernel: np.ndarray, condition: bool) -> dict[str, float]:
    """What is known of one kernel; nothing of one that has become nan, inf or 0."""
    if not (kernel.size and np.isfinite(kernel).all() and kernel.any()):
        return {}
    symbol = Symbol(kernel)
    look = symbol.quick_look()
    known = {
        "index": look.index.value,
        "delay_50": look.recovery.delay(0.5),
        "delay_90": look.recovery.delay(0.9),
        "jensen_deficit": look.jensen_deficit.value,
        "min_modulus": look.min_modulus.lower,
    }
    if condition:
        with suppress(NumericalError):  # the training goes on, and this kernel counts towards no median of it
            known["log10_condition"] = symbol.section().log10_condition().value
    return {name: float(value) for name, value in known.items() if value is not None}


def _medians(prefix: str, rows: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    numbers = {}
    for name in names:
        numbers[f"{prefix}/{name}_median"] = median(row[name] for row in rows if name in row)
    return numbers | {f"{prefix}/without_index": float(sum("index" not in row for row in rows))}
