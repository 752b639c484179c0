import numpy as np
import pytest
import tensorflow as tf
from conftest import of_couplings, perturb, random_images

from tfp_realnvp.compute.random_numbers import to_seed
from tfp_realnvp.flows import pixels
from tfp_realnvp.layers import VariationalDequantization

IMAGES = tf.constant(random_images(3, (4, 2, 1)))


def dequantization(scale):
    return perturb(VariationalDequantization((4, 2, 1), levels=256, channels=4), scale)


def test_starts_as_uniform_noise():
    uniform = pixels.image_noise(IMAGES, tf.constant([0, 1]))
    noise, log_det = VariationalDequantization((4, 2, 1), levels=256)(IMAGES, uniform)
    np.testing.assert_allclose(noise, uniform, atol=1e-5)
    np.testing.assert_allclose(log_det, 0, atol=1e-4)


def test_log_det_against_autodiff():
    layer = dequantization(0.3)
    uniform = pixels.image_noise(IMAGES, tf.constant([0, 1]))
    with tf.GradientTape() as tape:
        tape.watch(uniform)
        noise, log_det = layer(IMAGES, uniform)
    assert np.all((noise > 0) & (noise < 1)) and np.abs(noise - uniform).max() > 0.01
    jacobian = tape.batch_jacobian(noise, uniform).numpy().reshape(3, 8, 8)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-4)


def test_depends_on_the_image():
    layer = dequantization(0.3)
    uniform = tf.fill(IMAGES.shape, 0.5)
    noise, _ = layer(IMAGES, uniform)
    other, _ = layer(255 - IMAGES, uniform)
    assert np.abs(noise - other).max() > 1e-3


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="even height and width, received 5x4: pad"):
        VariationalDequantization((5, 4, 1), levels=256)


@pytest.mark.slow
@of_couplings
def test_in_a_flow(small):
    """It is trained with the flow, scores are bounds that include it, and images come back exactly."""
    images = random_images(64, (4, 4, 1)) // 8
    flow = small(dequantization="variational")
    flow.compile("adam")
    before = [weight.numpy() for weight in flow.dequantizer.trainable_weights]
    flow.fit(images, epochs=3, batch_size=16, verbose=0)
    assert any(
        np.any(old != weight.numpy())
        for old, weight in zip(before, flow.dequantizer.trainable_weights, strict=True)
    )
    perturb(flow, 0.05)
    np.testing.assert_array_equal(flow.decode(flow.encode(images)), images)
    np.testing.assert_array_equal(flow.decode(flow.encode(images, seed=3)), images)
    uniform = pixels.image_noise(tf.constant(images), to_seed(5))
    noise, log_det = flow.dequantizer(tf.constant(images), uniform)
    points = pixels.dequantize(tf.constant(images), noise, levels=256)
    expected = flow.distribution.log_prob(points) + log_det - 16 * np.log(256)
    np.testing.assert_allclose(flow.log_prob(images, seed=5), expected, rtol=1e-4)
    copy = type(flow).from_config(flow.get_config())
    copy.set_weights(flow.get_weights())
    np.testing.assert_allclose(copy.log_prob(images), flow.log_prob(images), rtol=1e-5)
