"""Who may import whom (docs/explanation.md, "The rooms")."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT

ROOMS = ("models", "lightning_modules", "datamodules", "callbacks", "evaluation", "runtime")
MAY_IMPORT = {
    "models": set(),
    "evaluation": set(),
    "datamodules": {"evaluation"},
    "lightning_modules": {"models", "evaluation"},
    "callbacks": {"evaluation"},
    "runtime": {"evaluation"},
}
LIBRARIES = {
    "models": {"torch", "monai", "timm", "einops", "mamba_ssm"},  # the last where it is installed, as below
    "evaluation": {"numpy", "scipy", "sklearn", "skimage", "torch", "matplotlib", "cycler", "xgboost"},
}
OPENERS = {
    "nibabel",
    "PIL",
    "pydicom",
    "highdicom",
    "csv",
    "openpyxl",
    "pandas",
    "zipfile",
    "tarfile",
    "gzip",
    "tifffile",
}
READERS = {
    "imread",
    "ReadImage",
    "ImageFileReader",
    "ImageSeriesReader",
    "read_csv",
    "loadtxt",
    "genfromtxt",
    "fromfile",
}
RUN_FILES = {  # what a run writes of itself, and its report reads again
    "callbacks/output.py": {"csv", "PIL"},
    "runtime/output/run_folder.py": {"csv"},
    "runtime/loggers.py": {"csv"},
    "runtime/comparisons.py": {"pandas"},
    "runtime/output/sweep.py": {"pandas"},
    "runtime/output/tables.py": {"pandas"},
}
VERBS = sorted(ROOT.glob("*.py"))


def imported(file: Path) -> set[str]:
    """Rooms and other packages that a file imports, wherever in it."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {f"medzoo.{alias.name}" for alias in node.names} if node.module == "medzoo" else {node.module}
    assert not {module.split(".")[0] for module in modules} & {*ROOMS}, f"{file}: rooms are imported from medzoo"
    return {module.removeprefix("medzoo.").split(".")[0] for module in modules}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room):
    for file in (ROOT / room).rglob("*.py"):
        foreign = imported(file) & set(ROOMS) - MAY_IMPORT[room] - {room}
        assert not foreign, f"{file.relative_to(ROOT)} imports {foreign}"


@pytest.mark.parametrize("room", sorted(LIBRARIES))
def test_networks_and_figures_stay_free_of_frameworks(room):
    for file in (ROOT / room).rglob("*.py"):
        foreign = imported(file) - LIBRARIES[room] - {room} - set(sys.stdlib_module_names)
        assert not foreign, f"{file.relative_to(ROOT)} imports {foreign}"


def readings(file: Path) -> set[str]:
    """Calls that open a file of data, wherever in it: `np.load`, `imread`, `sitk.ReadImage`, JSON of a file."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            said = ast.unparse(node.func)
            name = said.rpartition(".")[2]
            of_file = name == "loads" and any(f".{how}(" in ast.unparse(node) for how in ("read_text", "read_bytes"))
            if name in READERS or said in ("np.load", "numpy.load", "np.memmap", "json.load") or of_file:
                found.add(said)
    return found


@pytest.mark.parametrize("room", ["datamodules", "lightning_modules", "callbacks", "runtime"])
def test_files_of_data_are_opened_in_one_room(room):
    for file in (ROOT / room).rglob("*.py"):
        place = file.relative_to(ROOT)
        if place.parts[:2] in (("datamodules", "io"), ("datamodules", "phantoms")):  # phantoms write
            continue
        foreign = imported(file) & OPENERS - RUN_FILES.get(place.as_posix(), set())
        assert not foreign, f"{place} imports {foreign}; datamodules/io opens files"
        calls = {call for call in readings(file) if room == "datamodules" or call.endswith(("np.load", *READERS))}
        own = {"read_csv"} if room == "runtime" else set()  # of a run folder
        assert not {call for call in calls if call.rpartition(".")[2] not in own}, f"{place} calls {calls}"


def test_no_name_of_the_run_files_is_left_over():
    for file, names in RUN_FILES.items():
        assert names <= imported(ROOT / file), file


@pytest.mark.parametrize("verb", VERBS, ids=lambda file: file.stem)
def test_a_verb_is_thin_and_knows_only_the_runtime(verb):
    assert imported(verb) == {"runtime"}
    assert len(verb.read_text().splitlines()) <= 100


def test_verbs_import_no_verbs():
    for file in (ROOT / "runtime").rglob("*.py"):
        assert "from medzoo.runtime.verbs" not in file.read_text(), file


@pytest.mark.parametrize("word", ["--help", "experiment=hemxp", "--hlep", "monitr=val/auc"])
def test_help_and_mistakes_wait_for_no_pytorch(word):
    code = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); "
    command = [sys.executable, "-c", f"{code} from medzoo.runtime.cli import main; main('train')", word]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert said.splitlines()[-1] == "False"


def test_nothing_needs_the_material_beside_the_checkout():
    for file in ROOT.glob("*/**/*.py"):
        if ".venv" not in file.parts and file.parts[len(ROOT.parts)] not in ("tests", "benchmarks"):
            assert "shared" + "/" not in file.read_text(), file


def test_files_stay_short():
    for file in ROOT.glob("*/**/*.py"):
        if ".venv" not in file.parts:
            assert len(file.read_text().splitlines()) <= 400, file


def test_no_folder_holds_more_modules_than_one_can_look_over():
    folders = Counter(file.parent for room in (*ROOMS, "benchmarks") for file in (ROOT / room).rglob("*.py"))
    assert {folder.relative_to(ROOT).as_posix(): count for folder, count in folders.items() if count > 12} == {}
