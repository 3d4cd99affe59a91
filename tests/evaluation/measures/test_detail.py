import numpy as np
import pytest
from PIL import Image

from medzoo.datamodules.readers import read_images
from medzoo.evaluation.measures.detail import reduced, with_noise


def test_noise_has_the_spread_and_belongs_to_the_image():
    grey = np.full((40, 1, 16, 16), 128, np.uint8)
    grey[:, 0, 0, 0] = np.arange(40)
    noisy = with_noise(grey, 0.05)
    drawn = noisy.astype(float)[:, :, 1:] - grey[:, :, 1:]
    assert drawn.mean() == pytest.approx(0, abs=0.5)
    assert drawn.std() == pytest.approx(0.05 * 255, rel=0.03)
    assert abs(np.corrcoef(drawn[0].ravel(), drawn[1].ravel())[0, 1]) < 0.2, "another image has other noise"
    assert np.array_equal(with_noise(grey[7:9], 0.05), noisy[7:9]), "the same in whatever company"
    assert with_noise(grey, 0.0) is grey


def test_images_are_reduced_as_they_are_read(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    _, read = read_images(tmp_path, (1, 12, 12))
    assert np.array_equal(reduced(pixels / 255, 12), read[:, 0] / 255)
    assert np.array_equal(reduced(pixels / 255, 12, 0.1), with_noise(read, 0.1)[:, 0] / 255)
    assert np.array_equal(reduced(pixels / 255, 32), pixels / 255)
