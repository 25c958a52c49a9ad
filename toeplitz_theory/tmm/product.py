"""Multiplication by causal Toeplitz matrices, with its own gradient.

``y[t] = sum_{k <= t} w[k] x[t - k]`` for every channel of a head. The ways to compute it are in `products`.
"""

import torch
from torch import Tensor

from toeplitz_theory.tmm.products import chosen_method
from toeplitz_theory.tmm.products.autograd import Product, add_bias, product_op


def causal_toeplitz_product(x: Tensor, kernels: Tensor, method: str = "auto") -> Tensor:
    """Multiply each head's channels by its causal Toeplitz matrix.

    Differentiable any number of times, in both modes, under `torch.func` and `torch.compile` (there once, in
    reverse). Only ``x`` and ``kernels`` are kept for the backward pass.

    Parameters
    ----------
    x : Tensor, shape (B, t, H, c)
        Batch, time, heads, channels.
    kernels : Tensor, shape (H, n) with n >= t
        ``kernels[h, k]`` multiplies the input k steps back; taps from t on are not used.
    method : {"auto", "fft", "dense", "blocked"}
        ``"auto"`` takes what was fastest on this machine for such shapes: measured on first use and kept in
        the cache folder (on accelerators: the FFT). The environment variable TOEPLITZ_THEORY_PRODUCT decides
        instead when it names a method, or ``table`` for a fixed choice by length.

    Returns
    -------
    Tensor, shape (B, t, H, c), in the dtype of ``x``
        Half precisions are widened to float32 inside.

    Raises
    ------
    ValueError
        When the shapes do not fit, the numbers are not real floating-point ones, or the method is unknown.

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
    if not (x.is_floating_point() and kernels.is_floating_point()):
        raise ValueError(
            f"x and kernels must be real floating-point numbers, not {x.dtype} and {kernels.dtype}"
        )
    return product_plus(x.flatten(2), kernels[:, : x.shape[1]], None, method).view(x.shape)


def product_plus(x: Tensor, w: Tensor, bias: Tensor | None, method: str) -> Tensor:
    """Return the product of ``x`` (B, t, H c) with kernels (H, t) plus a bias, whose shapes are known to fit.

    The bias is (t, H), or (t,) for one head, or None.
    """
    if torch.compiler.is_compiling():
        y = product_op(x, w, method, False)
        return y if bias is None else add_bias(y, bias)
    return Product.apply(x, w, bias, chosen_method(method, x, w), False)
