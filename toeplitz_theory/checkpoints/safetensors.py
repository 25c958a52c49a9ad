"""A strict reader of the safetensors format that needs no torch and reads only the tensors asked for.

The format (https://huggingface.co/docs/safetensors): 8 bytes, little-endian, give the length of a JSON
header; the header maps tensor names to dtype, shape and byte range; the ranges fill the rest of the file
without gaps. Every statement of the header is checked before a byte of data is read.

The library of that name checks ranges too, but takes one of two tensors of one name in silence, maps files
into memory, where one that is cut short kills the process, and gives numpy no bfloat16 or 8-bit floats.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

import numpy as np

from toeplitz_theory.checkpoints.dtypes import DTYPES, can_widen, decode, is_complex
from toeplitz_theory.checkpoints.stores import TensorInfo
from toeplitz_theory.errors import InputError
from toeplitz_theory.names import shown

# About 200,000 tensors, read in seconds; the format allows 100 MB, which no model has come near.
MAX_HEADER_BYTES = 16_000_000
_MAX_ALIAS_BYTES = 2**30  # of float64, in all: an alias of a few bytes stands for a whole tensor
_MAX_DIMENSION = 2**63 - 1


@dataclass(frozen=True)
class _Entry:
    info: TensorInfo
    start: int  # first byte, from the start of the file
    stop: int


class _Malformed(Exception):
    """What is wrong with a header; the caller adds the path."""


class SafetensorsFile:
    """An open safetensors file whose header has been checked.

    Parameters
    ----------
    handle : binary file
        Open for reading and seekable; the caller closes it.
    path : str
        For messages.

    Raises
    ------
    InputError
        If the file is not a valid safetensors file; the message says where it breaks.
    """

    def __init__(self, handle: BinaryIO, path: str) -> None:
        self._handle = handle
        self._path = path
        try:
            self._entries, self.metadata = _read_entries(handle)
            self._entries |= _aliases(self._entries, self.metadata)
        except _Malformed as wrong:
            raise InputError(
                f"{path}: not a valid safetensors file: {wrong}. Save or download it again."
            ) from None
        self.infos: dict[str, TensorInfo] = {name: entry.info for name, entry in self._entries.items()}

    def values(self, name: str) -> np.ndarray:
        """Return one tensor as float64, in its own shape; reads that tensor's bytes and no others."""
        entry = self._entries[name]
        self._handle.seek(entry.start)
        raw = self._handle.read(entry.stop - entry.start)
        if len(raw) != entry.stop - entry.start:
            raise InputError(f"{self._path}: the file was shortened while it was read.")
        return decode(raw, entry.info.dtype).reshape(entry.info.shape)


def _read_entries(handle: BinaryIO) -> tuple[dict[str, _Entry], dict[str, str]]:
    size = handle.seek(0, os.SEEK_END)
    if size < 8:
        raise _Malformed(f"{size} bytes are too few for the 8-byte header length")
    handle.seek(0)
    length = int.from_bytes(handle.read(8), "little")
    if length > MAX_HEADER_BYTES:
        raise _Malformed(f"the header claims {length} bytes, more than the {MAX_HEADER_BYTES} that are read")
    if length > size - 8:
        raise _Malformed(f"the header claims {length} bytes and {size - 8} follow: the file is truncated")
    header = _parse_header(handle.read(length))
    metadata = _checked_metadata(header.pop("__metadata__", None))
    data_bytes = size - 8 - length
    entries = {name: _entry(name, fields, 8 + length, data_bytes) for name, fields in header.items()}
    _check_cover(entries, 8 + length, size)
    return entries, metadata


def _aliases(entries: Mapping[str, _Entry], metadata: Mapping[str, str]) -> dict[str, _Entry]:
    """Tensors that were saved once under another name, as `safetensors.torch.save_model` notes them."""
    tied = {name: entries[kept] for name, kept in metadata.items() if kept in entries and name not in entries}
    if 8 * sum(math.prod(entry.info.shape) for entry in tied.values()) > _MAX_ALIAS_BYTES:
        raise _Malformed(f"__metadata__ gives {len(tied)} tensors other names, more than are read")
    return tied


def _parse_header(raw: bytes) -> dict[str, Any]:
    if not raw.startswith(b"{"):
        raise _Malformed("the header does not begin with '{'")
    try:
        header = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        raise _Malformed("the header is not UTF-8 text") from None
    except RecursionError:
        raise _Malformed("the header is nested too deeply") from None
    except ValueError as wrong:  # JSONDecodeError, and integers of more digits than Python converts
        raise _Malformed(f"the header is not valid JSON ({str(wrong)[:80]!a})") from None
    return header


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Malformed(f"the header holds '{shown(twice)}' twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise _Malformed(f"the header holds {name}, which is not JSON")


def _checked_metadata(metadata: Any) -> dict[str, str]:
    if metadata is None:
        return {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _Malformed("__metadata__ must map strings to strings")
    return metadata


def _entry(name: str, fields: Any, data_start: int, data_bytes: int) -> _Entry:
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise _malformed_tensor(name, "must have dtype, shape and data_offsets, and nothing else")
    if not name.isascii() and any("\ud800" <= c <= "\udfff" for c in name):
        raise _malformed_tensor(name, "has a name that is not Unicode text")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _malformed_tensor(name, f"has the unknown dtype '{shown(dtype, 40)}'")
    if not _is_naturals(shape):
        raise _malformed_tensor(name, "has a shape that is not a list of sizes")
    if not _is_naturals(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= data_bytes:
        raise _malformed_tensor(name, f"has data_offsets outside the {data_bytes} bytes of data")
    bits, dtype_name = DTYPES[dtype]
    claimed = offsets[1] - offsets[0]
    if _bit_count(shape, bits, limit=8 * data_bytes) != 8 * claimed:
        raise _malformed_tensor(
            name, f"has a shape and a dtype that do not fill the {claimed} bytes it claims"
        )
    unreadable = "" if can_widen(dtype_name) else f"dtype {dtype_name} is not read"
    info = TensorInfo(tuple(shape), dtype_name, unreadable, is_complex(dtype_name))
    return _Entry(info, data_start + offsets[0], data_start + offsets[1])


def _malformed_tensor(name: str, wrong: str) -> _Malformed:
    return _Malformed(f"tensor '{shown(name)}' {wrong}")


def _is_naturals(values: Any) -> bool:
    # bool is a subclass of int, hence the exact type
    return isinstance(values, list) and all(type(v) is int and 0 <= v <= _MAX_DIMENSION for v in values)


def _bit_count(shape: list[int], bits: int, limit: int) -> int | None:
    """Bits of a tensor; None above `limit`, found without multiplying a long list of huge sizes."""
    if 0 in shape:
        return 0
    total = bits
    for size in shape:
        total *= size
        if total > limit:
            return None
    return total


def _check_cover(entries: dict[str, _Entry], start: int, stop: int) -> None:
    """Check that the byte ranges follow each other from the first data byte to the last."""
    at = start
    for entry in sorted(entries.values(), key=lambda e: (e.start, e.stop)):
        if entry.start != at:
            raise _Malformed("the byte ranges of its tensors overlap or leave a gap")
        at = entry.stop
    if at != stop:
        raise _Malformed(f"{stop - at} bytes at its end belong to no tensor")
