import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import perturb, random_images
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.flows import pixels
from tfp_realnvp.layers import Normalization


def values_of(normalization, points):
    return tfb.Chain(normalization.bijectors).inverse(points).numpy()


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
def test_there_and_back(levels):
    normalization = perturb(Normalization((4, 4, 3), levels=levels), 0.01)
    images = random_images(20, (4, 4, 3), levels=levels)
    points = pixels.dequantize(tf.constant(images), 0.5, levels=levels)
    bijector = tfb.Chain(normalization.bijectors)
    back = bijector.forward(tf.identity(bijector.inverse(points)))
    np.testing.assert_array_equal(pixels.quantize(back, levels=levels), images)


@pytest.mark.parametrize("level", [0, 16])
def test_even_noise_of_black_and_of_white_becomes_normal(level):
    """The share in each part of a normal distribution: that is what the curve is for."""
    normalization = Normalization((1, 10_000, 1), levels=17)
    noise = np.random.default_rng(0).uniform(size=(1, 1, 10_000, 1)).astype(np.float32)
    points = (level + noise) / 17
    normalization.adapt(points)
    values = values_of(normalization, points).ravel()
    assert np.mean(np.abs(values) < 1) == pytest.approx(0.683, abs=0.02)
    assert np.mean(np.abs(values) < 2) == pytest.approx(0.954, abs=0.02)


def test_density_integrates_to_one():
    """Over the unit interval, and a little more, finely: the density is steep at the levels' edges."""
    normalization = perturb(Normalization((1, 1, 1), levels=3), 0.1)
    bijector = tfb.Chain(normalization.bijectors)
    edges = np.linspace(-0.1, 1.1, 400_001)
    middles = ((edges[:-1] + edges[1:]) / 2).astype(np.float32).reshape(-1, 1, 1, 1)
    x = bijector.inverse(middles).numpy().ravel().astype(np.float64)
    log_det = bijector.inverse_log_det_jacobian(middles, event_ndims=3).numpy()
    density = np.exp(log_det - x**2 / 2) / np.sqrt(2 * np.pi)
    assert np.sum(density) * (edges[1] - edges[0]) == pytest.approx(1.0, abs=2e-3)


def test_adapts_each_channel():
    images = random_images(500, (4, 4, 2)) // 4
    images[..., 1] += 150
    points = pixels.dequantize(tf.constant(images), 0.3, levels=256)
    normalization = Normalization((4, 4, 2), levels=256)
    assert not normalization.adapted.numpy()
    normalization.adapt(points)
    assert normalization.adapted.numpy()
    values = values_of(normalization, points)
    np.testing.assert_allclose(values.mean(axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(values.std(axis=(0, 1, 2)), 1, atol=1e-3)


def test_new_curve_rises_and_mirrors():
    normalization = Normalization((1, 1, 1), levels=256)
    grey = np.linspace(0, 256, 2001).astype(np.float32)
    values = values_of(normalization, grey.reshape(-1, 1, 1, 1) / 256).ravel()
    assert np.all(np.diff(values) > 0)
    np.testing.assert_allclose(values, -values[::-1], atol=1e-2)


def test_config_is_complete():
    normalization = Normalization((4, 4, 2), levels=17)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(normalization))
    assert copy.get_config() == normalization.get_config()
