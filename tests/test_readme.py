"""What README shows in Python runs, and its table is the one that the figures' command writes."""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_that_is_shown_runs(tmp_path, monkeypatch):
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    names: dict = {}
    exec(code, names)
    curve = names["r"]
    assert (curve.mean_delay, int(curve.delay(0.9))) == (1, 2)
    np.testing.assert_allclose(curve.at_once, 0.25, atol=1e-9)
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_table_is_the_one_that_figures_writes():
    assert (ROOT / "paper_figures" / "conditions.md").read_text(encoding="utf-8").strip() in README
