"""Products by real FFTs of twice the length, along time made the last axis: for accelerators.

As in the other ways: ``x`` is (B, t, H, c), ``w`` is (H, t), the arithmetic is done in ``dtype``, results
come in the dtype of their arguments.
"""

import torch
from scipy.fft import next_fast_len
from torch import Tensor


def multiply(x: Tensor, w: Tensor, dtype: torch.dtype, adjoint: bool = False) -> Tensor:
    """Return ``T(w) x``, or with ``adjoint`` ``T(w)^T x``."""
    size = _length(x.shape[1])
    return _from_spectrum(_spectrum(x, dtype, size) * _of_kernels(w, dtype, size, adjoint), size, x)


def gradients(g: Tensor, x: Tensor, w: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return ``T(w)^T g`` and the correlations of ``g`` with ``x``, with one transform of ``g``."""
    size = _length(g.shape[1])
    transformed = _spectrum(g, dtype, size)
    gw = _correlation(transformed, _spectrum(x, dtype, size), size, g.shape[1]).to(w.dtype)
    return _from_spectrum(transformed * _of_kernels(w, dtype, size, True), size, g), gw


def correlate(g: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return ``s[h, k] = sum g[b, i + k, h, c] x[b, i, h, c]``, of shape (H, t)."""
    size = _length(g.shape[1])
    return _correlation(_spectrum(g, dtype, size), _spectrum(x, dtype, size), size, g.shape[1])


def _length(t: int) -> int:
    return next_fast_len(2 * t - 1, real=True)


def _spectrum(x: Tensor, dtype: torch.dtype, size: int) -> Tensor:
    return torch.fft.rfft(x.to(dtype).permute(0, 2, 3, 1).contiguous(), n=size)


def _of_kernels(w: Tensor, dtype: torch.dtype, size: int, adjoint: bool) -> Tensor:
    spectrum = torch.fft.rfft(w.to(dtype), n=size)[:, None]
    return spectrum.conj() if adjoint else spectrum


def _from_spectrum(spectrum: Tensor, size: int, like: Tensor) -> Tensor:
    y = torch.fft.irfft(spectrum, n=size)[..., : like.shape[1]]
    return y.permute(0, 3, 1, 2).to(like.dtype)


def _correlation(g: Tensor, x: Tensor, size: int, t: int) -> Tensor:
    return torch.fft.irfft((g * x.conj()).sum((0, 2)), n=size)[:, :t]
