"""One face for tensors, whether they lie in a file or in memory: names, shapes, values in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from toeplitz_theory.checkpoints.dtypes import can_widen
from toeplitz_theory.errors import InputError


@dataclass(frozen=True)
class TensorInfo:
    """Shape and dtype of a tensor, and why its values cannot be had (empty when they can)."""

    shape: tuple[int, ...]
    dtype: str
    unreadable: str = ""


class TensorStore(Protocol):
    """Where tensors come from."""

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        """Shape and dtype by tensor name."""

    def values(self, name: str) -> np.ndarray:
        """Return one tensor as float64, in its own shape."""


class MemoryStore:
    """Tensors of a state dict in memory: torch tensors on any device, numpy arrays, nested lists."""

    def __init__(self, tensors: Mapping[str, Any], source: str, max_bytes: int | None = None) -> None:
        self._tensors = tensors
        self.infos: dict[str, TensorInfo] = {}
        for name, tensor in tensors.items():
            if not isinstance(name, str):
                raise InputError(
                    f"{source}: a state dict maps tensor names to tensors, and {name!r} is not a name."
                )
            self.infos[name] = _describe(tensor, max_bytes)

    def values(self, name: str) -> np.ndarray:
        """Return one tensor as float64, in its own shape."""
        tensor = self._tensors[name]
        with np.errstate(invalid="ignore"):
            if _is_torch(tensor):
                return _torch_to_float64(tensor)
            return np.asarray(tensor).astype(np.float64)


def _is_torch(tensor: Any) -> bool:
    # by its methods, so that torch need not be imported to find out
    return hasattr(tensor, "detach") and hasattr(tensor, "element_size")


def _describe(tensor: Any, max_bytes: int | None) -> TensorInfo:
    if _is_torch(tensor):
        return _describe_torch(tensor, max_bytes)
    try:
        array = np.asarray(tensor)
    except ValueError:
        return TensorInfo((), type(tensor).__name__, "not a tensor but ragged nested lists")
    dtype = array.dtype.name
    if isinstance(tensor, (str, bytes)) or not (can_widen(dtype) or dtype.startswith("float8")):
        return TensorInfo(array.shape, dtype, f"dtype {dtype} holds no real numbers")
    return TensorInfo(array.shape, dtype)


def _describe_torch(tensor: Any, max_bytes: int | None) -> TensorInfo:
    shape, dtype = tuple(int(d) for d in tensor.shape), str(tensor.dtype).removeprefix("torch.")
    reason = ""
    if tensor.is_meta:
        reason = "the tensor is on the meta device, which holds no values: load the weights first"
    elif tensor.is_quantized:
        reason = "a quantised tensor: dequantise it before saving"
    elif str(tensor.layout) != "torch.strided":
        reason = f"a tensor of layout {tensor.layout}: save it dense"
    elif hasattr(tensor, "full_tensor"):
        reason = "a tensor sharded over processes: gather it before saving"
    elif not can_widen(dtype):
        reason = f"dtype {dtype} is not read"
    elif max_bytes is not None and tensor.numel() * tensor.element_size() > max_bytes:
        # strides of zero let a few stored bytes claim any number of elements
        reason = f"shape {shape} claims more bytes than the file holds"
    return TensorInfo(shape, dtype, reason)


def _torch_to_float64(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu().resolve_neg()
    if tensor.is_floating_point() and tensor.element_size() < 4:
        tensor = tensor.float()
    return tensor.numpy().astype(np.float64)
