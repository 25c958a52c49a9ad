"""Products by real FFTs of twice the length, along time made the last axis: for accelerators.

As in the other ways: ``x`` is (B, t, H c), the channels of one head after those of another, ``w`` is (H, t),
the arithmetic is done in ``dtype``, results come in the dtype of their arguments.
"""

import torch
from scipy.fft import next_fast_len
from torch import Tensor


def multiply(x: Tensor, w: Tensor, dtype: torch.dtype, adjoint: bool = False) -> Tensor:
    """Return ``T(w) x``, or with ``adjoint`` ``T(w)^T x``."""
    size = _length(x.shape[1])
    spectrum = _spectrum(x, len(w), dtype, size) * _of_kernels(w, dtype, size, adjoint)
    return _from_spectrum(spectrum, size, x)


def gradients(g: Tensor, x: Tensor, w: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return ``T(w)^T g`` and the correlations of ``g`` with ``x``, with one transform of ``g``."""
    size = _length(g.shape[1])
    transformed = _spectrum(g, len(w), dtype, size)
    gw = _correlation(transformed, _spectrum(x, len(w), dtype, size), size, g.shape[1]).to(w.dtype)
    return _from_spectrum(transformed * _of_kernels(w, dtype, size, True), size, g), gw


def correlate(g: Tensor, x: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    """Return ``s[h, k]``, the sum of ``g[b, i + k, c] x[b, i, c]`` over the channels of head h: (H, t)."""
    size = _length(g.shape[1])
    of_g, of_x = (_spectrum(part, heads, dtype, size) for part in (g, x))
    return _correlation(of_g, of_x, size, g.shape[1])


def _length(t: int) -> int:
    return next_fast_len(2 * t - 1, real=True)


def _spectrum(x: Tensor, heads: int, dtype: torch.dtype, size: int) -> Tensor:
    along_time = x.to(dtype).transpose(1, 2).contiguous()
    return torch.fft.rfft(along_time.unflatten(1, (heads, -1)), n=size)


def _of_kernels(w: Tensor, dtype: torch.dtype, size: int, adjoint: bool) -> Tensor:
    spectrum = torch.fft.rfft(w.to(dtype), n=size)[:, None]
    return spectrum.conj() if adjoint else spectrum


def _from_spectrum(spectrum: Tensor, size: int, like: Tensor) -> Tensor:
    y = torch.fft.irfft(spectrum, n=size)[..., : like.shape[1]]
    return y.flatten(1, 2).transpose(1, 2).to(like.dtype)


def _correlation(g: Tensor, x: Tensor, size: int, t: int) -> Tensor:
    return torch.fft.irfft((g * x.conj()).sum((0, 2)), n=size)[:, :t]
