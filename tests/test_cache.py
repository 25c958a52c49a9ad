"""The cache on disk: an entry is what was made, or is made anew; nothing half-written is taken or left."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toeplitz_theory import cache as cache_module
from toeplitz_theory.cache import SEAL, DiskCache, damage, seal


@pytest.fixture
def squares(tmp_path, monkeypatch):
    monkeypatch.setenv("TOEPLITZ_THEORY_CACHE", str(tmp_path / "cache"))
    return DiskCache("squares", 1)


def entries(tmp_path):
    return sorted((tmp_path / "cache" / "squares").iterdir())


def never():
    raise AssertionError("computed again")


def test_a_value_is_computed_once_for_each_key_and_version(squares, tmp_path):
    assert squares.json([3, "a"], lambda: {"b": (9, None)}) == {"b": [9, None]}
    assert squares.json([3, "a"], never) == {"b": [9, None]}
    assert squares.json([3, "b"], lambda: 1) == 1
    assert DiskCache("squares", 2).json([3, "a"], lambda: 2) == 2
    assert squares.json([3, "a"], never) == {"b": [9, None]} and len(entries(tmp_path)) == 3


@pytest.mark.parametrize("name", ["value.json", SEAL])
def test_every_flipped_bit_cut_and_loss_is_seen(squares, tmp_path, name, capsys):
    squares.json([1], lambda: 12345)
    (place,) = entries(tmp_path)
    content = (place / name).read_bytes()
    flipped = [
        content[:i] + bytes([content[i] ^ 1 << b]) + content[i + 1 :]
        for i in range(len(content))
        for b in (0, 6)
    ]
    for damaged in [b"", bytes(len(content)), content[:-9], b"[" * 100_000, b'{"value.json": 3}', *flipped]:
        (place / name).write_bytes(damaged)
        if damage(place):
            continue
        # What stands between the values of a list of hashes may change; no value may.
        assert name == SEAL and json.loads(damaged) == json.loads(content)
    assert damage(place)
    assert squares.json([1], lambda: 12345) == 12345 and damage(place) == ""
    assert "made anew" in capsys.readouterr().err
    (place / name).unlink()
    assert ("gone" if name == "value.json" else "to its end") in damage(place)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
def test_a_sealed_folder_is_whole_until_a_byte_changes(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("sealed")
    for i, content in enumerate(contents):
        (folder / f"{i % 2}").mkdir(exist_ok=True)
        (folder / f"{i % 2}" / f"{i}.bin").write_bytes(content)
    seal(folder)
    assert damage(folder) == ""
    (folder / "0" / "0.bin").write_bytes(contents[0] + b"x")
    assert damage(folder) == "its 0/0.bin is not what was written"


def test_all_has_reached_the_disk_before_the_seal_says_so(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    for name in ("a", "deep/b"):
        (tmp_path / name).write_text(name)
    order = []

    def noted(path):
        order.append(path.relative_to(tmp_path.parent).as_posix())
        order.append((tmp_path / SEAL).exists())

    monkeypatch.setattr(cache_module, "_to_disk", noted)
    seal(tmp_path)
    top = tmp_path.name
    assert set(order[:4:2]) == {f"{top}/a", f"{top}/deep/b"} and not any(order[1:4:2])
    assert order[4:] == [f"{top}/{SEAL}", True, top, True, ".", True]


def test_nothing_half_written_is_left_or_taken(squares, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        squares.json([1], stop)
    assert entries(tmp_path) == []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cache_module.shutil, "rmtree", lambda *a, **k: None)  # as a kill leaves it
        squares.json([1], stop)
    (partial,) = entries(tmp_path)
    ended = next(number for number in range(2, 1 << 22) if not cache_module._is_running(number))
    partial.rename(partial.with_name(partial.name.replace(f".{os.getpid()}.", f".{ended}.")))
    assert squares.json([1], lambda: 1) == 1 and len(entries(tmp_path)) == 1


def test_where_nothing_can_be_written_the_value_is_as_good(squares, tmp_path, capsys):
    (tmp_path / "cache").write_text("a file")
    assert squares.json([1], lambda: (1, 2)) == [1, 2]
    assert "is not cached" in capsys.readouterr().err
