"""Radiomics of random masks beside slow loops, meshes that are really built, and other libraries."""

from itertools import product

import numpy as np
import pytest
from scipy import ndimage, stats
from skimage.filters import threshold_otsu
from skimage.measure import find_contours, marching_cubes

from medzoo.datamodules.radiomics import RadiomicsSettings, extract, extract_one
from medzoo.datamodules.radiomics.masks import make_masks

SPACING = {2: (0.7, 1.3), 3: (2.0, 0.9, 1.1)}
SHAPES = [(7, 9), (5, 6, 4)]


def sample(shape, seed, share=0.5):
    """An image of six wide grey levels and a ragged mask that has pieces and holes."""
    generator = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(generator.normal(size=shape), 0.7)
    return generator.integers(0, 150, shape), field > np.quantile(field, 1 - share)


def described(image, mask, *families, **options):
    settings = RadiomicsSettings("given", families, spacing=SPACING[image.ndim], **options)
    return extract_one(image, mask, settings)[0]


def steps(dims):
    half = [step for step in product((-1, 0, 1), repeat=dims) if step > (0,) * dims]
    return half, half + [tuple(-np.array(step)) for step in half]


def levels_of(image, mask):
    """Levels by position, of bins of 25."""
    levels = image // 25 - image[mask].min() // 25 + 1
    return {tuple(p): int(levels[tuple(p)]) for p in np.argwhere(mask)}


def moved(position, step):
    return tuple(int(a + b) for a, b in zip(position, step, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_glcm(shape, seed):
    image, mask = sample(shape, seed)
    levels = levels_of(image, mask)
    depth = max(levels.values())
    rows = []
    for step in steps(len(shape))[0]:
        p = np.zeros((depth, depth))
        for position, level in levels.items():
            if other := levels.get(moved(position, step)):
                p[level - 1, other - 1] += 1
                p[other - 1, level - 1] += 1
        if p.sum():
            rows.append(glcm_by_formula(p / p.sum()))
    ours = described(image, mask, "glcm")
    for name in rows[0]:
        assert ours[f"glcm_{name}"] == pytest.approx(np.mean([row[name] for row in rows]), rel=1e-6), name


def glcm_by_formula(p):
    """Each definition as the manuals print it, in loops over a matrix."""
    depth = len(p)
    cells = [(i, j, p[i - 1, j - 1]) for i in range(1, depth + 1) for j in range(1, depth + 1)]
    px, py = p.sum(1), p.sum(0)
    mean = sum(i * v for i, _, v in cells)
    variance = sum((i - mean) ** 2 * v for i, _, v in cells)
    plus = [sum(v for i, j, v in cells if i + j == k) for k in range(2, 2 * depth + 1)]
    minus = [sum(v for i, j, v in cells if abs(i - j) == k) for k in range(depth)]
    apart = sum(k * v for k, v in enumerate(minus))

    def bits(values):
        return -sum(v * np.log2(v) for v in values if v > 0)

    hxy1 = -sum(v * np.log2(px[i - 1] * py[j - 1]) for i, j, v in cells if v > 0)
    hxy2 = bits([a * b for a in px for b in py])
    kept = px > 0
    q = (p[kept][:, kept] / px[kept][:, None]) @ (p[kept][:, kept] / py[kept]).T
    return {
        "Autocorrelation": sum(i * j * v for i, j, v in cells),
        "JointAverage": mean,
        "ClusterProminence": sum((i + j - 2 * mean) ** 4 * v for i, j, v in cells),
        "ClusterShade": sum((i + j - 2 * mean) ** 3 * v for i, j, v in cells),
        "ClusterTendency": sum((i + j - 2 * mean) ** 2 * v for i, j, v in cells),
        "Contrast": sum((i - j) ** 2 * v for i, j, v in cells),
        "Correlation": (sum(i * j * v for i, j, v in cells) - mean**2) / variance,
        "DifferenceAverage": apart,
        "DifferenceEntropy": bits(minus),
        "DifferenceVariance": sum((k - apart) ** 2 * v for k, v in enumerate(minus)),
        "JointEnergy": sum(v**2 for *_, v in cells),
        "JointEntropy": bits(p.ravel()),
        "Imc1": (bits(p.ravel()) - hxy1) / max(bits(px), bits(py)),
        "Imc2": np.sqrt(max(0.0, 1 - np.exp(-2 * (hxy2 - bits(p.ravel()))))),
        "Idm": sum(v / (1 + (i - j) ** 2) for i, j, v in cells),
        "Idmn": sum(v / (1 + ((i - j) / depth) ** 2) for i, j, v in cells),
        "Id": sum(v / (1 + abs(i - j)) for i, j, v in cells),
        "Idn": sum(v / (1 + abs(i - j) / depth) for i, j, v in cells),
        "InverseVariance": sum(v / (i - j) ** 2 for i, j, v in cells if i != j),
        "MaximumProbability": p.max(),
        "SumAverage": sum(k * v for k, v in enumerate(plus, start=2)),
        "SumEntropy": bits(plus),
        "SumSquares": variance,
        "MCC": np.sqrt(np.sort(np.linalg.eigvals(q).real)[-2]),
    }


def sized_by_formula(elements, small, large, sizes, one, level):
    """The shared definitions, in loops over (level, size)."""
    n = len(elements)
    i, j = np.array(elements, float).T
    shares = [elements.count(element) / n for element in set(elements)]
    return {
        f"{small}Emphasis": np.mean(1 / j**2),
        f"{large}Emphasis": np.mean(j**2),
        "GrayLevelNonUniformity": sum((i == value).sum() ** 2 for value in set(i)) / n,
        f"{sizes}NonUniformity": sum((j == value).sum() ** 2 for value in set(j)) / n,
        f"{sizes}NonUniformityNormalized": sum((j == value).sum() ** 2 for value in set(j)) / n**2,
        "GrayLevelVariance": i.var(),
        f"{one}Variance": j.var(),
        f"{one}Entropy": -sum(share * np.log2(share) for share in shares),
        f"LowGrayLevel{level}Emphasis": np.mean(1 / i**2),
        f"HighGrayLevel{level}Emphasis": np.mean(i**2),
        f"{small}LowGrayLevelEmphasis": np.mean(1 / i**2 / j**2),
        f"{small}HighGrayLevelEmphasis": np.mean(i**2 / j**2),
        f"{large}LowGrayLevelEmphasis": np.mean(j**2 / i**2),
        f"{large}HighGrayLevelEmphasis": np.mean(i**2 * j**2),
    }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_glrlm(shape, seed):
    image, mask = sample(shape, seed)
    levels = levels_of(image, mask)
    rows = []
    for step in steps(len(shape))[0]:
        back = tuple(-part for part in step)
        runs = []
        for position, level in levels.items():
            if levels.get(moved(position, back)) != level:
                length, ahead = 1, moved(position, step)
                while levels.get(ahead) == level:
                    length, ahead = length + 1, moved(ahead, step)
                runs.append((level, length))
        row = sized_by_formula(runs, "ShortRun", "LongRun", "RunLength", "Run", "Run")
        rows.append(row | {"RunPercentage": len(runs) / len(levels)})
    ours = described(image, mask, "glrlm")
    for name in rows[0]:
        assert ours[f"glrlm_{name}"] == pytest.approx(np.mean([row[name] for row in rows]), rel=1e-9), name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_glszm(shape, seed):
    image, mask = sample(shape, seed)
    levels = levels_of(image, mask)
    zones, left = [], dict(levels)
    while left:
        position, level = left.popitem()
        border, size = [position], 1
        while border:
            here = border.pop()
            for step in steps(len(shape))[1]:
                beside = moved(here, step)
                if left.get(beside) == level:
                    del left[beside]
                    border.append(beside)
                    size += 1
        zones.append((level, size))
    expected = sized_by_formula(zones, "SmallArea", "LargeArea", "SizeZone", "Zone", "Zone")
    expected["ZonePercentage"] = len(zones) / len(levels)
    ours = described(image, mask, "glszm")
    for name, value in expected.items():
        assert ours[f"glszm_{name}"] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_gldm(shape, seed):
    image, mask = sample(shape, seed)
    levels = levels_of(image, mask)
    around = steps(len(shape))[1]
    elements = [
        (level, 1 + sum(levels.get(moved(position, step)) == level for step in around))
        for position, level in levels.items()
    ]
    expected = sized_by_formula(elements, "SmallDependence", "LargeDependence", "Dependence", "Dependence", "")
    ours = described(image, mask, "gldm")
    assert set(ours) == {f"gldm_{name}" for name in expected}
    for name, value in expected.items():
        assert ours[f"gldm_{name}"] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("definition", ["pyradiomics", "ibsi"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_ngtdm(shape, seed, definition):
    image, mask = sample(shape, seed, share=0.2)  # thin enough for voxels without neighbours
    image -= image[mask].min() % 25  # so that bins begin alike by both definitions
    levels = levels_of(image, mask)
    n, s = {}, {}
    for position, level in levels.items():
        beside = [levels[moved(position, step)] for step in steps(len(shape))[1] if moved(position, step) in levels]
        if beside or definition == "pyradiomics":
            n[level] = n.get(level, 0) + 1
            s[level] = s.get(level, 0) + (abs(level - np.mean(beside)) if beside else 0)
    total = sum(n.values())
    p = {level: count / total for level, count in n.items()}
    pairs = list(product(p, p))
    weighted = sum(p[i] * s[i] for i in p)
    squared = sum(p[i] * p[j] * (i - j) ** 2 for i, j in pairs)
    expected = {
        "Coarseness": 1 / weighted,
        "Contrast": squared / len(p) / (len(p) - 1) * sum(s.values()) / total,
        "Busyness": weighted / sum(abs(i * p[i] - j * p[j]) for i, j in pairs),
        "Complexity": sum(abs(i - j) * (p[i] * s[i] + p[j] * s[j]) / (p[i] + p[j]) for i, j in pairs) / total,
        "Strength": sum((p[i] + p[j]) * (i - j) ** 2 for i, j in pairs) / sum(s.values()),
    }
    ours = described(image, mask, "ngtdm", definition=definition)
    for name, value in expected.items():
        assert ours[f"ngtdm_{name}"] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("seed", range(4))
def test_a_closed_mesh_is_the_one_that_scikit_image_builds(seed):
    image, mask = sample((6, 8, 7), seed, share=0.4)
    corners, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(float), 0.5, spacing=SPACING[3], method="lorensen")
    a, b, c = corners[faces].astype(float).transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    volume = abs(np.einsum("fi,fi->", a, np.cross(b, c))) / 6
    ours = described(image, mask, "shape", definition="ibsi")
    assert ours["shape_SurfaceArea"] == pytest.approx(area, rel=1e-6)
    assert ours["shape_MeshVolume"] == pytest.approx(volume, rel=1e-6)
    assert ours["shape_Sphericity"] == pytest.approx((36 * np.pi * volume**2) ** (1 / 3) / area, rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_contours_in_2d_are_those_that_scikit_image_traces(seed):
    image, mask = sample((12, 9), seed)
    contours = find_contours(np.pad(mask, 1).astype(float), 0.5, fully_connected="low")
    contours = [contour * SPACING[2] for contour in contours]
    length = sum(np.linalg.norm(np.diff(contour, axis=0), axis=1).sum() for contour in contours)
    area = sum((c[:-1, 0] * c[1:, 1] - c[1:, 0] * c[:-1, 1]).sum() / 2 for c in contours)  # holes count negative
    ours = described(image, mask, "shape")
    assert ours["shape2D_Perimeter"] == pytest.approx(length, rel=1e-9)
    assert ours["shape2D_MeshSurface"] == pytest.approx(abs(area), rel=1e-9)


@pytest.mark.parametrize("shape", [(9, 7), (6, 5, 7), (20, 22, 21)])
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_largest_diameters_are_those_of_all_pairs(shape, share):
    image, mask = sample(shape, seed=5, share=share)
    padded, points = np.pad(mask, 1), []
    for axis in range(len(shape)):
        found = np.argwhere(np.diff(padded.astype(int), axis=axis)).astype(float)
        found[:, axis] += 0.5
        points.append(found)
    points = np.concatenate(points)
    best, planar = 0.0, np.zeros(len(shape))
    for point in points:
        distance = np.linalg.norm((points - point) * SPACING[len(shape)], axis=1)
        best = max(best, distance.max())
        planar = np.maximum(planar, [distance[points[:, axis] == point[axis]].max() for axis in range(len(shape))])
    ours = described(image, mask, "shape")
    if len(shape) == 2:
        assert ours["shape2D_MaximumDiameter"] == pytest.approx(best, rel=1e-12)
    else:
        assert ours["shape_Maximum3DDiameter"] == pytest.approx(best, rel=1e-12)
        named = [ours[f"shape_Maximum2DDiameter{plane}"] for plane in ("Slice", "Column", "Row")]
        assert named == pytest.approx(planar, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_first_order_statistics_are_those_of_numpy_and_scipy(dtype):
    image, mask = sample((40, 30), seed=2)
    image = image.astype(dtype) if dtype == np.uint8 else (image * 3.3 - 100).astype(dtype)
    ours, values = described(image, mask, "firstorder"), image[mask].astype(float)
    low, high = np.percentile(values, [10, 90])
    middle = values[(values >= low) & (values <= high)]
    _, counts = np.unique(np.floor(values / 25), return_counts=True)
    share = counts / counts.sum()
    expected = {
        "Energy": (values**2).sum(),
        "TotalEnergy": (values**2).sum() * 0.7 * 1.3,
        "Entropy": stats.entropy(share, base=2),
        "10Percentile": low,
        "90Percentile": high,
        "Median": np.median(values),
        "InterquartileRange": stats.iqr(values),
        "RobustMeanAbsoluteDeviation": np.abs(middle - middle.mean()).mean(),
        "Skewness": stats.skew(values),
        "Kurtosis": stats.kurtosis(values, fisher=False),
        "Variance": values.var(),
        "Uniformity": (share**2).sum(),
    }
    for name, value in expected.items():
        assert ours[f"firstorder_{name}"] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_otsu_of_many_images_is_that_of_each(dtype):
    images = np.stack([sample((16, 16), seed)[0] for seed in range(8)]).astype(dtype)
    images[-1] = 7
    for image, mask in zip(images, make_masks(images, None, "otsu_bright"), strict=True):
        np.testing.assert_array_equal(mask, image > threshold_otsu(image))


def test_many_images_at_once_are_each_described_as_alone(monkeypatch):
    monkeypatch.setattr("medzoo.datamodules.radiomics.extraction.CELLS_AT_ONCE", 1000)
    families = ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
    settings = RadiomicsSettings("given", families)
    images, masks = map(
        np.stack, zip(*[sample((9, 8), seed, share=0.1 + seed / 20) for seed in range(12)], strict=True)
    )
    features, names, flags = extract(images[:, None], masks, settings)
    assert features.shape == (12, len(names)) == (12, 102)
    for row, flag, image, mask in zip(features, flags, images, masks, strict=True):
        alone, alone_flag = extract_one(image, mask, settings)
        assert flag == alone_flag
        np.testing.assert_allclose(row, list(alone.values()), rtol=1e-9, atol=1e-12)
