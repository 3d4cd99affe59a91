import numpy as np
import pytest
from scipy import ndimage

from medzoo.datamodules.phantoms.head.patient import simulate
from medzoo.evaluation.measures.midline import _ideal_midline, midline_shift_mm


def head(shift_mm, spacing=(5.0, 2.5, 2.5), turn=0.0, off_centre=0.0, seed=0):
    """A brain with two frontal horns and a third ventricle, all moved by `shift_mm` while the outline stays."""
    grids = np.meshgrid(*[np.arange(-100, 100, mm) for mm in spacing], indexing="ij")
    z, y, x = grids[0], *grids[1:]
    x = x - off_centre
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    brain = (x / 66) ** 2 + (y / 84) ** 2 + (z / 66) ** 2 < 1
    inner = x - shift_mm
    horns = (((np.abs(inner) - 8) / 5) ** 2 + ((y - 16) / 14) ** 2 + (z / 20) ** 2 < 1) | (
        (np.abs(inner) < 2.5) & (np.abs(y + 12) < 14) & (np.abs(z + 5) < 12)
    )
    ct = np.where(horns, 8.0, 32.0) + np.random.default_rng(seed).normal(0, 3, x.shape)
    return np.where(brain, np.clip(ct, 0.1, 100), 0), x


@pytest.mark.parametrize("spacing", [(5.0, 3.0, 3.0), (5.0, 2.5, 2.0), (3.0, 1.0, 1.0)])
@pytest.mark.parametrize("shift", [-9.0, -2.0, 0.0, 4.5])
def test_known_shift(shift, spacing):
    assert midline_shift_mm(head(shift, spacing)[0], spacing) == pytest.approx(shift, abs=0.6)


def test_place_and_turn_of_the_head_are_no_shift():
    ct, _ = head(5.0, turn=0.1, off_centre=7.0)
    assert midline_shift_mm(ct, (5.0, 2.5, 2.5)) == pytest.approx(5.0, abs=0.7)


def test_mirrored_head_has_the_opposite_shift():
    ct, _ = head(3.0)
    assert midline_shift_mm(ct[:, :, ::-1], (5.0, 2.5, 2.5)) == pytest.approx(-midline_shift_mm(ct, (5.0, 2.5, 2.5)))


def test_bleed_and_edema_on_one_side_are_no_shift():
    ct, x = head(0.0)
    bleed = ndimage.binary_dilation(np.zeros_like(ct, dtype=bool) | ((x > 18) & (x < 19)), iterations=2)
    bleed[:, :25] = bleed[:, 55:] = False
    edema = ndimage.binary_dilation(bleed, iterations=2) & ~bleed & (ct > 20)
    ct = np.where(bleed, 65, np.where(edema, ct - 10, ct))
    assert abs(midline_shift_mm(ct, (5.0, 2.5, 2.5), bleed)) < 0.7


def test_nothing_or_nothing_but_blood_has_no_shift():
    empty = np.zeros((4, 8, 8))
    assert midline_shift_mm(empty, (5, 1, 1)) == 0.0
    assert midline_shift_mm(np.full((8, 60, 60), 60.0), (5, 3, 3), np.ones((8, 60, 60))) == 0.0


def test_head_phantom():
    said, true = [], []
    for seed in range(12):
        patient = simulate((9, seed), skull=False)
        for scan in (patient.baseline, patient.followup):
            bleed = (scan.iph + scan.ivh > 0).T
            on_the_right = np.argwhere(scan.iph)[:, 0].mean() > scan.iph.shape[0] / 2
            true.append(scan.midline_shift_mm * (-1 if on_the_right else 1))
            said.append(midline_shift_mm(scan.ct.T, np.abs(np.diag(patient.affine))[2::-1], bleed))
    assert np.corrcoef(said, true)[0, 1] > 0.93
    assert np.abs(np.subtract(said, true)).mean() < 1.2


def test_narrow_rows_do_not_move_the_ideal_midline():
    brain = np.zeros((3, 60, 61), bool)
    brain[:, :28, 10:51] = True  # middle 30
    brain[:, 28:, 50:60] = True  # a quarter as wide, and off the middle
    assert _ideal_midline(brain, (5.0, 1.0, 2.0)) == pytest.approx(60)
