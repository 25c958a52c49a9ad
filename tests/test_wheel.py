"""The wheel holds what the package needs, and the source archive what its tests read."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[1]


def test_the_wheel_works_outside_the_checkout(tmp_path):
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(built) as wheel:
        wheel.extractall(site)
    kernel = np.array([[1.0, -2.0]], dtype=np.float32)
    save_file({"mixer_blocks.0.token_mixing_layer.weight": kernel}, elsewhere / "model.safetensors")
    program = (
        "import sys, toeplitz_theory.cli as cli; print(cli.__file__); "
        "sys.exit(cli.run(['inspect', 'model.safetensors', '--json', 'r.json', '--html', 'r.html']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site)), "the checkout was imported, not the wheel"
    (row,) = json.loads((elsewhere / "r.json").read_text())["rows"]
    assert row["index"]["value"] == -1
    assert "<script" in (elsewhere / "r.html").read_text()


def test_the_source_archive_holds_what_its_tests_read():
    packed = {
        file.relative_path.split(os.sep)[0] for file in SdistBuilder(str(ROOT)).recurse_included_files()
    }
    read = {
        part
        for path in (ROOT / "tests").rglob("*.py")
        for part in re.findall(r'(?:ROOT|parents\[\d\]\)?) / "([^"/]+)', path.read_text(encoding="utf-8"))
    }
    assert {"models", "paper_figures", "notebooks", "docs"} <= read
    assert read | {"Makefile", "benchmarks"} <= packed
