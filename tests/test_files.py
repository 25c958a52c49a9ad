"""Files written whole or not at all; pipes and devices are written to, not replaced."""

import errno
import json
import os
import stat
import threading

import pytest

from toeplitz_theory.errors import InputError, RunError
from toeplitz_theory.files import remove_unfinished, write_json, write_text, written_whole


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(ValueError, match="half way"), written_whole(target) as partial:
        partial.write_text("new, half")
        raise ValueError("half way")
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "a.txt", tmp_path / "link"
    link.symlink_to(target)
    for text in ("made", "replaced"):
        write_text(link, text)
        assert link.is_symlink() and target.read_text() == text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are for POSIX")
def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(pipe, "through")
    reader.join(timeout=10)
    assert read == ["through"] and stat.S_ISFIFO(pipe.stat().st_mode) and os.listdir(tmp_path) == ["pipe"]
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    write_text(os.devnull, "nothing")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_names_of_any_length_and_of_any_bytes(tmp_path):
    long = tmp_path / ("n" * 250 + ".json")
    write_text(long, "x \udcff")
    assert long.read_text() == "x \\udcff"
    with pytest.raises(InputError, match=r"n{100}.*cannot be written \(File name too long\)"):
        write_text(tmp_path / ("n" * 300), "x")
    strange = tmp_path / os.fsdecode(b"\xff\x1b[31m.txt")
    write_text(strange, "x")
    with pytest.raises(InputError) as caught:
        write_text(strange / "below", "x")
    assert str(caught.value).isprintable() and sorted(os.listdir(tmp_path)) == sorted(
        [long.name, strange.name]
    )


def test_a_full_disk_is_no_fault_of_the_name(tmp_path):
    with pytest.raises(RunError, match=r"No space left on device.*make room"), written_whole(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == []


def test_what_is_under_way_can_be_removed_at_once(tmp_path):
    with pytest.raises(InputError), written_whole(tmp_path / "a") as partial:
        partial.write_text("half")
        remove_unfinished()
        assert os.listdir(tmp_path) == []
    assert os.listdir(tmp_path) == []


def test_an_open_file_goes_on_where_it_stands(tmp_path):
    with (tmp_path / "out").open("wb") as file:
        file.write(b"before ")
        file.flush()
        write_text(f"/dev/fd/{file.fileno()}", "between")
        file.write(b" after")
    assert (tmp_path / "out").read_bytes() == b"before between after"


def test_json_hides_nothing_from_a_terminal_and_loses_nothing(tmp_path):
    value = {"\u202eevil\x9b\u200b\x7f": ["caf\u00e9 \u2028", "\udc80", "\x1b[31m", "\n"]}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == value and "caf\u00e9" in text
    assert all(character.isprintable() or character == "\n" for character in text)
