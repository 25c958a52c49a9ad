"""Quick looks, and many kernels in processes whose rows are kept."""

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import save_file

import toeplitz_theory as tt
from toeplitz_theory.errors import InputError
from toeplitz_theory.reports import Report, computing
from toeplitz_theory.reports.analysis import analyse
from toeplitz_theory.reports.terminal import print_report


def state(count=40, n=16, seed=0):
    kernels = np.random.default_rng(seed).normal(size=(count, n)).astype(np.float32)
    kernels[3] = 0.0  # nothing to be said of it
    kernels[5, :2] = 0.0
    return {f"blocks.{k}.mixer.weight": row for k, row in enumerate(kernels)}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A cache of its own, and the number of kernels analysed in this process."""
    monkeypatch.setenv("TOEPLITZ_THEORY_CACHE", str(tmp_path / "cache"))
    seen = []

    def watched(layer, asked):
        seen.append(layer.layer)
        return analyse(layer, asked)

    monkeypatch.setattr(computing, "analyse", watched)
    return seen


def test_quick_rows_hold_what_was_looked_at(tmp_path, capsys):
    quick, whole = tt.inspect(state(), quick=True), tt.inspect(state())
    assert quick.provenance.quick and not whole.provenance.quick
    for fast, slow in zip(quick.rows, whole.rows, strict=True):
        assert fast.index == slow.index
        assert fast.min_modulus == slow.min_modulus
        names = ("index_residual", "zeros_near_circle", "log10_condition", "nullity", "bits_bfloat16")
        assert [getattr(fast, name) for name in names] == [None] * 5
        assert "estimate" not in fast.note  # the report says it once
        if slow.analysed:
            assert fast.delay_90.lower <= slow.delay_90 <= (fast.delay_90.upper or np.inf)
            assert fast.jensen_deficit.lower <= slow.jensen_deficit.upper
            assert fast.jensen_deficit.upper >= slow.jensen_deficit.lower
    assert sum("quick look" in note for note in quick.notes) == 1
    assert quick.table["nullity"].isna().all()
    quick.save(tmp_path / "quick.json")
    again = Report.load(tmp_path / "quick.json")
    assert again.rows == quick.rows and again.provenance.quick
    assert json.loads((tmp_path / "quick.json").read_text())["provenance"]["quick"] is True
    print_report(quick)
    said = capsys.readouterr().out
    assert "quick look" in said and "log10 condition" not in said and "with the residual" not in said


def test_rows_from_processes_are_the_same_and_are_kept(kept):
    plain = tt.inspect(state())
    kept.clear()
    shared = tt.inspect(state(), jobs=2)
    assert not kept  # elsewhere
    assert shared.rows == plain.rows
    assert all((a.kernel == b.kernel).all() for a, b in zip(shared.rows, plain.rows, strict=True))
    assert tt.inspect(state(), jobs=1).rows == plain.rows
    assert not kept  # read, not computed


def test_an_interrupted_inspection_goes_on(kept, monkeypatch):
    watched = computing.analyse

    def interrupted(layer, asked):
        if len(kept) == 20:
            raise KeyboardInterrupt
        return watched(layer, asked)

    monkeypatch.setattr(computing, "analyse", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tt.inspect(state(), jobs=1)
    monkeypatch.setattr(computing, "analyse", watched)
    assert len(kept) == 20
    kept.clear()
    rows = tt.inspect(state(), jobs=1).rows
    assert kept == [row.layer for row in rows[16:]]  # one piece of 16 was whole


def test_other_options_kernels_and_code_are_other_rows(kept, monkeypatch):
    one = state(count=6)
    tt.inspect(one, jobs=1)
    for options in ({"tol": 0.5}, {"nullity_rtol": 0.5}, {"quick": True}):
        kept.clear()
        assert tt.inspect(one, jobs=1, **options).rows == tt.inspect(one, **options).rows
        assert len(kept) == 12
    kept.clear()
    one["blocks.0.mixer.weight"][-1] += 1e-3
    tt.inspect(one, jobs=1)
    assert len(kept) == 6
    kept.clear()
    monkeypatch.setattr(computing, "_code", lambda: "later")
    tt.inspect(one, jobs=1)
    assert len(kept) == 6


def test_a_damaged_entry_is_made_anew(kept, tmp_path, capsys):
    plain = tt.inspect(state(count=6), jobs=1)
    (entry,) = (tmp_path / "cache" / "rows").iterdir()
    (entry / "value.json").write_text("[]")
    kept.clear()
    assert tt.inspect(state(count=6), jobs=1).rows == plain.rows
    assert len(kept) == 6
    assert "made anew" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_costs_only_the_keeping(kept, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TOEPLITZ_THEORY_CACHE", str(tmp_path / "file"))
    assert tt.inspect(state(), jobs=1).rows == tt.inspect(state()).rows
    assert capsys.readouterr().err.count("rows are not kept") == 1


@pytest.mark.parametrize("jobs", [0, -1, 1.5, True, "2"])
def test_bad_jobs(jobs):
    with pytest.raises(InputError, match="jobs = "):
        tt.inspect(state(), jobs=jobs)


def test_a_script_needs_no_guard(tmp_path):
    """Processes are spawned without running the script that asked for them again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np, toeplitz_theory as tt\n"
        "print('once')\n"
        "kernels = list(np.random.default_rng(0).normal(size=(40, 16)))\n"
        "print(len(tt.inspect(kernels, jobs=2)))\n"
    )
    environment = os.environ | {"TOEPLITZ_THEORY_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "once\n40\n", "")


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_all_processes_and_the_same_command_goes_on(tmp_path):
    save_file(state(count=200, n=256), tmp_path / "model.safetensors")
    cache = tmp_path / "cache"
    environment = os.environ | {"TOEPLITZ_THEORY_CACHE": str(cache)}
    command = [sys.executable, "-m", "toeplitz_theory", "inspect", "model.safetensors", "--jobs", "2"]
    command += ["--json", "report.json"]
    run = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    while not list(cache.glob("rows/*/complete.json")):
        assert run.poll() is None
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    assert run.communicate()[1] == "toeplitz-theory: interrupted\n"
    assert run.returncode == 130
    before = len(list(cache.glob("rows/*/complete.json")))
    assert 0 < before < 13
    assert not (tmp_path / "report.json").exists()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(cache.glob("rows/*/complete.json"))) == 13
    # A process too busy to tidy up within its two seconds is killed; whoever writes the entry anew does it.
    assert not list(cache.glob("rows/.*"))
    assert len(Report.load(tmp_path / "report.json")) == 200


def test_memory_is_that_of_the_kernels():
    """What a row keeps beside its kernel does not grow with n, nor with what was computed on the way."""
    few, many = ({"a": np.random.default_rng(1).normal(size=(count, 256))} for count in (100, 300))
    tt.inspect(few, quick=True, kernels="a")
    kept = []
    for kernels in (few, many):
        tracemalloc.start()
        report = tt.inspect(kernels, quick=True, kernels="a")
        kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        del report
    assert (kept[1] - kept[0]) / 200 < 8 * 256 * 1.5 + 8000  # bytes a kernel
