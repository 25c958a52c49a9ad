"""The paper's figures: found, listed when misspelt, and drawn from saved kernels."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from toeplitz_theory.cli import run
from toeplitz_theory.errors import InputError
from toeplitz_theory.reports.shipped import conditions
from toeplitz_theory.reports.trajectory import kernel_trajectory

ROOT = Path(__file__).parents[1]


def write_steps(folder, steps=(0, 100, 200)):
    """Save kernels whose one zero moves out of the unit disc: |z| = 0.5, 1.25, 2."""
    folder.mkdir(parents=True, exist_ok=True)
    for step, zero in zip(steps, (0.5, 1.25, 2.0), strict=True):
        kernel = np.array([[1.0, -1.0 / zero]])
        save_file({"blocks.0.mixer.weight": kernel[0]}, folder / f"step-{step:06d}.safetensors")


def test_trajectory_follows_a_zero_through_the_circle(tmp_path):
    write_steps(tmp_path)
    run_ = kernel_trajectory(tmp_path)
    assert run_.steps == [0, 100, 200] and run_.layers == ["blocks.0"]
    assert run_.index == [[-1], [0], [0]]
    np.testing.assert_allclose(np.ravel(run_.jensen_deficit), [np.log(2), 0, 0], atol=1e-12)
    dense = [np.log10(np.linalg.cond([[1.0, 0.0], [-1 / z, 1.0]])) for z in (0.5, 1.25, 2.0)]
    np.testing.assert_allclose(np.ravel(run_.log10_condition), dense, atol=1e-9)


def test_trajectory_goes_on_from_its_cache(tmp_path, monkeypatch):
    write_steps(tmp_path / "kernels")
    cache = tmp_path / "cache.json"
    first = kernel_trajectory(tmp_path / "kernels", cache)
    monkeypatch.setattr(
        "toeplitz_theory.reports.trajectory._numbers", lambda path: pytest.fail("computed again")
    )
    assert kernel_trajectory(tmp_path / "kernels", cache) == first
    cache.write_text(cache.read_text()[:50])
    with pytest.raises(InputError, match="not valid JSON"):
        kernel_trajectory(tmp_path / "kernels", cache)


def test_trajectory_keeps_infinities_and_the_order_of_steps(tmp_path):
    for step, kernel in ((1_000_000, [2.0, 1.0]), (200_000, [0.0, 1.0])):
        save_file({"blocks.0.mixer.weight": np.array(kernel)}, tmp_path / f"step-{step}.safetensors")
    (tmp_path / "step-last.safetensors").touch()
    for _ in range(2):  # computed, then from the cache
        run_ = kernel_trajectory(tmp_path, tmp_path / "cache.json")
        assert run_.steps == [200_000, 1_000_000] and run_.index == [[-1], [0]]
        assert run_.jensen_deficit[0] == run_.log10_condition[0] == [np.inf]


def test_missing_models_and_kernels(tmp_path):
    with pytest.raises(InputError, match="no step-N"):
        kernel_trajectory(tmp_path)
    with pytest.raises(InputError, match="tmm-next-token"):
        conditions(tmp_path)


def test_figure_names(tmp_path, capsys):
    assert run(["figures", "nonesuch", "--root", str(ROOT)]) == 2
    names = sorted(path.stem for path in (ROOT / "paper_figures").glob("*.py"))
    assert {"by_layer", "recovery", "zeros"} <= set(names) and ", ".join(names) in capsys.readouterr().err
    assert run(["figures", "--root", str(tmp_path)]) == 2
    assert "run this in a checkout" in capsys.readouterr().err


def test_shipped_figures_are_whole():
    for path in (ROOT / "paper_figures").glob("*.py"):
        drawn = list((ROOT / "paper_figures").glob(f"{path.stem}*.png"))
        assert drawn or path.with_suffix(".md").exists(), path
        assert all(file.with_suffix(".pdf").stat().st_size < 300_000 for file in drawn)


def test_redrawing_a_figure_leaves_the_bytes_as_they_are(tmp_path):
    assert run(["figures", "zeros", "--root", str(ROOT), "--output", str(tmp_path / "a")]) == 0
    assert run(["figures", "zeros", "--root", str(ROOT), "--output", str(tmp_path / "b")]) == 0
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["zeros.pdf", "zeros.png"]
    for name in files:
        first = (tmp_path / "a" / name).read_bytes()
        assert first == (tmp_path / "b" / name).read_bytes()
        assert b"Date" not in first and b"atplotlib" not in first


def test_shipped_trajectories_belong_to_the_shipped_kernels():
    """The numbers behind figure (d), recomputed for the last step of each model."""
    for name in ("tmm-next-token", "tmm-autoencoder"):
        cache = ROOT / "paper_figures" / "data" / f"{name}.json"
        kept = json.loads(cache.read_text())
        kernels = ROOT / "models" / name / "kernels"
        assert len(kept) == len(list(kernels.glob("step-*.safetensors")))
        run_ = kernel_trajectory(kernels, cache)
        assert json.loads(cache.read_text()) == kept and run_.steps[-1] == 7000


def test_through_training_draws(tmp_path):
    source = ROOT / "paper_figures" / "through_training.py"
    spec = importlib.util.spec_from_file_location("through_training", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    write_steps(tmp_path / "models" / "m" / "kernels")
    module.RUNS = dict.fromkeys(("a", "b", "c"), ("m", "blocks"))
    files = module.draw(tmp_path / "models", tmp_path / "out")
    assert [path.suffix for path in files] == [".png", ".pdf"] and all(p.stat().st_size > 5000 for p in files)
