"""Multiplication by causal Toeplitz matrices, with its own gradient.

``y[t] = sum_{k <= t} w[k] x[t - k]`` for every channel of a head. Both gradients are correlations:
``dL/dx[s] = sum_k w[k] g[s + k]`` and ``dL/dw[k] = sum_t g[t + k] x[t]`` summed over batch and channels.
Only ``x`` and ``w`` are kept for the backward pass: spectra (FFT) and matrices (dense) are made again,
which costs little and saves memory of twice the activations.
"""

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.autograd.function import once_differentiable

# Below this length the dense product won on the CPUs measured (benchmarks/mixing.py); above it the FFT.
DENSE_UP_TO = 512
PRODUCTS = ("auto", "fft", "dense")


def causal_toeplitz_product(x: Tensor, kernels: Tensor, method: str = "auto") -> Tensor:
    """Multiply each head's channels by its causal Toeplitz matrix.

    Parameters
    ----------
    x : Tensor, shape (B, t, H, c)
        Batch, time, heads, channels.
    kernels : Tensor, shape (H, n) with n >= t
        ``kernels[h, k]`` multiplies the input k steps back; taps from t on are not used.
    method : {"auto", "fft", "dense"}
        ``"auto"`` takes the dense product up to a measured length, the FFT above it.

    Returns
    -------
    Tensor, shape (B, t, H, c), in the dtype of ``x``
        Half precisions are widened to float32 inside.

    Raises
    ------
    ValueError
        When the shapes do not fit or the method is unknown.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory.tmm import causal_toeplitz_product
    >>> x = torch.tensor([1.0, 0.0, 2.0]).reshape(1, 3, 1, 1)
    >>> causal_toeplitz_product(x, torch.tensor([[1.0, 0.5, 0.25]])).flatten()
    tensor([1.0000, 0.5000, 2.2500])
    """
    if x.ndim != 4 or kernels.ndim != 2 or kernels.shape[0] != x.shape[2] or kernels.shape[1] < x.shape[1]:
        raise ValueError(
            f"x of shape {tuple(x.shape)} needs kernels of shape ({x.shape[2] if x.ndim == 4 else 'H'}, "
            f">= {x.shape[1] if x.ndim == 4 else 't'}), not {tuple(kernels.shape)}"
        )
    if method not in PRODUCTS:
        raise ValueError(f"method={method!r} is not one of {', '.join(PRODUCTS)}")
    if method == "auto":
        method = "dense" if x.shape[1] <= DENSE_UP_TO else "fft"
    w = kernels[:, : x.shape[1]]
    with torch.autocast(device_type=x.device.type, enabled=False):
        wide = torch.promote_types(torch.promote_types(x.dtype, w.dtype), torch.float32)
        y = _CausalToeplitzProduct.apply(x.to(wide), w.to(wide), method)
    return y.to(x.dtype)


class _CausalToeplitzProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, method):
        ctx.save_for_backward(x, w)
        ctx.method = method
        return _MULTIPLY[method](x, w)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        needs_x, needs_w, _ = ctx.needs_input_grad
        gx, gw = _BACKWARD[ctx.method](g, x, w, needs_x, needs_w)
        return gx, gw, None


def toeplitz_matrices(w: Tensor) -> Tensor:
    """Return the (H, t, t) lower-triangular Toeplitz matrices of kernels (H, t)."""
    heads, t = w.shape
    padded = torch.cat([w.new_zeros(heads, t - 1), w], dim=1)
    # Row i of the unfolded view holds w[i - t + 1 .. i]; reversed in time it is row i of the matrix.
    return padded.unfold(1, t, 1).flip(-1)


def _head_columns(x: Tensor) -> Tensor:
    """Return (H, t, B c): one matrix per head, so that each head is a single product."""
    return x.permute(2, 1, 0, 3).flatten(2)


def _from_head_columns(y: Tensor, batch: int) -> Tensor:
    return y.unflatten(2, (batch, -1)).permute(2, 1, 0, 3)


def _dense_multiply(x, w):
    return _from_head_columns(torch.bmm(toeplitz_matrices(w), _head_columns(x)), x.shape[0])


def _dense_backward(g, x, w, needs_x, needs_w):
    g_columns = _head_columns(g)
    gx = gw = None
    if needs_x:
        gx = _from_head_columns(torch.bmm(toeplitz_matrices(w).transpose(1, 2), g_columns), x.shape[0])
    if needs_w:
        gw = _sum_diagonals(torch.bmm(g_columns, _head_columns(x).transpose(1, 2)))
    return gx, gw


def _sum_diagonals(outer: Tensor) -> Tensor:
    """Return ``s[h, k] = sum_i outer[h, i + k, i]`` of (H, t, t)."""
    heads, t, _ = outer.shape
    flat = torch.nn.functional.pad(outer.transpose(1, 2), (0, t)).reshape(heads, 2 * t * t)
    # Row i of the padded (t, 2t) array starts at 2t i; read from (2t + 1) i on, (i, i + k) is in column k.
    return torch.as_strided(flat, (heads, t, t), (2 * t * t, 2 * t + 1, 1)).sum(1)


def _fft_length(t: int) -> int:
    return next_fast_len(2 * t - 1, real=True)


def _time_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()


def _fft_multiply(x, w):
    t = x.shape[1]
    size = _fft_length(t)
    spectrum = torch.fft.rfft(_time_last(x), n=size) * torch.fft.rfft(w, n=size)[:, None]
    return torch.fft.irfft(spectrum, n=size)[..., :t].permute(0, 3, 1, 2)


def _fft_backward(g, x, w, needs_x, needs_w):
    t = x.shape[1]
    size = _fft_length(t)
    g_spectrum = torch.fft.rfft(_time_last(g), n=size)
    gx = gw = None
    if needs_x:
        product = g_spectrum * torch.fft.rfft(w, n=size)[:, None].conj()
        gx = torch.fft.irfft(product, n=size)[..., :t].permute(0, 3, 1, 2)
    if needs_w:
        cross = (g_spectrum * torch.fft.rfft(_time_last(x), n=size).conj()).sum((0, 2))
        gw = torch.fft.irfft(cross, n=size)[:, :t]
    return gx, gw


_MULTIPLY = {"dense": _dense_multiply, "fft": _fft_multiply}
_BACKWARD = {"dense": _dense_backward, "fft": _fft_backward}
