"""Folders, shards and Trainer runs: which file is read, and what is said about the others."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from checkpoint_builders import flat, mixer, taps
from safetensors.numpy import save_file

from toeplitz_theory.checkpoints import load
from toeplitz_theory.errors import InputError

COMPANIONS = [
    "optimizer.pt",
    "optimizer.bin",
    "scheduler.pt",
    "scaler.pt",
    "training_args.bin",
    "rng_state.pth",
    "rng_state_0.pth",
    "random_states_0.pkl",
    "trainer_state.json",
    "config.json",
]


def one(seed: int) -> dict[str, np.ndarray]:
    return {f"{mixer(0)}.weight": taps(seed, 1, 8)}


def save_torch(state, path):
    import torch

    torch.save({key: torch.from_numpy(value) for key, value in state.items()}, path)


def which(checkpoint) -> list[float]:
    return checkpoint.layers[0].kernel.tolist()


def expected(seed: int) -> list[float]:
    return taps(seed, 1, 8)[0].tolist()


def shards(folder, suffix="safetensors"):
    """Two shards of a model, and their index."""
    names = [f"model-0000{i}-of-00002.{suffix}" for i in (1, 2)]
    parts = [one(1), {"embed.weight": np.ones((4, 4), np.float32)}]
    for name, part in zip(names, parts, strict=True):
        (save_file if suffix == "safetensors" else save_torch)(part, folder / name)
    weight_map = {key: name for name, part in zip(names, parts, strict=True) for key in part}
    index = folder / (
        "model.safetensors.index.json" if suffix == "safetensors" else "pytorch_model.bin.index.json"
    )
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index, names


def companions(folder):
    for name in COMPANIONS:
        (folder / name).write_text("{}")


def test_trainer_checkpoint_folder(tmp_path):
    save_file(one(1), tmp_path / "model.safetensors")
    companions(tmp_path)
    checkpoint = load(tmp_path)
    assert which(checkpoint) == expected(1)
    assert checkpoint.skipped == ()
    assert checkpoint.source == str(tmp_path)
    assert [f.path for f in checkpoint.files] == [str(tmp_path / "model.safetensors")]


def test_order_of_preference(tmp_path):
    save_torch(one(6), tmp_path / "a.pt")
    assert which(load(tmp_path)) == expected(6)
    save_file(one(5), tmp_path / "kernels-9.safetensors")
    assert which(load(tmp_path)) == expected(5)
    save_file(one(4), tmp_path / "kernels-10.safetensors")
    assert which(load(tmp_path)) == expected(4)
    save_torch(one(3), tmp_path / "pytorch_model.bin")
    assert which(load(tmp_path)) == expected(3)
    save_file(one(2), tmp_path / "model.safetensors")
    checkpoint = load(tmp_path)
    assert which(checkpoint) == expected(2)
    assert [s.name for s in checkpoint.skipped] == [
        "pytorch_model.bin",
        "kernels-10.safetensors",
        "kernels-9.safetensors",
        "a.pt",
    ]
    assert all("model.safetensors was read" in s.reason for s in checkpoint.skipped)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards(tmp_path, suffix):
    index, names = shards(tmp_path, suffix)
    for source in (tmp_path, index):
        checkpoint = load(source)
        assert which(checkpoint) == expected(1)
        assert checkpoint.ignored == 1 and checkpoint.skipped == ()
        assert [f.path for f in checkpoint.files] == [str(index), str(tmp_path / names[0])]
        for file in checkpoint.files:
            raw = Path(file.path).read_bytes()
            assert (file.sha256, file.bytes) == (hashlib.sha256(raw).hexdigest(), len(raw))


def test_shard_missing_or_short(tmp_path):
    index, names = shards(tmp_path)
    os.truncate(tmp_path / names[1], 20)
    with pytest.raises(InputError, match=f"{names[1]}.*truncated"):
        load(tmp_path)
    (tmp_path / names[1]).unlink()
    with pytest.raises(InputError, match=f"{names[1]}.*no such file"):
        load(index)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"weight_map": 3}',
        '{"weight_map": {}}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a": "../other.safetensors"}}',
        '{"weight_map": {"a": "/etc/passwd"}}',
        '{"weight_map": {"a": ".."}}',
        '{"weight_map": {"a": "x\\u0000y"}}',
        '{"weight_map": {"absent": "model-00001-of-00002.safetensors"}}',
        '{"weight_map": {"a": "config.json"}}',
        "[" * 100_000,
    ],
)
def test_index_that_is_none(tmp_path, text):
    index, _ = shards(tmp_path)
    index.write_text(text)
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def run_folder(folder, steps):
    for step in steps:
        (folder / f"checkpoint-{step}").mkdir()
        companions(folder / f"checkpoint-{step}")
        save_file(one(step), folder / f"checkpoint-{step}" / "model.safetensors")


def test_run_folder_takes_the_highest_step(tmp_path):
    run_folder(tmp_path, [9, 100, 20])
    (tmp_path / "checkpoint-best").mkdir()
    checkpoint = load(tmp_path)
    assert which(checkpoint) == expected(100)
    assert [s.name for s in checkpoint.skipped] == ["checkpoint-20", "checkpoint-9"]
    assert checkpoint.notes[0] == "read from checkpoint-100"


@pytest.mark.parametrize("damage", ["truncated", "missing", "empty", "pickle", "shard"])
def test_run_folder_passes_over_a_save_that_was_cut_off(tmp_path, damage):
    run_folder(tmp_path, [10, 20])
    last = tmp_path / "checkpoint-20" / "model.safetensors"
    if damage == "truncated":
        os.truncate(last, last.stat().st_size - 1)
    elif damage == "empty":
        os.truncate(last, 0)
    else:
        last.unlink()
    if damage == "pickle":
        save_torch(one(20), last.parent / "pytorch_model.bin")
        os.truncate(last.parent / "pytorch_model.bin", 500)
    if damage == "shard":
        _, names = shards(last.parent)
        (last.parent / names[1]).unlink()
    checkpoint = load(tmp_path)
    assert which(checkpoint) == expected(10)
    assert checkpoint.skipped[0].name == "checkpoint-20"
    assert checkpoint.skipped[0].reason.startswith("not read")


def test_run_folder_without_a_complete_save(tmp_path):
    (tmp_path / "checkpoint-1").mkdir()
    with pytest.raises(InputError, match=r"none of its 1 checkpoint folders can be read; checkpoint-1"):
        load(tmp_path)


def test_final_model_is_preferred_to_earlier_saves(tmp_path):
    run_folder(tmp_path, [10])
    save_file(one(11), tmp_path / "model.safetensors")
    checkpoint = load(tmp_path)
    assert which(checkpoint) == expected(11)
    assert [s.name for s in checkpoint.skipped] == ["checkpoint-10"]


def test_config(tmp_path):
    save_file(flat(1), tmp_path / "model.safetensors")
    assert load(tmp_path).config == {} and "look alike in a file" in load(tmp_path).notes[0]
    (tmp_path / "config.json").write_text('{"model_type": "tmm", "num_heads": 1}')
    assert load(tmp_path / "model.safetensors").config == {"model_type": "tmm", "num_heads": 1}
    assert load(tmp_path).notes == ()
    (tmp_path / "config.json").write_text("{")
    checkpoint = load(tmp_path)
    assert checkpoint.config == {} and checkpoint.skipped[0].name == "config.json"


def test_paths_that_lead_nowhere(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("hello")
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "loop.safetensors").symlink_to(tmp_path / "loop.safetensors")
    os.mkfifo(tmp_path / "pipe.safetensors")
    cases = {
        "absent.safetensors": "no such file",
        "empty": "it is empty",
        "notes.txt": "unknown kind of file",
        "other": "no weights in this folder",
        "folder.safetensors": "it is empty",
        "loop.safetensors": "cannot be read",
        "pipe.safetensors": "not a regular file",
        "x\0y.safetensors": "cannot be read",
        "x" * 5000 + ".safetensors": "cannot be read",
        "notes.txt/model.safetensors": "cannot be read",
    }
    for name, text in cases.items():
        with pytest.raises(InputError, match=text) as caught:
            load(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_permission_denied(tmp_path, monkeypatch):
    # Run as root, mode bits deny nothing, so the refusal of the system call is put in by hand.
    import builtins

    path = tmp_path / "model.safetensors"
    save_file(one(1), path)

    def refuse(name, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(name))

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(InputError, match=r"model\.safetensors: permission denied"):
        load(path)
