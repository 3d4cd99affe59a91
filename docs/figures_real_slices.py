"""Draws docs/images/hemexp_real_slices.png: real head CT slices with blood, reconstructed by the phantoms' autoencoder.

    MEDZOO_REAL_DATA=<folder> python -m docs.figures_real_slices <run>/autoencoder/checkpoints/best.ckpt

The run is one of hemexp_demo. The folder holds slices of CT-ICH v1.0.0 (PhysioNet, CC BY 4.0) under `head-ct`: JPEG in
the brain window (40 HU, 120 HU wide), all blood in one mask, no pixel size. Therefore each slice is scaled until its
brain is 170 mm long, to match the phantoms' grid; all blood counts as IPH.
"""

import logging
import os
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from PIL import Image

import medzoo
from medzoo.datamodules.preparation import SkullStrip
from medzoo.evaluation.figures import reconstruction_figure

OUTPUT = Path(__file__).parent / "images" / "hemexp_real_slices.png"
SIZE, PIXEL_MM, BRAIN_MM = 64, 3.0, 170.0
SHOWN = 6


def main(checkpoint: str) -> None:
    """Reconstruct all slices, print the errors, draw some."""
    files = sorted((Path(os.environ["MEDZOO_REAL_DATA"]) / "head-ct").rglob("images/*.jpg"))
    read = [read_slice(file) for file in files]
    images = torch.stack([image for image in read if image is not None])
    with torch.no_grad():
        said = medzoo.load(checkpoint)(images)
    brain = images[:, 0] > 0
    error = 100 * (said[:, 0] - images[:, 0]).abs()[brain].mean().item()
    a, b = said[:, 1] > 0.5, images[:, 1] > 0.5
    dice = 2 * (a & b).sum().item() / (a.sum() + b.sum()).item()
    print(f"{len(images)} of {len(files)} real slices, the others show no whole oval of brain")
    print(f"CT error {error:.2f} HU in the brain, Dice of the blood {dice:.3f}")
    largest = images[:, 1].sum(dim=(1, 2)).argsort(descending=True)
    chosen = largest[:: max(1, len(largest) // (2 * SHOWN))][:SHOWN]
    figure = reconstruction_figure(images[chosen].numpy(), said[chosen].numpy())
    figure.savefig(OUTPUT, dpi=90)


def read_slice(file: Path) -> torch.Tensor | None:
    """(3, 64, 64) in RAS order: skull-stripped CT, 0-100 HU as [0, 1], and blood as IPH; None if no brain is found."""
    hu = np.asarray(Image.open(file).convert("L"), np.float32)[::-1, ::-1] / 255 * 120 - 20
    mask_file = next((file.parents[1] / "masks").glob(f"{file.stem}.*"))
    blood = np.asarray(Image.open(mask_file).convert("RGB")).max(2)[::-1, ::-1] > 127
    image = sitk.GetImageFromArray(hu[None].copy())
    image.SetSpacing((0.4, 0.4, 5.0))
    try:
        brain = SkullStrip(bone=98.0, peel=None)(image, file.stem, keep=blood[None])[0]
    except ValueError:
        return None
    rows, columns = np.flatnonzero(brain.any(1)), np.flatnonzero(brain.any(0))
    if brain.sum() < 0.65 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1):  # an oval fills 0.79 of its box
        return None
    zoom = BRAIN_MM / PIXEL_MM / (rows[-1] - rows[0] + 1)
    stack = torch.from_numpy(np.stack([np.clip(hu, 0, 100) / 100 * brain, blood & brain]).astype(np.float32))[None]
    small = F.interpolate(stack, scale_factor=zoom, mode="area")[0]
    centre = [round(float(np.flatnonzero(brain.any(axis)).mean()) * zoom) for axis in (1, 0)]
    padded = F.pad(small, (SIZE,) * 4)
    top, left = (place + SIZE - SIZE // 2 for place in centre)
    slice_ = padded[:, top : top + SIZE, left : left + SIZE]
    blood_ = (slice_[1:2] > 0.5).float()
    return torch.cat([slice_[:1], blood_, torch.zeros_like(blood_)])


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # each of the 36 slices would warn that its brain is too small
    main(sys.argv[1])
