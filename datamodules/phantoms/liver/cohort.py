"""Writes the liver cohort as files in the general layout (`datamodules/liver/records.py`), with the ground truth.

| file in the root | what |
|---|---|
| `patients.csv` | id, scanner, clinical columns, `hcc`, `time_months`, `event` |
| `<patient>/{ct,t1,t2,liver}.nii.gz` | CT in HU, T1 and T2, labels 1 liver and 2 lesion |
| `<patient>/tiles/tile_*.png` | H&E-like tiles of 64 microns |
| `genomics.tsv` | a row for each gene, a column for each patient, FPKM |
| `truth.csv` | known only for phantoms: findings of the causal model, log-odds and risk |
| `README.txt` | units and the causal model |
| `phantom.json` | seed, version and arguments; marks the folder as synthetic and complete |
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image
from rich.progress import track

from medzoo.datamodules.io import read_table
from medzoo.datamodules.phantoms.liver import causal, tables
from medzoo.datamodules.phantoms.liver.anatomy import draw_abdomen
from medzoo.datamodules.phantoms.liver.causal import MODALITIES, SHARES, People
from medzoo.datamodules.phantoms.liver.histology import render_tiles
from medzoo.datamodules.phantoms.liver.imaging import SCANNERS, Grid, render
from medzoo.datamodules.phantoms.writing import appearing, is_there, pool, write_table

__all__ = ["VERSION", "LiverPhantom"]

VERSION = 1
"""Increased when a change of the generator changes its files."""

_UNITS = """\
Synthetic upper abdomens: no person was scanned.

patients.csv: column names include the units; viral_hepatitis, diabetes, hcc, event 0 or 1; sex F or M.
genomics.tsv: FPKM. Images: CT in HU, T1 and T2 in arbitrary units, RAS+ mm; liver 1, lesion 2.

"""


@dataclass(frozen=True)
class LiverPhantom:
    """A synthetic cohort.

    Attributes:
        patients: Number of patients.
        size: Voxels of each volume along z, y, x, over 160 x 352 x 352 mm.
        tiles: Number of tiles of each patient.
        tile_size: Edge of a tile in pixels.
        scanner_b: Share of patients that were imaged on scanner B.
        missing_cells: Share of cells of the clinical table that are empty.
        missing_modalities: Share of patients without CT, without MR, and so on; each patient has at least one modality.
        interaction: How far the meaning of tiles and genes depends on the disease that CT, MR and the table show, from
            0 (not at all) to 3; see `causal`.
        seed: Seed of the cohort, independent of the seed of training.
        workers: Number of processes that write it.
    """

    patients: int = 400
    size: Sequence[int] = (32, 64, 64)
    tiles: int = 8
    tile_size: int = 64
    scanner_b: float = 0.0
    missing_cells: float = 0.05
    missing_modalities: float = 0.0
    interaction: float = 1.0
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse arguments that cannot give an abdomen."""
        if self.patients < 1 or self.tiles < 1 or self.tile_size < 16 or self.workers < 1:
            raise ValueError("phantom: patients, tiles and workers must be at least 1, and tile_size 16")
        if len(self.size) != 3 or min(self.size) < 8:
            raise ValueError(f"phantom.size={list(self.size)}: give three numbers of voxels z, y, x, at least 8 each")
        for name in ("scanner_b", "missing_cells", "missing_modalities"):
            if not 0 <= getattr(self, name) <= 0.9:
                raise ValueError(f"phantom.{name}={getattr(self, name)}: give a share of 0 to 0.9")
        if not 0 <= self.interaction <= 3:
            raise ValueError(f"phantom.interaction={self.interaction}: give a strength of 0 to 3")

    @property
    def name(self) -> str:
        """Folder name, unique for these arguments."""
        sizes = "x".join(map(str, self.size))
        gaps = f"missing{self.missing_cells:g}_{self.missing_modalities:g}_b{self.scanner_b:g}"
        strength = "" if self.interaction == 1 else f"_interaction{self.interaction:g}"
        return f"liver_{self.patients}_{sizes}_{self.tiles}tiles{self.tile_size}_{gaps}{strength}_seed{self.seed}"

    def write(self, root: Path) -> None:
        """Write the cohort, unless the same one is already there.

        Raises:
            FileExistsError: If `root` holds something else.
        """
        arguments = {**asdict(self), "size": list(self.size)}
        del arguments["workers"]
        if self.interaction == 1:  # as cohorts say that were written before it could be chosen
            del arguments["interaction"]
        record = {"phantom": "liver", "version": VERSION, **arguments}
        if is_there(root, record):
            return
        rng = np.random.default_rng(self.seed)
        people = causal.draw_people(rng, self.patients, self._effects)
        scanners = ["AB"[int(value)] for value in rng.uniform(size=self.patients) < self.scanner_b]
        rows = tables.missing_cells(rng, tables.clinical_rows(rng, people), self.missing_cells)
        has = _present(rng, self.patients, self.missing_modalities)
        with appearing(root) as folder:
            genes = tables.expression(rng, people.findings["genomics"])
            self._write_tables(folder, people, scanners, rows, has, genes)
            jobs = [
                (index, bool(people.viral[index]), {name: float(x[index]) for name, x in people.findings.items()},
                 scanners[index], dict(zip(MODALITIES, has[index].tolist(), strict=True)))
                for index in range(self.patients)
            ]  # fmt: skip
            with pool(self.workers) as run:
                done = run(partial(_write_patient, folder, self), jobs)
                list(track(done, "liver phantoms", total=len(jobs), disable=len(jobs) < 20, transient=True))
            (folder / "README.txt").write_text(_UNITS + (causal.__doc__ or ""))
            (folder / "phantom.json").write_text(json.dumps(record, indent=2) + "\n")

    @property
    def _effects(self) -> causal.Effects:
        return causal.effects_of(self.interaction)

    def log_odds(self, root: Path, ids: Sequence[str], present: np.ndarray, modalities: Sequence[str]) -> np.ndarray:
        """The best possible score of each patient's class.

        Args:
            root: Folder of the cohort.
            ids: Ids of N patients.
            present: (N, M) bool, whether a patient has a modality.
            modalities: Names of the M modalities.

        Returns:
            (N,) log-odds of cancer, given the findings of the modalities that are present.
        """
        rows = read_table(root / "truth.csv").by("id")
        viral = np.array([float(rows[name]["viral"]) == 1 for name in ids])
        findings = {name: np.array([float(rows[each][name]) for each in ids]) for name in modalities}
        odds = np.zeros(len(ids))
        for pattern in np.unique(present, axis=0):
            mine = (present == pattern).all(1)
            seen = {name: findings[name][mine] for name, there in zip(modalities, pattern, strict=True) if there}
            odds[mine] = causal.log_odds(viral[mine], seen, [*seen], self._effects)
        return odds

    def _write_tables(
        self,
        folder: Path,
        people: People,
        scanners: list[str],
        rows: list[dict[str, float | str]],
        has: np.ndarray,
        genes: np.ndarray,
    ) -> None:
        names = [patient_name(index) for index in range(self.patients)]
        clinical = MODALITIES.index("clinical")
        written = []
        for index, (name, row) in enumerate(zip(names, rows, strict=True)):
            cells = row if has[index, clinical] else dict.fromkeys(row, "")
            outcome = {"hcc": int(people.cancer[index]), "time_months": round(float(people.months[index]), 2)}
            row = {"id": name, "scanner": scanners[index], **cells, **outcome, "event": int(people.died[index])}
            written.append(row)
        write_table(folder / "patients.csv", written)
        write_table(folder / "truth.csv", _truth(names, people, rows, has, self._effects))
        kept = np.flatnonzero(has[:, MODALITIES.index("genomics")])
        lines = ["\t".join(["gene", *(names[index] for index in kept)])]
        for gene, values in zip(tables.GENES, genes[kept].T, strict=True):
            lines.append("\t".join([gene, *(f"{value:.4g}" for value in values)]))
        (folder / "genomics.tsv").write_text("\n".join(lines) + "\n")


def patient_name(index: int) -> str:
    """Id of the index-th patient."""
    return f"liver_{index + 1:04d}"


def _present(rng: np.random.Generator, n: int, rate: float) -> np.ndarray:
    """(n, 5) bool: the modalities of each patient; a patient who would have none keeps the one drawn highest."""
    drawn = rng.uniform(size=(n, len(MODALITIES)))
    return (drawn >= rate) | (drawn == drawn.max(1, keepdims=True))


def _truth(
    names: list[str],
    people: People,
    rows: list[dict[str, float | str]],
    has: np.ndarray,
    effects: causal.Effects,
) -> list[dict[str, Any]]:
    """Findings as the files show them, and the best scores given all data of a patient."""
    known = np.array([[row[column] != "" for column in SHARES] for row in rows])
    findings = {**people.findings, "clinical": (people.columns * known).sum(1) / 2}
    scores = {name: np.zeros(len(names)) for name in ("log_odds", "risk")}
    for pattern in np.unique(has, axis=0):
        mine = (has == pattern).all(1)
        seen = [name for name, there in zip(MODALITIES, pattern, strict=True) if there]
        part: Mapping[str, np.ndarray] = {name: x[mine] for name, x in findings.items()}
        scores["log_odds"][mine] = causal.log_odds(people.viral[mine], part, seen, effects)
        scores["risk"][mine] = causal.risk(people.viral[mine], part, seen, effects)
    columns = {"viral": people.viral.astype(int), **findings, **scores}
    return [
        {"id": name, **{key: round(float(column[index]), 5) for key, column in columns.items()}}
        for index, name in enumerate(names)
    ]


def _write_patient(
    folder: Path, phantom: LiverPhantom, job: tuple[int, bool, dict[str, float], str, dict[str, bool]]
) -> None:
    index, viral, findings, scanner, has = job
    rng = np.random.default_rng((phantom.seed, index + 1))
    home, grid = folder / patient_name(index), Grid((phantom.size[2], phantom.size[1], phantom.size[0]))
    home.mkdir()
    abdomen, measure = draw_abdomen(rng), next(each for each in SCANNERS if each.name == scanner)
    images = render(rng, abdomen, grid, measure, viral=viral, enhancement=findings["ct"], nodularity=findings["mr"])
    wanted = {"ct": has["ct"], "t1": has["mr"], "t2": has["mr"], "liver": has["ct"] or has["mr"]}
    for name in (name for name, there in wanted.items() if there):
        image = nib.Nifti1Image(getattr(images, name), grid.affine)
        image.header.set_xyzt_units("mm")
        image.set_qform(grid.affine, 1)
        image.set_sform(grid.affine, 1)
        image.to_filename(home / f"{name}.nii.gz")
    if has["histology"]:
        (home / "tiles").mkdir()
        tiles = render_tiles(rng, findings["histology"], phantom.tiles, phantom.tile_size, scanner)
        for number, tile in enumerate(tiles):
            Image.fromarray(tile).save(home / "tiles" / f"tile_{number:02d}.png")
