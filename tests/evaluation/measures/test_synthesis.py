import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, zoom
from torch import nn
from torchmetrics.image.inception import InceptionScore

from medzoo.evaluation.measures.detail import reduced
from medzoo.evaluation.measures.synthesis import (
    copies,
    frechet_distance,
    inception_score,
    kernel_distance,
    radial_spectrum,
    shortcut_auc,
)


def test_frechet_distance_of_gaussians_that_are_known():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (200_000, 2)), rng.normal([1, 2], [2, 1], (200_000, 2))
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + (2 - 1) ** 2, rel=0.02)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_kernel_distance_is_the_slow_sum_and_unbiased():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 3)), rng.normal(1, 1, size=(4, 3))

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    slow = sum(kernel(a[i], a[j]) for i in range(5) for j in range(5) if i != j) / 20
    slow += sum(kernel(b[i], b[j]) for i in range(4) for j in range(4) if i != j) / 12
    slow -= 2 * sum(kernel(x, y) for x in a for y in b) / 20
    assert kernel_distance(a, b) == pytest.approx(slow)
    alike = [
        kernel_distance(*(np.random.default_rng((seed, k)).normal(size=(30, 3)) for k in (0, 1))) for seed in range(200)
    ]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / np.sqrt(200)


def test_copies_of_training_images_are_found():
    rng = np.random.default_rng(0)
    real = rng.random((60, 8, 8))
    patients = np.repeat(np.arange(20), 3)
    real[1] = real[0] + 0.001  # slices of one patient may be alike
    made = np.concatenate([real[[7, 30]] + 0.01 * rng.random((2, 8, 8)), rng.random((10, 8, 8))])
    said = copies(made, real, patients)
    assert said["nearest"][:2].tolist() == [7, 30]
    assert said["copied"].tolist() == [True, True] + [False] * 10
    assert said["distance"][0] == pytest.approx(np.sqrt(((made[0] - real[7]) ** 2).mean()))


def slices(seed, patients=60, each=3, size=32):
    """Textures whose smoothness and brightness belong to the patient."""
    rng = np.random.default_rng(seed)
    smooth, level = rng.uniform(0.6, 1.4, patients), rng.uniform(0.3, 1, patients)
    shape = (patients, each, size, size)
    noise = rng.normal(size=shape)
    return np.concatenate([level[k] * gaussian_filter(noise[k], (0, smooth[k], smooth[k])) for k in range(patients)])


def test_the_spectrum_of_a_wave_lies_in_its_ring():
    wave = np.cos(2 * np.pi * 5 * np.arange(32) / 32)[None, :, None] * np.ones((1, 1, 32))
    assert radial_spectrum(wave)[0].argmax() == 5
    white = np.exp(radial_spectrum(np.random.default_rng(0).normal(size=(400, 32, 32)))).mean(0)
    assert white[1:] == pytest.approx(32**2, rel=0.1), "Parseval: the power of each frequency is the number of pixels"


def test_a_shortcut_is_found_where_there_is_one_and_not_elsewhere():
    real, patients = slices(0), np.repeat(np.arange(60), 3)
    assert abs(shortcut_auc(slices(1), real, patients) - 0.5) < 0.1
    coarse = np.stack([zoom(zoom(image, 0.5, order=1), 2, order=1) for image in slices(1)])
    assert shortcut_auc(coarse, real, patients) > 0.98
    sharp = slices(1) + np.random.default_rng(2).normal(0, 0.1, real.shape)
    assert shortcut_auc(sharp, real, patients) > 0.9


def with_the_spectrum_of(other, images):
    """Images whose mean log power in each ring is that of others: a linear filter for all of them."""
    gain = np.exp((radial_spectrum(other).mean(0) - radial_spectrum(images).mean(0)) / 2)
    size = images.shape[1]
    ring = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None]) * 2 * (size // 2)
    return np.fft.ifft2(np.fft.fft2(images) * np.interp(ring, np.arange(len(gain)) + 0.5, gain)).real


def test_the_forest_sees_through_a_filter_that_deceives_the_linear_rule():
    real, patients = slices(0), np.repeat(np.arange(60), 3)
    coarse = np.stack([zoom(zoom(image, 0.5, order=1), 2, order=1) for image in slices(1)])
    hidden = with_the_spectrum_of(real, coarse)
    assert shortcut_auc(hidden, real, patients) < 0.8
    assert shortcut_auc(hidden, real, patients, forest=True) > 0.95
    assert abs(shortcut_auc(slices(1), real, patients, forest=True) - 0.5) < 0.12


def test_one_resolution_and_one_noise_hide_what_a_generator_gets_wrong():
    real, patients = slices(0) + 0.5, np.repeat(np.arange(60), 3)
    sharp = slices(1) + 0.5 + np.random.default_rng(2).normal(0, 0.1, real.shape)
    assert shortcut_auc(sharp.clip(0, 1), real.clip(0, 1), patients) > 0.9
    both = [reduced(images.clip(0, 1), 8, 0.1) for images in (sharp, real)]
    assert abs(shortcut_auc(*both, patients) - 0.5) < 0.12


def test_slices_of_a_patient_do_not_help_to_tell_others():
    """Each patient has a spectrum of their own: with patients in two folds, the rule would know the real ones."""
    alike = [shortcut_auc(slices(seed + 50), slices(seed, 12), np.repeat(np.arange(12), 3)) for seed in range(8)]
    assert abs(np.mean(alike) - 0.5) < 0.1


def test_inception_score_is_that_of_torchmetrics():
    class Classes(nn.Module):
        def forward(self, images):
            return images.float().mean((2, 3))  # torchmetrics gives it uint8

    torch.manual_seed(0)
    images = torch.randint(0, 9, (50, 4, 8, 8), dtype=torch.uint8)
    theirs = InceptionScore(feature=Classes(), splits=1)
    theirs.update(images)
    prob = Classes()(images).double().softmax(1).numpy()
    assert inception_score(prob) == pytest.approx(theirs.compute()[0].item(), rel=1e-4)


def test_inception_score_where_it_is_known():
    sure = np.eye(4)[np.arange(40) % 4]
    assert inception_score(sure) == pytest.approx(4), "every image is of one class for sure, all equally often"
    assert inception_score(sure[::4]) == pytest.approx(1), "one class alone"
    assert inception_score(np.full((10, 4), 0.25)) == pytest.approx(1)
