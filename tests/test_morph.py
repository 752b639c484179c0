import numpy as np
import pytest
from conftest import random_images

from tfp_realnvp.flows.morph import morph


def test_there_and_back(flow):
    start, end = random_images(2, (4, 4, 1))
    images, latents = morph(flow, start, end, steps=5)
    assert images.shape == latents.shape == (8, 4, 4, 1)
    np.testing.assert_array_equal(images[0], start)
    np.testing.assert_array_equal(images[4], end)
    np.testing.assert_array_equal(images[1:4], images[:4:-1])
    ends = flow.encode(np.stack([start, end]))
    np.testing.assert_allclose(latents[2], (ends[0] + ends[1]) / 2, rtol=1e-5)


def test_two_steps_are_the_two_ends(flow):
    ends = random_images(2, (4, 4, 1))
    images, _ = morph(flow, *ends, steps=2)
    np.testing.assert_array_equal(images, ends)
    with pytest.raises(ValueError, match="`steps` must be at least 2, received 1"):
        morph(flow, *ends, steps=1)
