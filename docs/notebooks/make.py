"""Makes the notebooks of this folder: each `.py` in percent format becomes an executed `.ipynb` beside it.

python -m docs.notebooks.make
"""

from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(file for file in Path(__file__).parent.glob("*.py") if file.stem != "make")


def read_script(file: Path) -> nbformat.NotebookNode:
    """The notebook of a script, without outputs; cells are numbered, so that the same script gives the same file."""
    notebook = jupytext.read(file)
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index}"
    return notebook


def execute(notebook: nbformat.NotebookNode, folder: Path = ROOT) -> nbformat.NotebookNode:
    """Run all cells in a folder and keep what they print and draw, without times and warnings."""
    NotebookClient(notebook, timeout=1200, record_timing=False, resources={"metadata": {"path": str(folder)}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


if __name__ == "__main__":
    for script in SCRIPTS:
        nbformat.write(execute(read_script(script)), script.with_suffix(".ipynb"))
        print(script.with_suffix(".ipynb"))
