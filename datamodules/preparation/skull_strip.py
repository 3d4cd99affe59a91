"""Brain mask of a head CT by thresholds and distances, or by an external tool.

The built-in method needs no weights. Dense voxels are bone; the brain is the largest piece of soft tissue enclosed by
bone after cutting narrow bridges (optic canals, foramina, thin bone of the skull base). The order of steps follows
common practice for CT (e.g. Muschelli et al., NeuroImage 2015, who threshold at 0-100 HU and smooth before BET). Its
limits: the cord below the skull base is cut off by slice, and large skull defects (craniectomy) let scalp in. For these
use an external tool: `command="mri_synthstrip -i {input} -o {output} -m {mask}"` (SynthStrip, Hoopes et al., NeuroImage
2022).
"""

import logging
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from medzoo.datamodules.io import read_volume

__all__ = ["SkullStrip"]

log = logging.getLogger(__name__)

_TISSUE = (0.0, 100.0)  # HU: CSF 0-15, brain 20-45, acute blood 50-90
_BRIDGE = 5.0  # mm; connections between brain and outside are cut up to twice this width
_PLAUSIBLE = (700.0, 2000.0)  # mL, brain with CSF of an adult within the field of view


class SkullStrip:
    """Callable that returns the brain mask of a CT.

    Args:
        bone: Voxels of at least this HU are bone; thick slices blur thin bone of the skull base to 100-300 HU.
        closing: Gaps in the skull of up to twice this many mm are closed within a slice.
        peel: Voxels above this HU at the brain surface are peeled off as blurred bone; None peels nothing.
        command: External tool with `{input}`, `{output}` and `{mask}` for files; None uses thresholds. The line is
            split as in a shell, but not run by one.
    """

    def __init__(
        self, bone: float = 150.0, closing: float = 10.0, peel: float | None = 75.0, command: str | None = None
    ) -> None:
        self.bone, self.closing, self.peel, self.command = bone, closing, peel, command
        if command is not None:
            _check_command(command)

    def __call__(self, ct: sitk.Image, name: str, keep: np.ndarray | None = None) -> np.ndarray:
        """Find the brain: (z, y, x) bool.

        Args:
            ct: Image in HU in RAS orientation.
            name: Name of the scan in messages.
            keep: (z, y, x) bool, voxels that always belong to the brain, such as the annotated bleed.

        Raises:
            ValueError: If no brain is found, or the external tool fails.
        """
        hu = sitk.GetArrayFromImage(ct)
        brain = _brain(ct, self.bone, self.closing) if self.command is None else _run(self.command, ct, name)
        if keep is None:
            keep = np.zeros_like(brain)
        if self.peel is not None:
            brain = _largest(_peel(brain, (hu > self.peel) & ~keep, ct.GetSpacing()[0]))
        if keep.any() and (keep & ~brain).sum() > 0.1 * keep.sum():
            log.warning("%s: more than a tenth of the bleed lies outside the brain; inspect masks and result", name)
        brain |= keep
        volume = float(brain.sum() * np.prod(ct.GetSpacing()) / 1000)
        if volume < 1:
            raise ValueError(
                f"{name}: no brain found; expected a head CT in HU with skull (see docs/how-to/prepare_head_ct.md)"
            )
        if not _PLAUSIBLE[0] < volume < _PLAUSIBLE[1]:
            log.warning("%s: brain of %.0f mL; inspect the result, the skull strip may have failed", name, volume)
        return brain


def _brain(ct: sitk.Image, bone: float, closing: float) -> np.ndarray:
    """Brain mask by thresholds."""
    # Smooth away noise that looks like air or fat; clamp first, so that bone does not spread into the brain.
    clamped = sitk.Clamp(sitk.Cast(ct, sitk.sitkFloat32), lowerBound=-100, upperBound=_TISSUE[1])
    smooth = sitk.GetArrayFromImage(sitk.DiscreteGaussian(clamped, [1.0, 1.0, 0.0]))
    hu = sitk.GetArrayFromImage(ct)
    brain = np.zeros(hu.shape, bool)
    skull = _largest(hu >= bone)
    if not skull.any():
        return brain
    head = ndimage.find_objects(skull.astype(np.uint8))[0]  # crop to the head: usually a third of the voxels
    spacing = ct.GetSpacing()[::-1]
    inside = _inside(skull[head], spacing[1:], closing)
    tissue = inside & (smooth[head] >= _TISSUE[0]) & (hu[head] <= _TISSUE[1])
    core = _largest(ndimage.distance_transform_edt(tissue, spacing) > _BRIDGE)
    if core.any():
        rim = _BRIDGE + 1  # 1 mm more than was cut off, to allow for rounding of the distances
        soft = tissue & (ndimage.distance_transform_edt(~core, spacing) <= rim)
        # Calcifications leave holes within a slice, which belong to the brain; the hole of the sella belongs to skull.
        brain[head] = np.stack([ndimage.binary_fill_holes(plane) for plane in soft]) & inside
    return brain


def _inside(skull: np.ndarray, spacing: Sequence[float], closing: float) -> np.ndarray:
    """The area enclosed by bone within each slice, after closing gaps of up to twice `closing` mm."""
    pad = int(np.ceil(closing / min(spacing))) + 1
    planes = []
    for plane in skull:
        plane = np.pad(plane, pad)
        if not plane.any():  # no distance to measure
            planes.append(plane)
            continue
        near = ndimage.distance_transform_edt(~plane, spacing) <= closing
        closed = ndimage.distance_transform_edt(near, spacing) > closing
        planes.append(ndimage.binary_fill_holes(closed | plane) & ~plane)
    return np.stack(planes)[:, pad:-pad, pad:-pad]


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]) if count else mask


def _peel(brain: np.ndarray, dense: np.ndarray, spacing: float, depth: float = 3.0) -> np.ndarray:
    """Remove dense voxels connected to the outside within a slice from the brain, up to a depth in mm."""
    in_plane = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]
    steps = max(1, round(depth / spacing))
    outside = ndimage.binary_dilation(~brain, in_plane, iterations=steps, mask=~brain | dense)
    return brain & ~outside


def _check_command(command: str) -> None:
    try:
        command.format(input="", output="", mask="")
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"command={command!r}: only {{input}}, {{output}} and {{mask}} may be in braces") from error
    if "{input}" not in command or "{mask}" not in command:
        raise ValueError(f"command={command!r}: name the files with {{input}} and {{mask}}")
    tool = shlex.split(command)[0]
    if shutil.which(tool) is None:
        raise FileNotFoundError(f"skull strip: no program {tool!r} on this machine; install it or set command to null")


def _run(command: str, ct: sitk.Image, name: str) -> np.ndarray:
    """Brain mask by an external tool, through temporary files."""
    with tempfile.TemporaryDirectory() as folder:
        files = {key: str(Path(folder) / f"{key}.nii.gz") for key in ("input", "output", "mask")}
        sitk.WriteImage(ct, files["input"])
        words = [word.format(**files) for word in shlex.split(command)]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0 or not Path(files["mask"]).is_file():
            last = (done.stdout.strip().splitlines() or ["no output"])[-1]
            raise ValueError(f"{name}: {words[0]} ended with code {done.returncode}: {last}")
        volume = read_volume(Path(files["mask"]))
    mask = volume.grid.to_file(volume.array)
    if mask.shape != ct.GetSize():
        raise ValueError(f"{name}: {words[0]} gave a mask of size {mask.shape}, not the CT's {ct.GetSize()}")
    return mask.T > 0
