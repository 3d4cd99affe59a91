import numpy as np
import pytest
import torch
from PIL import Image

from medzoo.datamodules.phantoms.liver.histology import STAINS, render_tiles
from medzoo.datamodules.transforms.macenko import MacenkoNormalizer, _density, estimate_stains
from tests.conftest import REAL_DATA


@pytest.fixture(scope="module")
def toy():
    """(3, 32, 32) uint8 of two stains in amounts that are said."""
    y, x = np.mgrid[:32, :32]
    amounts = np.stack([0.2 + 1.2 * ((3 * y + 5 * x) % 17) / 16, 0.1 + 0.8 * ((7 * y + 2 * x) % 13) / 12])
    colours = np.array([[0.65, 0.70, 0.29], [0.09, 0.95, 0.28]])
    colours /= np.linalg.norm(colours, axis=1, keepdims=True)
    image = (240 * np.exp(-np.einsum("sc,shw->chw", colours, amounts))).astype(np.uint8)
    return torch.from_numpy(image)


def test_stains_of_the_toy_are_those_of_torchstain(toy):
    assert toy.double().mean((1, 2)).tolist() == pytest.approx([139.78, 89.88, 166.17], abs=0.01)
    stains = estimate_stains(_density(toy))
    expected = [[0.61697, 0.21246], [0.72981, 0.93195], [0.29449, 0.29382]]
    assert stains.colours.numpy() == pytest.approx(np.array(expected), abs=1e-5)
    assert stains.strength.tolist() == pytest.approx([1.44719, 1.0844], abs=1e-5)
    normal, done = MacenkoNormalizer()(toy)
    assert bool(done)
    assert normal.double().mean((1, 2)).tolist() == pytest.approx([128.40, 84.14, 123.71], abs=0.01)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16, torch.float64])
def test_layout_and_dtype_are_kept(toy, dtype):
    image = toy if dtype == torch.uint8 else (toy.double() / 255).to(dtype)
    one, done = MacenkoNormalizer()(image)
    many, flags = MacenkoNormalizer()(torch.stack([image, image]))
    assert one.shape == image.shape
    assert one.dtype == many.dtype == dtype
    assert done.shape == ()
    assert flags.tolist() == [True, True]
    assert torch.equal(many[0], one)
    scale = 1 if dtype == torch.uint8 else 255
    reference = MacenkoNormalizer()(toy)[0].double()
    assert (one.double() * scale - reference).abs().max() < (2 if dtype == torch.float16 else 1.01)


@pytest.mark.parametrize("level", [0, 120, 255])
def test_a_blank_tile_passes_through_with_a_flag(toy, level):
    blank = torch.full_like(toy, level)
    images, done = MacenkoNormalizer()(torch.stack([blank, toy]))
    assert done.tolist() == [False, True]
    assert torch.equal(images[0], blank)
    assert torch.equal(images[1], MacenkoNormalizer()(toy)[0])
    with pytest.raises(ValueError, match="no tissue"):
        MacenkoNormalizer.of(blank)


def test_a_small_tile_and_a_wrong_layout_are_told_apart(toy):
    assert not MacenkoNormalizer()(toy[:, :5, :5])[1]
    with pytest.raises(ValueError, match=r"expected \(3, H, W\)"):
        MacenkoNormalizer()(toy.permute(1, 2, 0))


def test_an_image_normalised_to_its_own_stains_is_itself(toy):
    # Only nearly: white is 240 and one is added before the logarithm.
    same, _ = MacenkoNormalizer.of(toy)(toy)
    assert (same.double() - toy.double()).abs().max() <= 5


def test_two_scanners_look_alike_afterwards():
    tiles = {
        name: torch.from_numpy(render_tiles(np.random.default_rng(1), 0.5, 12, 64, name)).permute(0, 3, 1, 2)
        for name in STAINS
    }
    side_by_side = {name: torch.cat(list(part), dim=2) for name, part in tiles.items()}  # one slide, one estimate

    def gap(images):
        a, b = (image.double().mean((1, 2)) for image in images)
        return float((a - b).abs().mean())

    before = gap(side_by_side.values())
    after = gap(MacenkoNormalizer()(image)[0] for image in side_by_side.values())
    assert before > 5
    assert after < 0.6 * before


@pytest.mark.parametrize("name", ["torchstain_source.png", "torchstain_target.png"])
def test_real_slides_come_out_as_torchstain_has_them(name):
    file = REAL_DATA / "histology" / name
    if not file.is_file():
        pytest.skip(f"no real slide {file}; name the folder above `histology` with MEDZOO_REAL_DATA")
    torchstain = pytest.importorskip("torchstain", reason="torchstain is the oracle of this test; it is not installed")
    picture = np.asarray(Image.open(file).convert("RGB"))
    theirs, _, _ = torchstain.normalizers.MacenkoNormalizer(backend="numpy").normalize(I=picture, stains=False)
    ours, done = MacenkoNormalizer()(torch.from_numpy(picture.copy()).permute(2, 0, 1))
    assert bool(done)
    assert np.abs(ours.permute(1, 2, 0).numpy().astype(int) - theirs.astype(int)).max() <= 1
