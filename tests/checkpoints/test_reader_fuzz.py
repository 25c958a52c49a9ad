"""Thousands of random and mutated files: a valid checkpoint or one InputError line, and nothing else.

Each file goes through `load` as a whole, from a memory-backed path, so that every layer of it is exercised.
"""

import io
import json
import struct
import time
import tracemalloc

import numpy as np
import pytest
from checkpoint_builders import flat, headed, safetensors_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from toeplitz_theory.checkpoints import Checkpoint, load
from toeplitz_theory.errors import InputError

VALID = [save(flat(2)), save(headed(1, 2), metadata={"format": "pt"})]


def outcome(path, raw: bytes) -> str:
    """Load the bytes; any exception but InputError fails the test that called."""
    path.write_bytes(raw)
    try:
        checkpoint = load(path)
    except InputError as wrong:
        assert "\n" not in str(wrong) and str(path) in str(wrong)
        return "refused"
    assert isinstance(checkpoint, Checkpoint) and checkpoint.layers
    for layer in checkpoint.layers:
        assert layer.kernel.ndim == 1 and layer.kernel.dtype == np.float64
        assert layer.kernel.nbytes <= 8 * len(raw)  # at most one float64 per stored byte
    return "read"


def mutate(raw: bytes, rng: np.random.Generator) -> bytes:
    """Damage a valid file in one of the ways files are damaged."""
    data = bytearray(raw)
    length = struct.unpack("<Q", raw[:8])[0]
    kind = rng.integers(6)
    if kind == 0:  # flipped bits, mostly in the header
        for _ in range(rng.integers(1, 9)):
            at = rng.integers(len(data) if rng.random() < 0.2 else 8 + length)
            data[at] ^= 1 << rng.integers(8)
    elif kind == 1:
        data = data[: rng.integers(len(data))]
    elif kind == 2:
        data[:8] = struct.pack("<Q", int(rng.integers(2**63)) >> int(rng.integers(64)))
    elif kind == 3:
        at, width = rng.integers(len(data)), rng.integers(1, 64)
        data[at : at + width] = rng.bytes(rng.integers(64))
    elif kind == 4:
        return safetensors_bytes(edited_header(json.loads(raw[8 : 8 + length]), rng), raw[8 + length :])
    else:
        data[8 : 8 + length] = rng.permutation(data[8 : 8 + length]).tobytes()
    return bytes(data)


def edited_header(header: dict, rng: np.random.Generator) -> dict:
    """Change one statement of the header, keeping it JSON."""
    names = [name for name in header if name != "__metadata__"]
    one, other = rng.choice(names, 2)
    strange = [-1, 0, 2**31, 2**63, 2**64, 10**30, 0.5, None, "F32", [], {}, True, 1e308]
    value = strange[rng.integers(len(strange))]
    kind = rng.integers(5)
    if kind == 0:
        header[one]["data_offsets"], header[other]["data_offsets"] = (
            header[other]["data_offsets"],
            header[one]["data_offsets"],
        )
    elif kind == 1:
        header[one]["data_offsets"][rng.integers(2)] = value
    elif kind == 2:
        header[one]["shape"] = [*header[one]["shape"], value]
    elif kind == 3:
        header[one][rng.choice(["dtype", "shape", "data_offsets"])] = value
    else:
        dtypes = ["F16", "BF16", "F64", "I8", "I64", "BOOL", "F8_E4M3", "F4", "C64"]
        header[one]["dtype"] = str(rng.choice(dtypes))
        header[one]["shape"] = [int(d) for d in rng.integers(0, 40, rng.integers(0, 4))]
    return header


def test_thousands_of_mutated_files(tmp_path):
    rng = np.random.default_rng(20261123)
    path = tmp_path / "m.safetensors"
    seen = {"read": 0, "refused": 0}
    for i in range(4000):
        begun = time.process_time()
        seen[outcome(path, mutate(VALID[i % len(VALID)], rng))] += 1
        assert time.process_time() - begun < 5, "a damaged file of a few kB must not take seconds"
    assert seen["refused"] > 2000 and seen["read"] > 50, seen


def test_claims_of_gigabytes_are_not_believed(tmp_path):
    rng = np.random.default_rng(8)
    tracemalloc.start()
    try:
        for i in range(400):
            outcome(tmp_path / "m.safetensors", mutate(VALID[i % len(VALID)], rng))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6  # the files hold under 5 kB, and parsing one takes far under 1 MB


def test_thousands_of_random_files(tmp_path):
    rng = np.random.default_rng(7)
    path = tmp_path / "m.safetensors"
    for i in range(2000):
        body = rng.bytes(rng.integers(300))
        prefix = struct.pack("<Q", rng.integers(len(body) + 1)) if i % 2 else b""
        assert outcome(path, prefix + body) == "refused"


@pytest.fixture(scope="module")
def one_path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "m.safetensors"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["blocks.0.mixer.weight", "mixer_blocks.0.token_mixing_layer.weight", "x", ""])
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "I8", "F8_E5M2", "F6_E2M3"]) | json_values,
        "shape": st.lists(st.integers(-1, 9), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(-1, 40), min_size=2, max_size=2) | json_values,
    }
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(names, entries | json_values, max_size=3), st.binary(max_size=64))
def test_any_json_header(one_path, header, data):
    outcome(one_path, safetensors_bytes(header, data))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(one_path, raw):
    assert outcome(one_path, raw) == "refused"


@pytest.mark.parametrize("legacy", [False, True])
def test_mutated_pickles(tmp_path, legacy):
    import torch

    buffer = io.BytesIO()
    state = {key: torch.from_numpy(value) for key, value in flat(1).items()}
    torch.save(state, buffer, _use_new_zipfile_serialization=not legacy)
    valid = buffer.getvalue()
    rng = np.random.default_rng(5)
    path = tmp_path / "m.pt"
    assert outcome(path, valid) == "read"
    seen = set()
    for i in range(250):
        data = bytearray(valid)
        if i % 3 == 0:
            data = data[: rng.integers(len(data))]
        else:
            for at in rng.integers(len(data), size=rng.integers(1, 6)):
                data[at] ^= 1 << rng.integers(8)
        seen.add(outcome(path, bytes(data)))
    assert seen == {"read", "refused"}


def test_random_bytes_named_as_pickles(tmp_path):
    rng = np.random.default_rng(6)
    for i in range(200):
        start = [b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x02}q\x00"][i % 4]
        assert outcome(tmp_path / "m.bin", start + rng.bytes(rng.integers(200))) == "refused"


def wrapped(rng: np.random.Generator, depth: int = 3):
    """A nested dictionary of the kind that is saved, of customary and odd names, tensors and other things."""
    import torch

    names = [
        "model",
        "ema",
        "state_dict",
        "optimizer",
        "net",
        "x",
        "blocks.0.mixer.weight",
        "\x1b[31m",
        "w" * 300,
    ]
    names += [
        f"mixer_blocks.0.token_mixing_layer.{t}" for t in ("weight", "bias", "q_proj.weight", "0.weight")
    ]
    names += [
        f"blocks.1.mixer.{t}" for t in ("weight_raw", "modules_to_save.a.weight", "original_module.weight")
    ]
    shapes = [(1, 4), (4,), (3, 4), (4, 4), (0,), (), (1, 1, 4)]
    made = {}
    for name in rng.choice(names, rng.integers(1, 6), replace=False):
        kind = rng.integers(7 if depth else 5)
        if kind < 3:
            made[str(name)] = torch.ones(shapes[rng.integers(len(shapes))])
        elif kind == 3:
            made[str(name)] = torch.ones(1, 4).to(rng.choice([torch.int8, torch.int64, torch.complex64]))
        elif kind == 4:
            made[str(name)] = [None, 3, "text", [1.0, 2.0], {"a": 1}][rng.integers(5)]
        else:
            made[str(name)] = wrapped(rng, depth - 1)
    return made


def test_thousands_of_nested_dictionaries():
    rng = np.random.default_rng(9)
    seen = {"read": 0, "refused": 0}
    for _ in range(3000):
        try:
            checkpoint = load(wrapped(rng))
        except InputError as wrong:
            assert str(wrong).isprintable() and len(str(wrong)) < 1500
            seen["refused"] += 1
            continue
        assert checkpoint.layers and all(s.reason.isprintable() for s in checkpoint.skipped)
        seen["read"] += 1
    assert min(seen.values()) > 100, seen


def test_hundreds_of_odd_folders(tmp_path):
    rng = np.random.default_rng(10)
    names = ["model.safetensors", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    names += ["consolidated.00.pth", "consolidated.01.pth", "config.json", "model.safetensors.index.json"]
    names += ["zero_pp_rank_0_mp_rank_00_model_states.pt", ".metadata", "__0_0.distcp", "a\x1b\n.safetensors"]
    contents = [
        VALID[0],
        VALID[1],
        b"",
        b"{}",
        b'{"weight_map": {"a": "model.safetensors"}}',
        b"PK",
        b"[" * 99,
    ]
    for i in range(400):
        folder = tmp_path / str(i)
        for part in (folder, folder / "checkpoint-5")[: rng.integers(1, 3)]:
            part.mkdir()
            for name in rng.choice(names, rng.integers(0, 5), replace=False):
                (part / str(name)).write_bytes(contents[rng.integers(len(contents))])
        try:
            assert load(folder).layers
        except InputError as wrong:
            assert str(wrong).isprintable() and len(str(wrong)) < 2000
