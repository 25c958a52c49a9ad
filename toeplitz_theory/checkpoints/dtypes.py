"""Stored numbers of every width, taken to float64 without changing a value."""

from __future__ import annotations

from functools import lru_cache

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

_COMPLEX = {"complex64": "<c8", "complex128": "<c16"}

_PLAIN = {
    "uint8": "<u1",
    "int8": "<i1",
    "uint16": "<u2",
    "int16": "<i2",
    "uint32": "<u4",
    "int32": "<i4",
    "uint64": "<u8",
    "int64": "<i8",
    "float16": "<f2",
    "float32": "<f4",
    "float64": "<f8",
    "bool": "<u1",
}

# name -> (exponent bits, mantissa bits, exponent bias, kind of the special values)
_FLOAT8 = {
    "float8_e4m3fn": (4, 3, 7, "fn"),
    "float8_e5m2": (5, 2, 15, "ieee"),
    "float8_e4m3fnuz": (4, 3, 8, "fnuz"),
    "float8_e5m2fnuz": (5, 2, 16, "fnuz"),
}


def can_widen(dtype: str) -> bool:
    """Whether `decode` knows `dtype`."""
    return dtype in _PLAIN or dtype in _FLOAT8 or dtype == "bfloat16"


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
    # A signalling nan raises the invalid flag when it is widened; it stays a nan, which is the point.
    with np.errstate(invalid="ignore"):
        if dtype == "bfloat16":
            # bfloat16 is the upper half of a float32
            bits = np.frombuffer(raw, dtype="<u2").astype(np.uint32) << np.uint32(16)
            return bits.view(np.float32).astype(np.float64)
        if dtype in _FLOAT8:
            return float8_values(dtype)[np.frombuffer(raw, dtype=np.uint8)]
        if dtype in _COMPLEX:
            return np.frombuffer(raw, dtype=_COMPLEX[dtype]).astype(np.complex128)
        values = np.frombuffer(raw, dtype=_PLAIN[dtype])
        return (values != 0).astype(np.float64) if dtype == "bool" else values.astype(np.float64)


@lru_cache(maxsize=len(_FLOAT8))
def float8_values(dtype: str) -> np.ndarray:
    """Return the 256 values of an 8-bit float, by byte.

    Formats: Micikevicius et al. 2022 (arXiv:2209.05433); "fnuz": Noune et al. 2022 (arXiv:2206.02915).
    """
    exponent_bits, mantissa_bits, bias, kind = _FLOAT8[dtype]
    byte = np.arange(256)
    exponent = (byte >> mantissa_bits) & ((1 << exponent_bits) - 1)
    fraction = (byte & ((1 << mantissa_bits) - 1)) / float(1 << mantissa_bits)
    magnitude = np.where(
        exponent == 0,
        np.ldexp(fraction, 1 - bias),
        np.ldexp(1.0 + fraction, exponent - bias),
    )
    values = np.where(byte < 128, magnitude, -magnitude)
    if kind == "fnuz":  # no infinities and no negative zero: its place is the only nan
        values[128] = np.nan
    elif kind == "fn":  # no infinities: only the all-ones pattern is nan
        values[[127, 255]] = np.nan
    else:
        top = exponent == (1 << exponent_bits) - 1
        values[top] = np.where(fraction[top] == 0, np.copysign(np.inf, values[top]), np.nan)
    values.flags.writeable = False
    return values
