"""The notebooks of docs/notebooks: made of their scripts, and they run."""

import nbformat
import pytest

from docs.notebooks.make import ROOT, SCRIPTS, execute, read_script
from tests.conftest import REAL_DATA

PHANTOM = """
from medzoo.datamodules import MedMNISTPhantomDataModule

data = MedMNISTPhantomDataModule(
    "breastmnist", root=ROOT, counts=[96, 32, 48], batch_size=32, radiomics=RadiomicsSettings("otsu_dark")
)
"""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.stem)
def test_a_notebook_is_that_of_its_script(script):
    made, kept = read_script(script), nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    assert [(cell.cell_type, cell.source) for cell in kept.cells] == [
        (cell.cell_type, cell.source) for cell in made.cells
    ], "run: make notebook"


@pytest.mark.slow
def test_the_radiomics_notebook_runs_on_phantoms(tmp_path, monkeypatch):
    notebook = read_script(ROOT / "docs" / "notebooks" / "radiomics.py")
    cells = [cell for cell in notebook.cells if "data" in cell.metadata.get("tags", [])]
    assert len(cells) == 1
    cells[0].source = PHANTOM
    run(notebook, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.skipif(not (REAL_DATA / "medmnist").is_dir(), reason=f"no {REAL_DATA / 'medmnist'}")
def test_the_radiomics_notebook_runs_on_breastmnist(tmp_path, monkeypatch):
    (tmp_path / "breastmnist.npz").symlink_to(REAL_DATA / "medmnist" / "breastmnist.npz")
    run(read_script(ROOT / "docs" / "notebooks" / "radiomics.py"), tmp_path, monkeypatch)


def run(notebook, folder, monkeypatch):
    monkeypatch.setenv("MEDMNIST_ROOT", str(folder))
    monkeypatch.setenv("EPOCHS", "1")
    done = execute(notebook)
    drawn = [
        output for cell in done.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(drawn) == 6
    assert "HCR + DLR, penalty" in "".join(str(cell.get("outputs", "")) for cell in done.cells)
