"""Draws docs/images/head_phantom.png and prints the numbers of the head phantom.

    MEDZOO_REAL_DATA=<folder> python -m docs.figures_head_phantom

The folder holds `head-ct/dcm_qa_ct_GE` (DICOM series), `head-ct/ct-ich_v1.0.0_slices` (PhysioNet ct-ich) and
`head-ct-template` (tissue maps). Takes about a minute on one core.
"""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from PIL import Image
from scipy import ndimage

from medzoo.datamodules.phantoms.head import causal, signs, simulate
from medzoo.datamodules.phantoms.head.scanner import Scanner
from medzoo.datamodules.preparation.scan import read_ct
from medzoo.datamodules.preparation.skull_strip import SkullStrip
from medzoo.evaluation.figures.followup.head import image_axes
from medzoo.evaluation.figures.style import COLOURS, new_figure
from medzoo.evaluation.scores.classification import auc
from medzoo.evaluation.scores.followup_baselines import baseline_forecasts, fit_baselines
from medzoo.evaluation.scores.forecasts import crps

ROOT = Path(__file__).resolve().parent.parent
LIKE_GE = Scanner(thickness_mm=5.0, noise_hu=3.9, cupping_hu=4.0, shading_hu=0.6)
QUIET = Scanner(thickness_mm=5.0, noise_hu=0.0, cupping_hu=0.0, shading_hu=0.0)
SIZE = {"image_size": 416, "spacing_mm": 0.5}
MIDDLE = {"image_size": 192, "spacing_mm": 1.0}
HEAD = (7, 29)  # the phantom shown beside the GE series: an old patient with a small bleed
BLEEDS = ((7, 3), (7, 14), (7, 6), (7, 8), (7, 21), (7, 11))
REAL_BLEEDS = ("10185", "10193", "10195", "10203", "10205", "10215")
TISSUES = {"CSF": COLOURS[0], "white": COLOURS[1], "grey": COLOURS[2]}
VIEW_MM = 210


def main() -> None:
    """Draw and print."""
    data = Path(os.environ.get("MEDZOO_REAL_DATA", ROOT.parent / "data"))
    if not (data / "head-ct").is_dir():
        raise SystemExit(f"no head-ct in {data}; name the folder with MEDZOO_REAL_DATA")
    print_causal_numbers()
    figure, axes = new_figure(12, 10.8, 5, 6, height_ratios=[1, 1, 1.05, 1, 1.1])
    ct = read_ct(data / "head-ct" / "dcm_qa_ct_GE")
    levels(axes[:2], ct)
    bleeds(axes[2:4], data / "head-ct" / "ct-ich_v1.0.0_slices")
    histograms(figure, axes[4], ct, data / "head-ct-template")
    figure.savefig(ROOT / "docs" / "images" / "head_phantom.png", dpi=110)


def print_causal_numbers(count: int = 60_000, train: int = 20_000) -> None:
    """Print prevalence, Bayes AUC, and the CRPS of ideal forecasts and of the baselines, for each kind of signs."""
    for kind in (None, "published", "confounded"):
        rng, confounded = np.random.default_rng(0), kind == "confounded"
        clinical = causal.draw_clinical(rng, count) | (signs.draw_signs(rng, count) if kind else {})
        clinical = signs.treat(clinical, rng) if confounded else clinical
        volume = causal.realised_volume(clinical, causal.draw_noise(rng, count), confounded=confounded)
        baseline, expands = clinical["IPH_baseline_ml"], causal.is_expansion(clinical["IPH_baseline_ml"], volume)
        chance = causal.expansion_probability(clinical, confounded=confounded)
        print(f"signs {kind}: expansion {expands.mean():.3f}, Bayes AUC {auc(expands, chance)[0]:.3f}")
        growth = (volume / baseline - 1)[expands]
        print(f"  expanders: median {np.median(growth):.2f}, {np.median((volume - baseline)[expands]):.1f} mL")
        low, high = np.array([*causal.CLINICAL.values()]).T
        table = (np.stack([clinical[name] for name in causal.CLINICAL], 1) - low) / (high - low)
        fit, test = slice(0, 400), slice(train, None)
        chosen = {name: column[test] for name, column in clinical.items()}
        scores = {"ideal": crps(causal.followup_volumes(chosen, 200, 1, confounded=confounded), volume[test]).mean()}
        if kind:
            unseen = signs.signs_given(chosen, 200, confounded=confounded)
            ideal = causal.followup_volumes(unseen, 200, 1, confounded=confounded)
            scores["ideal without the scan"] = crps(ideal, volume[test]).mean()
        usual = baseline_forecasts(fit_baselines(table[fit], baseline[fit], volume[fit]), table[test], baseline[test])
        scores |= {name: crps(one.samples, volume[test], one.weights).mean() for name, one in usual.items()}
        print("  CRPS in mL:", {name: round(float(score), 3) for name, score in scores.items()})


def levels(axes: np.ndarray, ct: sitk.Image) -> None:
    """Draw six slice levels of the phantom and of the real series."""
    patient = simulate(HEAD, scanner=LIKE_GE, **SIZE)
    for panel, k in zip(axes[0], (1, 4, 6, 8, 10, 13), strict=True):
        show(panel, patient.baseline.ct[:, :, k].T, 0.5)
    volume = sitk.GetArrayFromImage(ct)
    for panel, share in zip(axes[1], (0.36, 0.42, 0.48, 0.54, 0.60, 0.70), strict=True):
        show(panel, volume[int(share * len(volume))], ct.GetSpacing()[0])
    axes[0, 0].set_ylabel("phantom")
    axes[1, 0].set_ylabel("real (GE series)")


def bleeds(axes: np.ndarray, folder: Path) -> None:
    """Draw six phantom bleeds and six real ones."""
    for panel, seed in zip(axes[0], BLEEDS, strict=True):
        patient = simulate(seed, scanner=LIKE_GE, **SIZE)
        scan = patient.followup
        show(panel, scan.ct[:, :, int((scan.iph + 1.0 * scan.ivh).sum((0, 1)).argmax())].T, 0.5)
        panel.set_title(f"{patient.location}, {scan.iph.sum() * patient.voxel_ml:.0f} mL", fontsize=9)
    for panel, name in zip(axes[1], REAL_BLEEDS, strict=True):
        plane = np.asarray(Image.open(folder / "images" / f"{name}.jpg").convert("L"), float)[::-1, ::-1]
        show(panel, plane / 255 * 80, 0.36)
    axes[0, 0].set_ylabel("phantom")
    axes[1, 0].set_ylabel("real (ct-ich)")


def show(axes: object, plane: np.ndarray, spacing: float) -> None:
    """Show a slice (H, W), cropped around the head to the same field of view in mm."""
    half = round(VIEW_MM / 2 / spacing)
    head, _ = ndimage.label(plane > 25)
    rows, columns = ndimage.find_objects(head)[np.bincount(head.ravel())[1:].argmax()]
    y, x = (rows.start + rows.stop) // 2 + half, (columns.start + columns.stop) // 2 + half
    padded = np.pad(plane, half, constant_values=plane.min())
    image_axes(axes, padded[y - half : y + half, x - half : x + half])


def histograms(figure: object, axes: np.ndarray, ct: sitk.Image, template: Path) -> None:
    """Draw histograms of HU in the brain and its tissues, phantom and real, in the last row."""
    grid = axes[0].get_subplotspec().get_gridspec()
    for panel in axes:
        panel.remove()
    real, real_brain = real_tissues(ct, template)
    phantom, phantom_brain = phantom_tissues()
    whole = figure.add_subplot(grid[4, :2])
    for name, values, style in (("phantom", phantom_brain, "-"), ("real (GE series)", real_brain, "--")):
        whole.plot(*density(values), style, color="k", label=name)
    whole.set(title="all of the brain", xlabel="HU", ylabel="share per HU")
    whole.legend()
    for k, (name, colour) in enumerate(TISSUES.items()):
        panel = figure.add_subplot(grid[4, 2 + k])
        panel.plot(*density(phantom[name]), color=colour)
        panel.plot(*density(real[name]), "--", color=colour)
        panel.set(title=name, xlabel="HU", yticks=[])
    shares = figure.add_subplot(grid[4, 5])
    for offset, (label, values) in enumerate((("phantom", phantom), ("template", real))):
        share = np.array([values[f"{name} share"] for name in TISSUES])
        bars = shares.bar(
            np.arange(3) + 0.4 * offset, share, 0.38, color=list(TISSUES.values()), alpha=1 - 0.5 * offset
        )
        shares.bar_label(bars, [f"{100 * value:.0f}%" for value in share], fontsize=8)
        print(f"{label}:", {name: round(float(value), 3) for name, value in zip(TISSUES, share, strict=True)})
    ticks = {"xticks": np.arange(3) + 0.2, "xticklabels": list(TISSUES), "yticks": [], "ylim": (0, 0.52)}
    shares.set(title="shares", xlabel="phantom, pale: template", **ticks)
    for name in TISSUES:
        middle = [np.percentile(values[name], (25, 50, 75)).round(1) for values in (phantom, real)]
        print(f"{name}: HU quartiles phantom {middle[0]}, real {middle[1]}")


def density(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left edges of bins of 1 HU and the share of values in each, smoothed."""
    counts, edges = np.histogram(values, np.arange(-15, 76))
    return edges[:-1], ndimage.gaussian_filter1d(counts / counts.sum(), 0.7)


def phantom_tissues() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """HU by tissue in six phantoms, separated by thresholds in the noiseless image, and HU of all voxels."""
    values: dict[str, list[np.ndarray]] = {name: [] for name in TISSUES}
    brain, noiseless = [], []
    for index in range(6):
        scan, quiet = (simulate((7, index), scanner=each, skull=False, **MIDDLE).baseline for each in (LIKE_GE, QUIET))
        bleed = ndimage.binary_dilation(scan.iph + scan.ivh, np.ones((3, 3, 3)), iterations=2)
        inside = (quiet.ct != 0) & ~bleed
        noisy, clean = scan.ct[inside].astype(float), quiet.ct[inside]
        brain.append(noisy)
        noiseless.append(clean)
        for name, (low, high) in {"CSF": (-20, 14), "white": (25, 31), "grey": (35, 40)}.items():
            values[name].append(noisy[(clean > low) & (clean < high)])
    found = {name: np.concatenate(parts) for name, parts in values.items()}
    sharp = np.concatenate(noiseless)  # for the shares, mixed voxels go to the closer tissue
    bounds = {"CSF": sharp < 18, "white": (sharp >= 18) & (sharp < 33), "grey": sharp >= 33}
    return found | {f"{name} share": bounds[name].mean() for name in TISSUES}, np.concatenate(brain)


def real_tissues(ct: sitk.Image, template: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The same for the real series, with the template's tissue maps registered to it."""
    brain = SkullStrip()(ct, "GE series")
    hu = sitk.GetArrayFromImage(ct).astype(float)
    fixed = on_grid(sitk.Clamp(sitk.Cast(ct, sitk.sitkFloat32), lowerBound=0, upperBound=80), 2.5)
    moving = sitk.ReadImage(str(template / "scct_stripped.nii.gz"), sitk.sitkFloat32)
    mask = sitk.GetImageFromArray(brain.astype(np.float32))
    mask.CopyInformation(ct)
    fixed = fixed * sitk.Resample(mask, fixed)
    place = affine(fixed, moving)
    maps = {}
    for name, file in (("CSF", "sccsf"), ("white", "scwhite"), ("grey", "scgrey")):
        warped = sitk.Resample(sitk.ReadImage(str(template / f"{file}.nii.gz"), sitk.sitkFloat32), ct, place)
        maps[name] = sitk.GetArrayFromImage(warped)
    found = {name: hu[brain & (share > 0.9)] for name, share in maps.items()}
    shares = template_shares(template)
    return found | {f"{name} share": shares[name] for name in TISSUES}, hu[brain]


def template_shares(template: Path) -> dict[str, float]:
    """Tissue shares in the slab that the phantom covers: 20 mm below to 50 mm above the commissures."""
    volumes = {}
    for name, file in (("CSF", "sccsf"), ("white", "scwhite"), ("grey", "scgrey")):
        image = nib.load(template / f"{file}.nii.gz")
        z = image.affine[2, 3] + image.affine[2, 2] * np.arange(image.shape[2])
        volumes[name] = float(image.get_fdata()[:, :, (z > -20) & (z < 50)].sum())
    return {name: volume / sum(volumes.values()) for name, volume in volumes.items()}


def on_grid(image: sitk.Image, spacing: float) -> sitk.Image:
    """Resample an image to isotropic voxels."""
    size = [round(n * s / spacing) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    frame = (image.GetOrigin(), [spacing] * 3, image.GetDirection())
    return sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, *frame)


def affine(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """Affine registration by mutual information."""
    centred = sitk.CenteredTransformInitializerFilter.MOMENTS
    start = sitk.CenteredTransformInitializer(fixed, moving, sitk.AffineTransform(3), centred)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.3)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsGradientDescent(1.0, 200, convergenceMinimumValue=1e-7)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([4, 2, 1])
    method.SetInitialTransform(start, inPlace=False)
    return method.Execute(fixed, moving)


if __name__ == "__main__":
    main()
