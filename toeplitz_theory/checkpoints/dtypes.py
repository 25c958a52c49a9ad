"""Stored numbers of every width, taken to float64 without changing a value."""

from __future__ import annotations

import ml_dtypes
import numpy as np

# The name in a safetensors header -> (bits per element, the name torch and numpy use).
DTYPES: dict[str, tuple[int, str]] = {
    "BOOL": (8, "bool"),
    "U8": (8, "uint8"),
    "I8": (8, "int8"),
    "U16": (16, "uint16"),
    "I16": (16, "int16"),
    "U32": (32, "uint32"),
    "I32": (32, "int32"),
    "U64": (64, "uint64"),
    "I64": (64, "int64"),
    "F4": (4, "float4_e2m1fn_x2"),
    "F6_E2M3": (6, "float6_e2m3"),
    "F6_E3M2": (6, "float6_e3m2"),
    "F8_E4M3": (8, "float8_e4m3fn"),
    "F8_E5M2": (8, "float8_e5m2"),
    "F8_E4M3FNUZ": (8, "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": (8, "float8_e5m2fnuz"),
    "F8_E8M0": (8, "float8_e8m0fnu"),
    "F16": (16, "float16"),
    "BF16": (16, "bfloat16"),
    "F32": (32, "float32"),
    "F64": (64, "float64"),
    "C64": (64, "complex64"),
}

_REAL = (
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "bfloat16", "float32", "float64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"),
)
_COMPLEX = ("complex64", "complex128")


def can_widen(dtype: str) -> bool:
    """Whether `decode` knows `dtype`."""
    return dtype in _REAL


def is_complex(dtype: str) -> bool:
    """Whether `decode` widens numbers of this type to complex128."""
    return dtype in _COMPLEX


def is_rounded(values: np.ndarray, dtype: str) -> bool:
    """Whether values stored as `dtype` may be others in float64: integers of 2**53 and more."""
    return dtype in ("int64", "uint64") and bool(np.any(np.abs(values) >= 2.0**53))


def is_scaled(dtype: str) -> bool:
    """Whether numbers of this type are as a rule multiplied by a scale that is kept elsewhere."""
    return dtype in ("bool", "int8", "uint8") or dtype.startswith("float8")


def decode(raw: bytes, dtype: str) -> np.ndarray:
    """Decode little-endian stored values to a flat array of float64, or complex128 where they are complex.

    Every value is exact, but for 64-bit integers beyond 2**53, which float64 cannot hold.
    """
    stored = np.dtype(getattr(ml_dtypes, dtype, dtype))
    values = np.frombuffer(raw, np.uint8 if dtype == "bool" else stored.newbyteorder("<"))
    # A signalling nan raises the invalid flag when it is widened; it stays a nan, which is the point.
    with np.errstate(invalid="ignore"):
        return (values != 0 if dtype == "bool" else values).astype(complex if is_complex(dtype) else float)
