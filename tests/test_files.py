"""Files written whole or not at all; pipes and devices are written to, not replaced."""

import os
import stat
import threading

import pytest

from toeplitz_theory.files import write_text, written_whole


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
