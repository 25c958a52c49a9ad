"""The safetensors reader: exact values against torch, every rule of the format, and no torch import."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from checkpoint_builders import entry, flat, safetensors_bytes
from safetensors.numpy import save_file

from toeplitz_theory.checkpoints import load
from toeplitz_theory.checkpoints.dtypes import DTYPES, can_widen, decode
from toeplitz_theory.checkpoints.safetensors import MAX_HEADER_BYTES
from toeplitz_theory.errors import InputError

KEY = "mixer_blocks.0.token_mixing_layer.weight"
FLOATS = ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]
WORDS = [
    *FLOATS,
    "float32",
    "float64",
    "int8",
    "uint8",
    "int16",
    "int32",
    "int64",
    "uint16",
    "uint32",
    "bool",
]


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_pattern_of_a_narrow_float_widens_as_in_torch(dtype):
    import torch

    target = getattr(torch, dtype)
    width = torch.empty(0, dtype=target).element_size()
    raw = np.arange(2 ** (8 * width), dtype=f"<u{width}")
    by_torch = torch.from_numpy(raw.view(f"<i{width}").copy()).view(target).float().double().numpy()
    ours = decode(raw.tobytes(), dtype)
    np.testing.assert_array_equal(ours, by_torch)  # nan where torch has nan
    known = ~np.isnan(ours)
    np.testing.assert_array_equal(np.signbit(ours[known]), np.signbit(by_torch[known]))


@pytest.mark.parametrize("dtype", WORDS)
def test_round_trip_through_a_file_written_by_torch(dtype, tmp_path):
    import torch
    from safetensors.torch import save_file as save_torch

    values = torch.randn(1, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 50
    stored = (
        values.abs().to(getattr(torch, dtype))
        if dtype.startswith("uint")
        else values.to(getattr(torch, dtype))
    )
    save_torch({KEY: stored, "embed": torch.zeros(3, dtype=torch.float32)}, tmp_path / "m.safetensors")
    layer = load(tmp_path / "m.safetensors").layers[0]
    assert layer.dtype == dtype
    assert layer.kernel.tolist() == stored.reshape(-1).double().tolist()
    in_memory = load({KEY: stored}).layers[0]
    assert in_memory.dtype == dtype and in_memory.kernel.tolist() == layer.kernel.tolist()


def test_signalling_nan_is_a_nan_and_raises_no_warning(recwarn):
    raw = np.array([0x7F800001, 0x3F800000], dtype="<u4").tobytes()
    assert np.isnan(decode(raw, "float32")[0]) and decode(raw, "float32")[1] == 1.0
    assert not recwarn.list


def test_file_and_memory_agree_and_the_hash_is_of_the_file(tmp_path):
    state, path = flat(12), tmp_path / "m.safetensors"
    save_file(state, path, metadata={"format": "pt"})
    from_file, from_memory = load(path), load(state)
    for a, b in zip(from_file.layers, from_memory.layers, strict=True):
        assert (a.layer, a.key, a.kernel.tolist()) == (b.layer, b.key, b.kernel.tolist())
    (source,) = from_file.files
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source.bytes == path.stat().st_size and source.path == str(path)
    assert load(str(path)).source == str(path)


def test_symbolic_links_are_followed(tmp_path):
    save_file(flat(1), tmp_path / "blob.safetensors")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "model.safetensors").symlink_to(tmp_path / "blob.safetensors")
    assert len(load(tmp_path / "link").layers) == 1


def test_torch_is_not_imported(tmp_path):
    save_file(flat(2), tmp_path / "model.safetensors")
    code = (
        "import sys; from toeplitz_theory.checkpoints import load; "
        f"c = load({str(tmp_path)!r}); "
        "print(len(c.layers), sorted({'torch', 'transformers', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["2", "[]\n"]


def test_only_the_kernels_are_read(tmp_path, monkeypatch):
    from toeplitz_theory.checkpoints.safetensors import SafetensorsFile

    read = []
    values = SafetensorsFile.values
    monkeypatch.setattr(SafetensorsFile, "values", lambda self, name: read.append(name) or values(self, name))
    save_file(flat(2), tmp_path / "m.safetensors")
    load(tmp_path / "m.safetensors")
    assert read == [f"mixer_blocks.{i}.token_mixing_layer.weight" for i in range(2)]


GOOD = entry("F32", [1, 2], 0, 8)
DATA = np.array([1.5, 2.5], "<f4").tobytes()
BROKEN = {
    "zero bytes": b"",
    "too few": b"1234567",
    "header cap": safetensors_bytes({}, length=MAX_HEADER_BYTES + 1),
    "header beyond the file": safetensors_bytes({}, length=90),
    "largest length": b"\xff" * 8 + b"{}",
    "no brace": safetensors_bytes(b" {}"),
    "no JSON": safetensors_bytes(b"{nope}"),
    "trailing JSON": safetensors_bytes(b"{}{}"),
    "constant": safetensors_bytes(b'{"a": NaN}'),
    "long integer": safetensors_bytes(b'{"a": ' + b"9" * 5000 + b"}"),
    "not UTF-8": safetensors_bytes(b'{"\xff": 1}'),
    "surrogate": safetensors_bytes({"\ud800": GOOD}, DATA),
    "deep": safetensors_bytes(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "duplicate": safetensors_bytes(
        (b'{"%s": ' + str(GOOD).replace("'", '"').encode() + b', "%s": {"dtype": "F32", ')
        % ((KEY.encode(),) * 2)
        + b'"shape": [2], "data_offsets": [0, 8]}}',
        DATA,
    ),
    "metadata": safetensors_bytes({"__metadata__": {"a": 1}, KEY: GOOD}, DATA),
    "no entry": safetensors_bytes({KEY: 3}, DATA),
    "extra field": safetensors_bytes({KEY: GOOD | {"x": 1}}, DATA),
    "missing field": safetensors_bytes({KEY: {"dtype": "F32", "shape": [2]}}, DATA),
    "unknown dtype": safetensors_bytes({KEY: entry("F31", [2], 0, 8)}, DATA),
    "dtype list": safetensors_bytes({KEY: entry(["F32"], [2], 0, 8)}, DATA),
    "negative size": safetensors_bytes({KEY: entry("F32", [-1, -2], 0, 8)}, DATA),
    "float size": safetensors_bytes({KEY: entry("F32", [1, 2.0], 0, 8)}, DATA),
    "bool size": safetensors_bytes({KEY: entry("F32", [True, 2], 0, 8)}, DATA),
    "huge size": safetensors_bytes({KEY: entry("F32", [2**63], 0, 8)}, DATA),
    "huge size of nothing": safetensors_bytes({KEY: GOOD, "e": entry("F32", [0, 2**63], 0, 0)}, DATA),
    "many huge sizes": safetensors_bytes({KEY: entry("F32", [2**62] * 100_000, 0, 8)}, DATA),
    "wrong product": safetensors_bytes({KEY: entry("F32", [1, 3], 0, 8)}, DATA),
    "backwards": safetensors_bytes({KEY: entry("F32", [0], 8, 0)}, DATA),
    "beyond the end": safetensors_bytes({KEY: entry("F32", [1, 3], 0, 12)}, DATA),
    "one offset": safetensors_bytes({KEY: GOOD | {"data_offsets": [0]}}, DATA),
    "gap": safetensors_bytes({KEY: entry("F32", [1], 4, 8)}, DATA),
    "overlap": safetensors_bytes({KEY: GOOD, "b": entry("F32", [1], 4, 8)}, DATA),
    "left over": safetensors_bytes({KEY: GOOD}, DATA + b"x"),
    "half a byte": safetensors_bytes({KEY: entry("F4", [1, 3], 0, 1)}, b"x"),
    "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "web page": b"<!DOCTYPE html><html></html>",
}


SAID = {  # what the line must say; rules not listed here share one of the lines
    "zero bytes": "the file is empty",
    "too few": "too few for the 8-byte header length",
    "header cap": f"more than the {MAX_HEADER_BYTES}",
    "header beyond the file": "truncated",
    "no brace": "does not begin with '{'",
    "no JSON": "not valid JSON",
    "constant": "holds NaN",
    "not UTF-8": "not UTF-8",
    "surrogate": "not Unicode",
    "deep": "nested too deeply",
    "duplicate": "twice",
    "metadata": "__metadata__",
    "extra field": "and nothing else",
    "unknown dtype": "unknown dtype 'F31'",
    "negative size": "not a list of sizes",
    "float size": "not a list of sizes",
    "bool size": "not a list of sizes",
    "huge size": "not a list of sizes",
    "huge size of nothing": "not a list of sizes",
    "many huge sizes": "do not fill",
    "wrong product": "do not fill",
    "half a byte": "do not fill",
    "backwards": "outside the 8 bytes",
    "beyond the end": "outside the 8 bytes",
    "gap": "overlap or leave a gap",
    "overlap": "overlap or leave a gap",
    "left over": "belong to no tensor",
    "git-lfs": "git lfs pull",
    "web page": "a web page",
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_rule_is_one_line_naming_the_file(name, tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(BROKEN[name])
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 400 + len(str(path))
    assert SAID.get(name, "not a valid safetensors file") in message


def test_the_file_the_broken_ones_were_made_from_is_read(tmp_path):
    (tmp_path / "good.safetensors").write_bytes(safetensors_bytes({KEY: GOOD}, DATA))
    assert load(tmp_path / "good.safetensors").layers[0].kernel.tolist() == [1.5, 2.5]


def test_padding_empty_tensors_and_any_order_of_names_are_valid(tmp_path):
    header = {"z": entry("F32", [0, 2**62], 8, 8), KEY: GOOD, "e": entry("F16", [0], 0, 0)}
    raw = str(header).replace("'", '"').encode() + b" " * 13
    (tmp_path / "good.safetensors").write_bytes(safetensors_bytes(raw, DATA))
    assert load(tmp_path / "good.safetensors").ignored == 2


@pytest.mark.parametrize("dtype", sorted(d for d, (_, name) in DTYPES.items() if not can_widen(name)))
def test_a_kernel_of_an_unread_dtype_is_skipped(dtype, tmp_path):
    bits = DTYPES[dtype][0]
    header = {
        KEY: entry(dtype, [1, 8], 0, bits),
        KEY.replace(".0.", ".1."): entry("F32", [1, 2], bits, bits + 8),
    }
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes(header, bytes(bits) + DATA))
    checkpoint = load(tmp_path / "m.safetensors")
    assert len(checkpoint.layers) == 1
    assert checkpoint.skipped[0].name == KEY and "is not read" in checkpoint.skipped[0].reason
