import math

import numpy as np
import pytest
import tensorflow as tf
from conftest import random_images
from tensorflow_probability import distributions as tfd

from tfp_realnvp.flows import pixels
from tfp_realnvp.flows.checks import check_images

SEED = tf.constant([3, 4])


def test_quantize_undoes_dequantize():
    images = random_images(10, (3, 4, 2), levels=17)
    for noise in (0.0, 0.5, 0.999):
        points = pixels.dequantize(images, noise, levels=17)
        assert np.array_equal(pixels.quantize(points, levels=17), images)


def test_noise_depends_on_image_and_seed_alone():
    images = random_images(20, (4, 4, 1))
    noise = pixels.image_noise(tf.constant(images), SEED)
    alone = pixels.image_noise(tf.constant(images[7:8]), SEED)
    np.testing.assert_array_equal(noise[7:8], alone)
    other_seed = pixels.image_noise(tf.constant(images), tf.constant([3, 5]))
    assert np.abs(noise - other_seed).mean() > 0.1
    assert np.abs(noise[0] - noise[1]).mean() > 0.01


def test_noise_is_uniform_and_differs_between_images():
    images = random_images(20_000, (2, 2, 1))
    noise = pixels.image_noise(tf.constant(images), SEED).numpy()
    assert noise.min() >= 0 and noise.max() < 1
    for pixel in noise.reshape(len(noise), -1).T:  # the share in each tenth, +- 5 standard errors
        shares = np.histogram(pixel, bins=10, range=(0, 1))[0] / len(pixel)
        assert np.all(np.abs(shares - 0.1) < 5 * math.sqrt(0.09 / len(pixel)))


def test_uniform_images_cost_log2_levels():
    """Under the uniform density on the unit cube every pixel costs log2(levels) bits."""
    uniform = tfd.Independent(tfd.Uniform(tf.zeros([3, 3, 1]), tf.ones([3, 3, 1])), 3)
    images = tf.constant(random_images(5, (3, 3, 1), levels=16))
    noise = pixels.image_noise(images, SEED)
    nats = pixels.log_prob(uniform, images, levels=16, noise=noise)
    np.testing.assert_allclose(pixels.bits_per_dim(nats, (3, 3, 1)), 4.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (
            np.zeros((2, 4, 4, 1), np.float32),
            TypeError,
            "must be integers in .0, 16. .uint8., received float32",
        ),
        (np.full((2, 4, 4, 1), np.nan), TypeError, "NaN"),
        (
            np.zeros((2, 4, 5, 1), np.uint8),
            ValueError,
            r"shape \[..., 4, 4, 1\].*received \[2, 4, 5, 1\]",
        ),
        (np.zeros((2, 4), np.uint8), ValueError, r"received \[2, 4\]"),
        (
            np.full((2, 4, 4, 1), 17, np.uint8),
            ValueError,
            r"in \[0, 16\].*received values from 17 to 17",
        ),
        (np.full((2, 4, 4, 1), -1, np.int32), ValueError, "from -1 to -1"),
    ],
)
def test_images_that_do_not_fit(images, error, words):
    with pytest.raises(error, match=words):
        check_images(images, (4, 4, 1), levels=17)
