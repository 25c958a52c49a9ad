"""The Jensen deficit as a training penalty: differentiable, on the model's device."""

from __future__ import annotations

import torch
from torch import Tensor


def jensen_deficit(kernels: Tensor, oversample: int = 8) -> Tensor:
    """Return J = mean log|a| - log|w[0]| of each kernel, in nats per token, differentiable in the taps.

    J >= 0, and 0 exactly when a has no zero inside the unit circle, so that pushing J down pushes the layer
    towards one with a causal inverse (Jensen's formula). The mean is taken over ``oversample * n`` points or
    more: an estimate, off by ``(1 / N) sum_j log|1 - q_j|`` with ``q_j = z_j^N`` for zeros inside and
    ``z_j^-N`` outside, which only zeros within about 1/N of the circle contribute to; for random kernels that
    is some 1e-3 at 8 points a tap. `toeplitz_theory.Symbol.jensen_deficit` has the proved value.

    Parameters
    ----------
    kernels : Tensor, shape (..., n)
        Real taps. Half precision is computed in float32.
    oversample : int
        Points on the circle per tap.

    Returns
    -------
    Tensor, shape (...)
        float32 or float64; inf where ``w[0] = 0``.

    Raises
    ------
    ValueError
        If the kernels are complex or have no taps, or ``oversample`` is less than 2.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory.tmm import jensen_deficit
    >>> [round(x, 5) for x in jensen_deficit(torch.tensor([[1.0, -2.0], [1.0, -0.5]])).tolist()]
    [0.69315, 0.0]
    """
    if kernels.is_complex() or kernels.ndim == 0 or kernels.shape[-1] == 0:
        raise ValueError(f"kernels must be real with taps along the last axis, not {tuple(kernels.shape)}")
    if oversample < 2:
        raise ValueError(f"oversample must be at least 2, not {oversample}")
    taps = kernels if kernels.dtype == torch.float64 else kernels.float()
    n = taps.shape[-1]
    points = max(32, 1 << (oversample * n - 1).bit_length())
    with torch.autocast(taps.device.type, enabled=False):
        # Scaled to unit peak: squares would leave float32's range for tiny taps. J does not see the scale.
        taps = taps / taps.detach().abs().amax(-1, keepdim=True).clamp_min(torch.finfo(taps.dtype).tiny)
        values = torch.fft.rfft(taps, points)
        square = values.real.square() + values.imag.square()
        # A zero of a on a node counts as the rounding of the transform, not as -inf with a gradient of nan.
        floor = (8 * torch.finfo(taps.dtype).eps) ** 2
        logs = 0.5 * torch.log(square + floor)
        # The half spectrum: all but the first and the last node stand for two.
        mean = (2 * logs.sum(-1) - logs[..., 0] - logs[..., -1]) / points
        return mean - torch.log(taps[..., 0].abs())
