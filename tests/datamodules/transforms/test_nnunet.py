import numpy as np
import pytest
import torch
from monai.transforms import GaussianSmooth

from medzoo.datamodules.transforms.nnunet import _Blur


def blurred(image, seed):
    blur = _Blur(prob=1.0)
    blur.set_random_state(seed)
    return blur({"image": image, "mask": None})["image"]


@pytest.mark.parametrize("size", [(20, 24), (14, 20, 24)])
def test_the_blur_is_gaussian_with_a_width_for_each_axis(size):
    image = np.random.default_rng(0).normal(size=(2, *size)).astype(np.float32)
    found = blurred(image, 3)
    state = np.random.RandomState(3)
    state.rand()  # whether to blur at all
    sigma = tuple(state.uniform(0.5, 1.0) for _ in size)
    wanted = np.asarray(GaussianSmooth(sigma, approx="sampled")(torch.from_numpy(image)))
    inner = (slice(None), *(slice(5, -5) if side > 14 else slice(4, -4) for side in size))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[inner], wanted[inner], atol=2e-3)
    assert np.abs(found - image).mean() > 0.1


def test_the_blur_does_not_darken_the_borders():
    np.testing.assert_allclose(blurred(np.ones((1, 8, 9), np.float32), 0), 1.0, rtol=1e-6)


def test_a_blur_of_no_probability_changes_nothing():
    image = np.random.default_rng(0).normal(size=(1, 8, 9)).astype(np.float32)
    blur = _Blur(prob=0.0)
    assert blur({"image": image})["image"] is image
