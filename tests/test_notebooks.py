"""Every notebook runs from top to bottom."""

from pathlib import Path

import jupytext
import nbclient
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    notebook = jupytext.read(path)
    resources = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs and not any(output.output_type == "error" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    # What can be dragged is a picture where nothing can: in an exported page, on a code host.
    shown = [output.get("data", {}) for output in outputs]
    widgets = [data for data in shown if "application/vnd.jupyter.widget-view+json" in data]
    assert all("image/png" in data for data in widgets)
    for data in shown:  # no result fills the screen
        assert data.get("text/plain", "").count("\n") < 40


def test_the_first_notebook_is_about_ones_own_model():
    assert NOTEBOOKS[0].stem == "inspect_my_own_model"
