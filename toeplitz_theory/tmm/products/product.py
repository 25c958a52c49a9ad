"""Products by causal Toeplitz matrices, differentiable by autograd, `torch.func` and `torch.compile`.

``y[t] = sum_{k <= t} w[k] x[t - k]`` for every channel of a head. Three bilinear maps are closed under taking
derivatives: the product ``T(w) x``, its transpose ``T(w)^T g``, and the correlation of g with x, which is the
gradient of the first in w. `Gradients` computes the last two together, since they share a transform. All take
the channels of the heads side by side, (B, t, H c), as a network has them: every view of theirs would be a
node of the graph, and time in both directions. Only arguments are kept for the backward pass: transforms and
matrices are made again, which costs little and saves memory of twice the activations.
"""

import inspect
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.forward_ad import unpack_dual

from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm.products.table import WAYS, chosen_way, inner_dtype


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
        ``"auto"`` goes by a fixed table of device, length and channels; the result is the same to rounding.

    Returns
    -------
    Tensor, shape (B, t, H, c), in the dtype of ``x``
        Half precisions are widened to float32 inside.

    Raises
    ------
    InputError
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
        raise InputError(
            f"x of shape {tuple(x.shape)} needs kernels of shape ({x.shape[2] if x.ndim == 4 else 'H'}, "
            f">= {x.shape[1] if x.ndim == 4 else 't'}), not {tuple(kernels.shape)}"
        )
    if not (x.is_floating_point() and kernels.is_floating_point()):
        raise InputError(
            f"x and kernels must be real floating-point numbers, not {x.dtype} and {kernels.dtype}"
        )
    return product_plus(x.flatten(2), kernels[:, : x.shape[1]], None, method).view(x.shape)


def product_plus(x: Tensor, w: Tensor, bias: Tensor | None, method: str) -> Tensor:
    """Return the product of ``x`` (B, t, H c) with kernels (H, t) plus a bias, whose shapes are known to fit.

    The bias is (t, H), or (t,) for one head, or None.
    """
    if torch.compiler.is_compiling():
        y = product_op(x, w, method)
        return y if bias is None else add_bias(y, bias)
    return Product.apply(x, w, bias, chosen_way(method, x, w), False)


class Product(Function):
    """``T(w) x + bias``, or with ``adjoint`` ``T(w)^T x + bias``, for x (B, t, H c), w (H, t), bias (t, H).

    With the bias, which may be None, and (t,) for one head, the product is one node of the graph.
    """

    @staticmethod
    def forward(x, w, bias, method, adjoint):
        return multiply(x, w, method, adjoint, bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, w, bias, ctx.method, ctx.adjoint = inputs
        ctx.bias = None if bias is None else (bias.shape, bias.dtype)
        ctx.save_for_backward(x, w)
        ctx.save_for_forward(x, w)

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        needs_x, needs_w, needs_bias = ctx.needs_input_grad[:3]
        gx = gw = None
        if needs_x and needs_w and not ctx.adjoint:
            # Where nobody asks for a derivative of the gradient, one more node is time lost.
            both = gradients if _constant(g, x, w) else Gradients.apply
            gx, gw = both(g, x, w, ctx.method)
        else:
            if needs_x:
                gx = Product.apply(g, w, None, ctx.method, not ctx.adjoint)
            if needs_w:
                gw = Correlation.apply(*((x, g) if ctx.adjoint else (g, x)), len(w), ctx.method).to(w.dtype)
        return gx, gw, _sum_channels(g, len(w), *ctx.bias) if needs_bias else None, None, None

    @staticmethod
    def jvp(ctx, x_tangent, w_tangent, bias_tangent, *_):
        x, w = ctx.saved_tensors
        of_x = None if x_tangent is None else Product.apply(x_tangent, w, None, ctx.method, ctx.adjoint)
        of_w = None if w_tangent is None else Product.apply(x, w_tangent, None, ctx.method, ctx.adjoint)
        if bias_tangent is not None:
            bias_tangent = add_bias(torch.zeros_like(x), bias_tangent.to(x.dtype))
        return _sum(_sum(of_x, of_w), bias_tangent)

    @staticmethod
    def vmap(info, in_dims, x, w, bias, method, adjoint):
        x_dim, w_dim, bias_dim, *_ = in_dims
        if w_dim is None and bias_dim is None:  # one kernel for all: as more samples
            y = Product.apply(x.movedim(x_dim, 0).flatten(0, 1), w, bias, method, adjoint)
            return y.unflatten(0, (info.batch_size, -1)), 0
        if bias is not None:
            bias = _bias_as_heads(bias, bias_dim, info)
        y = Product.apply(_as_heads(x, x_dim, 2, info), _as_heads(w, w_dim, 0, info), bias, method, adjoint)
        return y.unflatten(2, (info.batch_size, -1)), 2


class Correlation(Function):
    """``s[h, k]``, the sum of ``g[b, i + k, c] x[b, i, c]`` over the channels of head h, of shape (H, t)."""

    @staticmethod
    def forward(g, x, heads, method):
        return correlate(g, x, heads, method)

    @staticmethod
    def setup_context(ctx, inputs, output):
        g, x, ctx.heads, ctx.method = inputs
        ctx.save_for_backward(g, x)
        ctx.save_for_forward(g, x)

    @staticmethod
    def backward(ctx, v):
        g, x = ctx.saved_tensors
        needs_g, needs_x = ctx.needs_input_grad[:2]
        return (
            Product.apply(x, v, None, ctx.method, False) if needs_g else None,
            Product.apply(g, v, None, ctx.method, True) if needs_x else None,
            None,
            None,
        )

    @staticmethod
    def jvp(ctx, g_tangent, x_tangent, *_):
        g, x = ctx.saved_tensors
        return _sum(
            None if g_tangent is None else Correlation.apply(g_tangent, x, ctx.heads, ctx.method),
            None if x_tangent is None else Correlation.apply(g, x_tangent, ctx.heads, ctx.method),
        )

    @staticmethod
    def vmap(info, in_dims, g, x, heads, method):
        g, x = (_as_heads(part, dim, 2, info) for part, dim in zip((g, x), in_dims[:2], strict=True))
        s = Correlation.apply(g, x, info.batch_size * heads, method)
        return s.unflatten(0, (info.batch_size, -1)), 0


class Gradients(Function):
    """Both gradients of the product in one go: ``T(w)^T g`` and the correlation of g with x."""

    @staticmethod
    def forward(g, x, w, method):
        return gradients(g, x, w, method)

    @staticmethod
    def setup_context(ctx, inputs, output):
        g, x, w, ctx.method = inputs
        ctx.save_for_backward(g, x, w)
        ctx.save_for_forward(g, x, w)

    @staticmethod
    def backward(ctx, v, u):
        g, x, w = ctx.saved_tensors
        by_g = Product.apply(v, w, None, ctx.method, False) + Product.apply(x, u, None, ctx.method, False)
        return by_g, *Gradients.apply(g, v, u, ctx.method), None

    @staticmethod
    def jvp(ctx, g_tangent, x_tangent, w_tangent, *_):
        g, x, w = ctx.saved_tensors
        zero_g, zero_x, zero_w = (
            torch.zeros_like(part) if tangent is None else tangent
            for tangent, part in ((g_tangent, g), (x_tangent, x), (w_tangent, w))
        )
        first = Gradients.apply(zero_g, x, w, ctx.method)
        second = Gradients.apply(g, zero_x, zero_w, ctx.method)
        return first[0] + second[0], first[1] + second[1]

    @staticmethod
    def vmap(info, in_dims, g, x, w, method):
        g, x = (_as_heads(part, dim, 2, info) for part, dim in zip((g, x), in_dims[:2], strict=True))
        gx, gw = Gradients.apply(g, x, _as_heads(w, in_dims[2], 0, info), method)
        size = (info.batch_size, -1)
        return (gx.unflatten(2, size), gw.unflatten(0, size)), (2, 0)


class _Bound:
    """Arguments as torch reads them after binding: all given, all by position."""

    kwargs: ClassVar[dict] = {}

    def __init__(self, args: tuple):
        self.args = args

    def apply_defaults(self) -> None:
        """Do nothing: no argument was left out."""


class _ByPosition(inspect.Signature):
    """The signature of a function that is always called with all of its arguments, by position."""

    def bind(self, /, *args, **_) -> Any:
        """Return the arguments as they are."""
        return _Bound(args)


for _function in (Product, Correlation, Gradients):
    # torch binds the arguments of every call to the signature, which takes longer than a small product.
    _parameters = inspect.signature(_function.forward).parameters.values()
    setattr(_function.forward, "__signature__", _ByPosition(list(_parameters)))  # noqa: B010


def multiply(x: Tensor, w: Tensor, method: str, adjoint: bool, bias: Tensor | None = None) -> Tensor:
    """Compute ``T(w) x`` or ``T(w)^T x``, and add a bias, without a gradient."""
    if x.numel() == 0:
        return torch.empty_like(x)
    with _no_autocast(x):
        y = _own(WAYS[method].multiply(x, w, inner_dtype(x.dtype, w.dtype), adjoint))
    if bias is not None:
        y.unflatten(2, (len(w), -1)).add_(bias.reshape(len(bias), -1, 1))
    return y


def correlate(g: Tensor, x: Tensor, heads: int, method: str) -> Tensor:
    """Compute the correlation without a gradient."""
    dtype = inner_dtype(g.dtype, x.dtype)
    if x.numel() == 0:
        return torch.zeros(heads, x.shape[1], dtype=dtype, device=x.device)
    with _no_autocast(x):
        return _own(WAYS[method].correlate(g, x, heads, dtype))


def gradients(g: Tensor, x: Tensor, w: Tensor, method: str) -> tuple[Tensor, Tensor]:
    """Compute both gradients without a gradient."""
    if x.numel() == 0:
        return torch.empty_like(x), torch.zeros_like(w)
    with _no_autocast(x):
        gx, gw = WAYS[method].gradients(g, x, w, inner_dtype(x.dtype, w.dtype))
    return _own(gx), _own(gw)


def add_bias(y: Tensor, bias: Tensor) -> Tensor:
    """Return ``y`` (B, t, H c) and a bias (t, H), (B, t, H) or for one head (t,) added to every channel."""
    if bias.ndim == 1:
        bias = bias[:, None]
    if bias.shape[-1] == 1:
        return y + bias
    return (y.unflatten(2, (bias.shape[-1], -1)) + bias[..., None]).flatten(2)


def _sum_channels(g: Tensor, heads: int, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Return the gradient of a bias: the sum of ``g`` (B, t, H c) over samples and the channels of a head."""
    return g.sum(0, dtype=dtype).unflatten(1, (heads, -1)).sum(2).reshape(shape)


def _constant(*tensors: Tensor) -> bool:
    """Say whether no derivative is taken here: `torch.func` takes its own with gradients enabled."""
    return not torch.is_grad_enabled() and all(unpack_dual(part).tangent is None for part in tensors)


def _own(result: Tensor) -> Tensor:
    """Return the result as no view of anything: forward-mode derivatives refuse views."""
    return result if result._base is None else result.clone(memory_format=torch.contiguous_format)


def _no_autocast(x: Tensor):
    # Entering autocast to switch it off costs as much as a small product.
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return first if second is None else second
    return first + second


def _as_heads(part: Tensor, dim: int | None, heads: int, info) -> Tensor:
    """Join the dimension that `vmap` adds to that of the heads."""
    if dim is None:
        part = part.unsqueeze(heads).expand(*part.shape[:heads], info.batch_size, *part.shape[heads:])
    else:
        part = part.movedim(dim, heads)
    return part.flatten(heads, heads + 1)


def _bias_as_heads(bias: Tensor, dim: int | None, info) -> Tensor:
    """Return (t, V H) of a bias (t, H) or (t,) for each of V, or one for all."""
    if dim is not None:
        return bias.movedim(dim, 1).flatten(1)
    return bias.reshape(len(bias), 1, -1).expand(-1, info.batch_size, -1).flatten(1)


@torch.library.custom_op("toeplitz_theory::product", mutates_args=())
def product_op(x: Tensor, w: Tensor, method: str) -> Tensor:
    """``T(w) x`` as one node of a compiled graph."""
    return multiply(x, w, chosen_way(method, x, w), False).contiguous()


@torch.library.custom_op("toeplitz_theory::gradients", mutates_args=())
def gradients_op(g: Tensor, x: Tensor, w: Tensor, method: str) -> tuple[Tensor, Tensor]:
    """`Gradients` as one node of a compiled graph."""
    gx, gw = gradients(g, x, w, chosen_way(method, x, w))
    return gx.contiguous(), gw.contiguous()


@product_op.register_fake
def _(x, w, method):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@gradients_op.register_fake
def _(g, x, w, method):
    form = torch.contiguous_format
    return torch.empty_like(g, memory_format=form), torch.empty_like(w, memory_format=form)


def _keep(ctx, inputs, output):
    x, w, ctx.method = inputs
    ctx.save_for_backward(x, w)


def _of_product(ctx, g):
    return *gradients_op(g, *ctx.saved_tensors, ctx.method), None


product_op.register_autograd(_of_product, setup_context=_keep)
