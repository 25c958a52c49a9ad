"""Singular values of the Jacobian of a block or a whole model at given inputs, without forming it.

What a perturbation of the stream at some positions does to the output: ``J v`` by forward-mode and ``J^T
u`` by reverse-mode differentiation, and Golub-Kahan bidiagonalisation with full reorthogonalisation between
them. Singular values of J restricted to the subspace so built bracket from one side only: the largest are
lower bounds of J's largest, the smallest is an upper bound of J's smallest, since nothing like an inverse
is at hand. Small Jacobians are formed and handed to LAPACK.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError

Floats = NDArray[np.float64]
_CHECK_EVERY = 10


@dataclass(frozen=True, repr=False)
class JacobianSpectrum(Displayed):
    """Extreme singular values of a Jacobian.

    Attributes
    ----------
    shape : tuple of int
        Outputs and inputs, all positions and channels together.
    largest, smallest : ndarray, shape (k,)
        Descending. With ``dense`` they are LAPACK's, right to about ``noise``. Otherwise Ritz values:
        ``largest`` lower bounds, in order, of the true ones, and ``smallest[-1]`` an upper bound of the
        smallest; the others of ``smallest`` are what the subspace sees.
    largest_residual, smallest_residual : ndarray, shape (k,)
        ``||J^T u - s v||``: some singular value lies within this of s. Nan with ``dense``.
    noise : float
        Absolute level of rounding: max(shape) times 2^-52 times the largest. Values below it are
        indistinguishable from 0.
    dense : bool
        Whether the Jacobian was formed.
    products : int
        Products with J and its transpose that were spent.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory.retention import jacobian_spectrum
    >>> scales = torch.tensor([3.0, 2.0, 0.5], dtype=torch.float64)
    >>> spectrum = jacobian_spectrum(lambda x: scales * x, torch.zeros(3))
    >>> spectrum.largest, spectrum.smallest, round(spectrum.log10_condition, 6)
    (array([3.]), array([0.5]), 0.778151)
    >>> print(spectrum)
    log10 condition 0.778151, estimate, dense; sigma 3 to 0.5
    """

    shape: tuple[int, int]
    largest: Floats
    smallest: Floats
    largest_residual: Floats
    smallest_residual: Floats
    noise: float
    dense: bool
    products: int

    @property
    def log10_condition(self) -> float:
        """Estimate of log10(largest / smallest); see `kind`."""
        if not self.smallest[-1] > self.noise:
            return math.log10(self.largest[0] / self.noise) if self.largest[0] > 0 else math.inf
        return math.log10(self.largest[0] / self.smallest[-1])

    @property
    def kind(self) -> str:
        """What ``log10_condition`` is.

        "estimate" or, where the smallest value is an upper bound or drowns in rounding, "lower bound".
        """
        return "estimate" if self.dense and self.smallest[-1] > self.noise else "lower bound"

    def __str__(self) -> str:
        how = "dense" if self.dense else f"{self.products} products"
        return (
            f"log10 condition {self.log10_condition:.6g}, {self.kind}, {how}; "
            f"sigma {self.largest[0]:.6g} to {self.smallest[-1]:.6g}"
        )


def jacobian_spectrum(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    k: int = 1,
    steps: int = 100,
    dense_up_to: int = 1024,
    tolerance: float = 1e-6,
) -> JacobianSpectrum:
    """Return the extreme singular values of the Jacobian of ``function`` at ``x``.

    Parameters
    ----------
    function : callable
        Tensor to tensor, differentiable, in float64 for float64 inputs. A module's parameters have to be
        float64 too: `model_jacobian` sees to that.
    x : Tensor, any shape
        The point; widened to float64.
    k : int
        How many of the largest and of the smallest.
    steps : int
        Most steps of the bidiagonalisation, two products and two vectors each.
    dense_up_to : int
        Jacobians with at most so many inputs or outputs are formed, one product for each.
    tolerance : float
        Residual, relative to the largest, at which the k largest count as converged.

    Returns
    -------
    JacobianSpectrum

    Raises
    ------
    InputError
        If k, steps or the tensors make no sense.

    Examples
    --------
    >>> import torch
    >>> taps = torch.tensor([1.0, -2.0], dtype=torch.float64)
    >>> def layer(x):  # a Toeplitz layer on four tokens
    ...     return taps[0] * x + taps[1] * torch.nn.functional.pad(x, (1, 0))[:-1]
    >>> round(jacobian_spectrum(layer, torch.zeros(4)).log10_condition, 5)
    1.47455
    """
    if k < 1 or steps < 2:
        raise InputError(f"k={k}, steps={steps}: ask for at least one value, and two steps")
    if x.numel() == 0 or not bool(torch.isfinite(x).all()):
        raise InputError("x is empty or not finite: pass the input at which to differentiate")
    products = _Products(function, x)
    rank = min(products.shape)
    if rank <= dense_up_to:
        return _dense(products, min(k, rank))
    return _bidiagonalise(products, min(k, rank), min(steps, rank), tolerance)


def model_jacobian(
    model: nn.Module,
    input_ids: Tensor,
    part: str | None = None,
    output: str | None = None,
    **options: Any,
) -> JacobianSpectrum:
    """Return the extreme singular values of the Jacobian of a model, or of a part of it, at given tokens.

    The model is copied to float64 and evaluated without dropout; the model itself is left as it is.

    Parameters
    ----------
    model : nn.Module
        A transformers model with input embeddings.
    input_ids : Tensor of int, shape (1, t)
        Tokens at which to differentiate.
    part : str, optional
        Name of a submodule, such as "model.mixer_blocks.0": from what enters it to what leaves it. By
        default the whole model, from the embedded tokens to ``output``.
    output : str, optional
        Field of the model's output; by default the last hidden state of the base model, or else "logits".
    **options
        As in `jacobian_spectrum`.

    Returns
    -------
    JacobianSpectrum

    Raises
    ------
    InputError
        If there is no such part or output, or it takes or gives no tensor of floats.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
    >>> from toeplitz_theory.retention import model_jacobian
    >>> _ = torch.manual_seed(0)
    >>> model = TMMForCausalLM(TMMConfig(vocab_size=50, hidden_size=16, max_position_embeddings=8))
    >>> spectrum = model_jacobian(model, torch.tensor([[1, 2, 3]]), part="model.mixer_blocks.0")
    >>> spectrum.shape, spectrum.dense, spectrum.kind
    ((48, 48), True, 'estimate')
    """
    twin = copy.deepcopy(model).double().eval()
    if part is not None:
        function, x = of_part(twin, input_ids, part)
    else:
        function, x = _of_model(twin, input_ids, output)
    return jacobian_spectrum(function, x, **options)


def of_part(model: nn.Module, input_ids: Tensor, name: str) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return a part of a model as a function of what enters it, and what enters it at these tokens."""
    try:
        module = model.get_submodule(name)
    except AttributeError:
        raise InputError(f"the model has no part {name!r}: see model.named_modules()") from None
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    handle = module.register_forward_pre_hook(
        lambda _, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    try:
        with torch.no_grad():
            model(input_ids, **without_cache(model))
    finally:
        handle.remove()
    args, keywords = calls[0] if calls else ((), {})
    named = next((key for key, value in keywords.items() if _is_floats(value)), None)
    if args and _is_floats(args[0]):
        return lambda entering: _first_tensor(module(entering, *args[1:], **keywords), name), args[0]
    if args or named is None:
        raise InputError(f"{name} is not called with a tensor of floats first: choose a block or a layer")
    return lambda entering: _first_tensor(module(**(keywords | {named: entering})), name), keywords[named]


def _of_model(
    model: nn.Module, input_ids: Tensor, output: str | None
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    embedding: nn.Module = model.get_input_embeddings()  # type: ignore[operator]
    with torch.no_grad():
        x = embedding(input_ids)
    base: Any = getattr(model, "base_model", model)
    whole: Any = base if output is None and base is not model else model
    field = output or ("last_hidden_state" if whole is base and base is not model else "logits")

    def function(embedded: Tensor) -> Tensor:
        handle = embedding.register_forward_hook(lambda *_: embedded)
        try:
            values = getattr(whole(input_ids, **without_cache(model)), field, None)
        finally:
            handle.remove()
        if not _is_floats(values):
            raise InputError(f"the model's output has no tensor {field!r}: name another as output")
        return values

    return function, x


def without_cache(model: nn.Module) -> dict[str, bool]:
    """Return the keywords by which a model keeps no cache."""
    return {"use_cache": False} if hasattr(getattr(model, "config", None), "use_cache") else {}


def _is_floats(value: Any) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.is_floating_point()


def _first_tensor(value: Any, name: str) -> Tensor:
    value = value[0] if isinstance(value, tuple) else value
    if not _is_floats(value):
        raise InputError(f"{name} does not return a tensor of floats: choose a block or a layer")
    return value


class _Products:
    """Products with J and its transpose as flat float64 vectors."""

    def __init__(self, function: Callable[[Tensor], Tensor], x: Tensor) -> None:
        self.function, self.x = function, x.detach().double()
        # Attention's fused kernels have no forward mode.
        self._math = [torch.nn.attention.SDPBackend.MATH]
        with torch.nn.attention.sdpa_kernel(self._math):
            y, self._pull = torch.func.vjp(function, self.x)[:2]
        if y.dtype != torch.float64:
            raise InputError(
                f"the function returns {y.dtype} for float64: convert its parameters by .double()"
            )
        self.output = y.shape
        self.shape = (y.numel(), self.x.numel())
        self.count = 0

    def forward(self, v: Floats) -> Floats:
        """Return J v."""
        self.count += 1
        tangent = torch.from_numpy(v).to(self.x).reshape(self.x.shape)
        with torch.nn.attention.sdpa_kernel(self._math):
            return self._flat(torch.func.jvp(self.function, (self.x,), (tangent,))[1])

    def adjoint(self, u: Floats) -> Floats:
        """Return J^T u."""
        self.count += 1
        return self._flat(self._pull(torch.from_numpy(u).to(self.x).reshape(self.output))[0])

    @staticmethod
    def _flat(y: Tensor) -> Floats:
        return y.detach().reshape(-1).cpu().numpy().astype(np.float64)


def _noise(shape: tuple[int, int], top: float) -> float:
    return max(shape) * 2.0**-52 * top


def _dense(products: _Products, k: int) -> JacobianSpectrum:
    rows, columns = products.shape
    # One product for each row or column, whichever are fewer.
    multiply = products.adjoint if rows <= columns else products.forward
    matrix = np.stack([multiply(unit) for unit in np.eye(min(rows, columns))])
    values = np.linalg.svd(matrix, compute_uv=False).astype(np.float64)
    unknown = np.full(k, np.nan)
    noise = _noise(products.shape, float(values[0]))
    return JacobianSpectrum(
        products.shape, values[:k], values[-k:], unknown, unknown, noise, True, products.count
    )


def _bidiagonalise(products: _Products, k: int, steps: int, tolerance: float) -> JacobianSpectrum:
    rows, columns = products.shape
    # From the shorter side: then an upper bound of the smallest value exists.
    tall = columns <= rows
    forward, adjoint = (products.forward, products.adjoint) if tall else (products.adjoint, products.forward)
    rng = np.random.default_rng(0)
    start = rng.standard_normal(min(rows, columns))
    right = np.zeros((steps + 1, start.size))
    left = np.zeros((steps, max(rows, columns)))
    band = np.zeros((steps, steps + 1))
    right[0] = start / np.linalg.norm(start)
    for step in range(steps):
        image = forward(right[step])
        band[:step, step], left[step], band[step, step] = _orthogonalise(image, left[:step])
        back = adjoint(left[step])
        done = step + 1
        band[step, :done], right[done], band[step, done] = _orthogonalise(back, right[:done])
        if band[step, done] == 0.0 and done < start.size:
            # An invariant subspace: whatever else there is shows itself to another start only.
            right[done] = _orthogonalise(rng.standard_normal(start.size), right[:done])[1]
        if done == steps or (done >= 2 * k and done % _CHECK_EVERY == 0):
            # J Q = P B with B = band[:, :-1], and J^T P = Q B^T + band[-1, -1] q e^T.
            small, values, _ = np.linalg.svd(band[:done, :done])
            residual = band[step, done] * np.abs(small[-1])
            if done == steps or residual[: min(k, done)].max() <= tolerance * values[0]:
                break
    k = min(k, done)
    return JacobianSpectrum(
        products.shape,
        values[:k],
        values[-k:],
        residual[:k],
        residual[-k:],
        _noise(products.shape, float(values[0])),
        False,
        products.count,
    )


def _orthogonalise(vector: Floats, basis: Floats) -> tuple[Floats, Floats, float]:
    """Return the coefficients in ``basis``, the rest's direction and its norm."""
    size = float(np.linalg.norm(vector))
    inner = np.zeros(len(basis))
    for _ in range(2):
        part = basis @ vector
        vector = vector - part @ basis
        inner += part
    rest = float(np.linalg.norm(vector))
    if rest <= 1e-14 * size or rest == 0.0:
        return inner, np.zeros_like(vector), 0.0
    return inner, vector / rest, rest
