"""One face for tensors, whether they lie in a file or in memory: names, shapes, values in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from toeplitz_theory.checkpoints.dtypes import can_widen, is_complex
from toeplitz_theory.errors import InputError
from toeplitz_theory.names import shown


@dataclass(frozen=True)
class TensorInfo:
    """Shape and dtype of a tensor, and why its values cannot be had (empty when they can).

    Complex numbers are `unreadable` to the layouts, which hold real kernels, but can be had (`complex`).
    """

    shape: tuple[int, ...]
    dtype: str
    unreadable: str = ""
    complex: bool = False

    @property
    def why_no_values(self) -> str:
        """Why there are no values, real or complex; or nothing."""
        return "" if self.complex else self.unreadable


class TensorStore(Protocol):
    """Where tensors come from."""

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        """Shape and dtype by tensor name."""
        ...

    def values(self, name: str) -> np.ndarray:
        """Return one tensor as float64, in its own shape; as complex128 where it is complex."""
        ...


class MemoryStore:
    """Tensors of a state dict in memory: torch tensors on any device, numpy arrays, nested lists."""

    def __init__(self, tensors: Mapping[str, Any], source: str, max_bytes: int | None = None) -> None:
        self._tensors = tensors
        self.infos: dict[str, TensorInfo] = {}
        for name, tensor in tensors.items():
            if not isinstance(name, str):
                raise InputError(
                    f"{source}: a state dict maps names to tensors, and {shown(repr(name))} is not a name."
                )
            self.infos[name] = _describe(tensor, max_bytes)

    def values(self, name: str) -> np.ndarray:
        """Return one tensor as float64, in its own shape."""
        tensor = self._tensors[name]
        with np.errstate(invalid="ignore"):
            if is_torch(tensor):
                return _widened(tensor)
            array = np.asarray(tensor)
            return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def is_torch(value: Any) -> bool:
    """Whether a value is a tensor of torch, by its methods: torch need not be imported to find out."""
    return hasattr(value, "detach") and hasattr(value, "element_size")


def _describe(tensor: Any, max_bytes: int | None) -> TensorInfo:
    if is_torch(tensor):
        reason = _why_no_values(tensor)
        if reason:
            return TensorInfo((), str(tensor.dtype).removeprefix("torch."), reason)
        return _describe_torch(tensor, max_bytes)
    kind = type(tensor).__name__
    if isinstance(tensor, np.ma.MaskedArray):
        return TensorInfo(tensor.shape, str(tensor.dtype), "a masked array: fill it first")
    try:
        array = np.asarray(tensor)
    except Exception as wrong:  # the conversion of a foreign object raises anything
        return TensorInfo((), kind, f"not a tensor but a {kind} ({shown(wrong, 60)})")
    dtype = array.dtype.name
    if isinstance(tensor, (str, bytes)) or not (can_widen(dtype) or dtype.startswith("float8")):
        return TensorInfo(array.shape, dtype, f"dtype {dtype} holds no real numbers", is_complex(dtype))
    return TensorInfo(array.shape, dtype)


# Classes of tensors that hold their values plainly; others (fake, sharded, packed) may not.
_PLAIN = {"torch.Tensor", "torch.nn.parameter.Parameter"}


def _why_no_values(tensor: Any) -> str:
    """Why a tensor's values cannot be had, asking nothing that only plain tensors answer; or nothing."""
    cls = type(tensor)
    name = f"{cls.__module__}.{cls.__qualname__}"
    if hasattr(tensor, "full_tensor") or hasattr(tensor, "local_shards"):
        return "a tensor sharded over processes: gather it before saving"
    if hasattr(tensor, "ds_id"):
        return "a tensor partitioned by DeepSpeed ZeRO-3: gather it (deepspeed.zero.GatheredParameters)"
    if "Uninitialized" in name:
        return "a parameter without values yet: run the module once"
    if tensor.is_nested:
        return "a nested tensor, of rows of several lengths: save one tensor for each"
    if tensor.is_meta:
        return "the tensor is on the meta device, which holds no values: load the weights first"
    if tensor.is_quantized:
        return "a quantised tensor: dequantise it before saving"
    if name not in _PLAIN:
        return f"a tensor of class {shown(name)}, not a plain one: convert it (dequantise, gather) first"
    if str(tensor.layout) != "torch.strided":
        return f"a tensor of layout {tensor.layout}: save it dense"
    return ""


def _describe_torch(tensor: Any, max_bytes: int | None) -> TensorInfo:
    shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
    if max_bytes is not None and tensor.numel() * tensor.element_size() > max_bytes:
        # strides of zero let a few stored bytes claim any number of elements
        return TensorInfo(shape, dtype, f"shape {shape} claims more bytes than the file holds")
    return TensorInfo(
        shape, dtype, "" if can_widen(dtype) else f"dtype {dtype} is not read", is_complex(dtype)
    )


def _widened(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu().resolve_neg().resolve_conj()
    if tensor.is_floating_point() and tensor.element_size() < 4:
        tensor = tensor.float()
    return tensor.numpy().astype(np.complex128 if tensor.is_complex() else np.float64)
