"""What files, names and configurations claim: it decides neither memory nor time, and is shown escaped."""

import json
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from checkpoint_builders import flat, mixer, safetensors_bytes, taps
from safetensors.numpy import save_file

from toeplitz_theory.checkpoints import load
from toeplitz_theory.errors import InputError
from toeplitz_theory.files import MOST_JSON, read_json

KEY = f"{mixer(0)}.weight"
ESCAPES = "\x1b]0;title\x07\x1b[31m\r\n\u202e"


def one_line(text: str) -> bool:
    return text.isprintable() and len(text) < 1500


def refusal(source) -> str:
    with pytest.raises(InputError) as refused:
        load(source)
    assert one_line(str(refused.value)), ascii(str(refused.value))
    return str(refused.value)


def deflated(source, target):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))


def test_compressed_archives_are_not_unpacked(tmp_path):
    torch.save({KEY: torch.zeros(1, 2_000_000)}, tmp_path / "plain.pt")
    deflated(tmp_path / "plain.pt", tmp_path / "m.pt")
    assert (tmp_path / "m.pt").stat().st_size < 100_000
    tracemalloc.start()
    try:
        assert "compressed entries" in refusal(tmp_path / "m.pt")
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_archives_whose_entries_share_bytes_are_refused(tmp_path):
    torch.save({KEY: torch.zeros(1, 10_000)}, tmp_path / "m.pt")
    raw = (tmp_path / "m.pt").read_bytes()
    with zipfile.ZipFile(tmp_path / "m.pt") as archive:
        large = max(archive.infolist(), key=lambda e: e.file_size)
        start = archive.start_dir
    # The entry of the tensor a thousand times over in the central directory.
    at = raw.index(large.filename.encode(), start) - 46
    lengths = struct.unpack("<HHH", raw[at + 28 : at + 34])
    copy = raw[at : at + 46 + sum(lengths)] * 1000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1000, 1000, len(copy), start, 0)
    (tmp_path / "m.pt").write_bytes(raw[:start] + copy + end)
    assert "claim more bytes than the file has" in refusal(tmp_path / "m.pt")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_json_files_are_read_with_a_limit(tmp_path, name):
    save_file(flat(1), tmp_path / "weights.safetensors")
    path = tmp_path / name
    with open(path, "wb") as file:
        file.write(b'{"a": [')
        os.truncate(path, 10**11)  # sparse: takes no room
    with pytest.raises(InputError, match="larger than the"):
        read_json(path)
    if name == "config.json":
        assert "larger than the" in load(tmp_path).skipped[-1].reason
    else:
        assert "larger than the" in refusal(tmp_path)


def test_a_configuration_inside_the_metadata_is_read_with_a_limit(tmp_path):
    text = "[" * (MOST_JSON + 1)
    save_file(flat(1), tmp_path / "m.safetensors", metadata={"tmm_config": text})
    assert load(tmp_path / "m.safetensors").skipped[0].name == "tmm_config"


def test_headers_have_a_limit_below_that_of_the_format(tmp_path):
    raw = b'{"' + b"x" * 30_000_000 + b'": 1}'
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes(raw))
    assert "more than the 16000000 that are read" in refusal(tmp_path / "m.safetensors")


def generated_model(folder, length):
    channels = 2
    tensors = {"log_dt": 1, "log_decay": 2, "frequency": 2, "c": 3, "d": 1}
    filters = {
        f"{mixer(0)}.filter.{name}": np.ones((channels, 2, 2)[:axes], np.float32)
        for name, axes in tensors.items()
    }
    save_file(filters, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "tmm", "max_position_embeddings": length}))


@pytest.mark.parametrize("length", [10**9, 10**12, 10**30, 2**20 + 1, True, -1, 0, 8.0, "8", [8], None])
def test_a_length_that_is_none_or_decides_memory_is_refused(tmp_path, length):
    generated_model(tmp_path, length)
    tracemalloc.start()
    try:
        checkpoint = load(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert checkpoint.layers == ()
    assert "max_position_embeddings" in checkpoint.skipped[0].reason and one_line(
        checkpoint.skipped[0].reason
    )


def test_lengths_beyond_one_block_of_lags_are_one_kernel(tmp_path):
    """Against the recurrence itself: x <- exp(dt a) x, one step a lag."""
    generated_model(tmp_path, 5000)
    kernel = load(tmp_path).layers[0].kernel
    step = np.exp(1.0)
    a = -np.exp(1.0) + 1j
    state = np.full(2, (1 + 1j) * np.expm1(step * a) / a)
    expected = np.zeros(5000)
    for lag in range(200):
        expected[lag] = 2 * state.sum().real
        state = state * np.exp(step * a)
    expected[0] += 1
    np.testing.assert_allclose(kernel, expected, atol=1e-15 * abs(expected).max(), rtol=1e-12)


LONG = ["w" * 250, "w" * 300, "w" * 15_000, "a." * 5000, ESCAPES, "\udc80"]


@pytest.mark.parametrize("name", LONG, ids=range(len(LONG)))
def test_foreign_names_are_shown_escaped_and_short(tmp_path, name):
    prefix = name.encode("utf-8", "replace").decode()
    # in every place that prints a name
    refusal({name: taps(0, 3), "weight": taps(0, 3)})
    refusal({f"{name}.{KEY}": np.ones((8, 8))})
    refusal({f"{KEY}": taps(0, 1, 8), f"{mixer(0)}.{name}": taps(0, 3)})
    refusal({name + "x": {name: taps(0, 3)}, name + "y": {name: taps(0, 3)}})
    save_file({f"{prefix}.{KEY}": np.ones((8, 8))}, tmp_path / "m.safetensors")
    refusal(tmp_path / "m.safetensors")
    header = {prefix: {"dtype": name[:40], "shape": [1], "data_offsets": [0, 4]}}
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes(header, bytes(4)))
    refusal(tmp_path / "m.safetensors")
    torch.save({"model": {prefix: torch.ones(2)}, prefix: {prefix: 3}}, tmp_path / "m.pt")
    refusal(tmp_path / "m.pt")
    torch.save({prefix: 1}, tmp_path / "m.pt")
    refusal(tmp_path / "m.pt")
    index = tmp_path / "model.safetensors.index.json"
    for weight_map in ({prefix: prefix}, {prefix: "m.pt"}, {"a": prefix + "/../x"}):
        index.write_text(json.dumps({"weight_map": weight_map}))
        refusal(index)
    refusal(str(tmp_path / name))
    refusal(str(tmp_path / f"{name}.safetensors"))


def test_the_true_name_stays_on_the_layer():
    (layer,) = load({f"{ESCAPES}.{KEY}": taps(0, 1, 8)}).layers
    assert layer.key == f"{ESCAPES}.{KEY}" and layer.layer == f"{ESCAPES}.mixer_blocks.0"


def test_file_names_with_control_characters(tmp_path):
    (tmp_path / "a\x1b[31m\n.txt").write_text("x")
    assert "a\\x1b[31m\\n.txt" in refusal(tmp_path)
    (tmp_path / "b\x1b.safetensors").write_bytes(b"")
    refusal(tmp_path)


def test_a_pipe_is_never_waited_on(tmp_path):
    for name in ("pipe", "pipe.safetensors", "pipe.pt", "model.safetensors.index.json"):
        os.mkfifo(tmp_path / name)
        assert "not a regular file" in refusal(tmp_path / name)
    run = tmp_path / "run"
    (run / "checkpoint-1").mkdir(parents=True)
    os.mkfifo(run / "checkpoint-1" / "a.safetensors")
    index = {"weight_map": {KEY: "a.safetensors"}}
    (run / "checkpoint-1" / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "not a regular file" in refusal(run)


class Odd(torch.Tensor):
    pass


def odd_tensors():
    from torch._subclasses.fake_tensor import FakeTensorMode

    yield "nested", torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "a nested tensor"
    jagged = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    yield "jagged", jagged, "a nested tensor"
    yield "meta", torch.ones(1, 8, device="meta"), "meta device"
    yield "sparse", torch.ones(1, 8).to_sparse(), "layout torch.sparse_coo"
    yield "csr", torch.ones(1, 8).to_sparse_csr(), "layout torch.sparse_csr"
    yield "quantised", torch.quantize_per_tensor(torch.ones(1, 8), 0.1, 0, torch.qint8), "a quantised tensor"
    yield "lazy", torch.nn.LazyLinear(3).weight, "without values yet"
    with FakeTensorMode():
        yield "fake", torch.ones(1, 8), "a tensor of class"
    yield "subclass", torch.ones(1, 8).as_subclass(Odd), "a tensor of class"
    yield "complex", torch.ones(1, 8, dtype=torch.complex128), "dtype complex128 is not read"
    yield "masked array", np.ma.masked_array(np.ones((1, 8)), mask=True), "a masked array"
    yield "objects", np.array([[None, 1.0]]), "holds no real numbers"
    yield "huge integer", [[10**400]], "holds no real numbers"
    yield "dates", np.array([["2020-01-01"]], "datetime64[D]"), "holds no real numbers"
    yield "ragged", [[1.0], [1.0, 2.0]], "not a tensor"


@pytest.mark.filterwarnings("ignore")
def test_tensors_without_plain_values_are_skipped_with_the_reason():
    for name, tensor, reason in odd_tensors():
        checkpoint = load(flat(1) | {f"{mixer(1)}.weight": tensor})
        assert [layer.layer for layer in checkpoint.layers] == ["mixer_blocks.0"], name
        assert reason in checkpoint.skipped[0].reason and one_line(checkpoint.skipped[0].reason), name


@pytest.mark.filterwarnings("ignore")
def test_nested_and_sparse_tensors_in_a_file(tmp_path):
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    torch.save({KEY: nested, f"{mixer(1)}.weight": torch.ones(1, 8).to_sparse()}, tmp_path / "m.pt")
    refusal(tmp_path / "m.pt")
