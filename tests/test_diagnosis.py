"""Is a model any good: latents, and where the bits come from."""

import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import FLOWS, of_couplings, perturb, random_images

from tfp_realnvp.queries import LatentDiagnosis, diagnose_latents

IMAGES = random_images(5, (4, 4, 2))


@of_couplings
def test_bits_of_pixels_add_up(small):
    flow = small((4, 4, 2))
    flow.adapt(random_images(500, (4, 4, 2)))
    bits = perturb(flow).bits_per_pixel(IMAGES, seed=3)
    assert bits.shape == IMAGES.shape and np.std(bits) > 0.1
    expected = flow.bits_per_dim(IMAGES, seed=3)
    np.testing.assert_allclose(tf.reduce_mean(bits, axis=[1, 2, 3]), expected, rtol=1e-4)
    np.testing.assert_allclose(
        flow.bits_per_pixel(IMAGES[1], seed=3), bits[1], rtol=1e-3, atol=1e-4
    )


def test_bits_lie_where_the_image_is_strange():
    """Of a flow that knows flat images, a pixel that differs costs more than those around it."""
    flow = FLOWS["realnvp"]((8, 8, 1))
    flat = np.random.default_rng(0).integers(100, 140, size=(1000, 8, 8, 1)).astype(np.uint8)
    flow.adapt(flat)
    image = flat[:1].copy()
    image[0, 2, 5] = 250
    bits = flow.bits_per_pixel(image)[0].numpy()
    assert np.unravel_index(np.argmax(bits), bits.shape) == (2, 5, 0)


def test_bits_of_pixels_given_a_label():
    small = FLOWS["realnvp"]
    flow = small(labels=(3, 5))
    flow.adapt(random_images(500, (4, 4, 1)))
    perturb(flow)
    images, labels = random_images(4, (4, 4, 1)), [3, 5, 5, 3]
    means = tf.reduce_mean(flow.bits_per_pixel(images, labels), axis=[1, 2, 3])
    np.testing.assert_allclose(means, flow.bits_per_dim(images, labels), rtol=1e-4)
    with pytest.raises(ValueError, match="class-conditional"):
        flow.bits_per_pixel(images)
    with pytest.raises(ValueError, match="uniform dequantization"):
        small(dequantization="variational").bits_per_pixel(images)


def test_normal_latents_pass():
    latents = np.random.default_rng(0).standard_normal((4000, 4, 4, 1)).astype(np.float32)
    summary = LatentDiagnosis(latents).summary()
    assert json.loads(json.dumps(summary)) == summary
    assert abs(summary["mean"]) < 0.02 and abs(summary["standard_deviation"] - 1) < 0.02
    assert abs(summary["excess_kurtosis"]) < 0.1 and summary["kolmogorov_smirnov"] < 0.01
    assert abs(summary["farthest_mean"]) < 5 * summary["noise"]
    assert abs(summary["beyond"]["2"]["share"] / summary["beyond"]["2"]["expected"] - 1) < 0.1


def test_what_is_wrong_with_latents_shows():
    random = np.random.default_rng(0)
    latents = random.standard_t(3, size=(2000, 4, 4, 1))
    latents[:, 1, 2] += 2
    latents[:, 3, 3] *= 4
    diagnosis = LatentDiagnosis(latents)
    summary = diagnosis.summary()
    assert summary["farthest_mean"] > 1.5 and summary["excess_kurtosis"] > 2
    assert np.unravel_index(np.argmax(diagnosis.standard_deviation), (4, 4, 1)) == (3, 3, 0)
    assert summary["beyond"]["4"]["share"] > 100 * summary["beyond"]["4"]["expected"]
    assert summary["kolmogorov_smirnov"] > 0.02


def test_latents_of_a_flow():
    flow = FLOWS["realnvp"]()
    images = random_images(500, (4, 4, 1))
    flow.adapt(images)
    diagnosis = diagnose_latents(flow, images, seed=1)
    np.testing.assert_allclose(diagnosis.latents, flow.encode(images, seed=1), rtol=1e-5)
    with pytest.raises(ValueError, match="`images` must be at least 2, received 1"):
        diagnose_latents(flow, images[:1])


@pytest.mark.slow
@pytest.mark.parametrize("tiny_config", ["multiscale"], indirect=True)
def test_the_command(call, run_dir, tmp_path):
    status, printed, errors = call(
        "diagnose", run_dir, "--images", 50, "--output-dir", tmp_path / "a"
    )
    assert status == 0 and "beyond 4 standard deviations" in printed, errors
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {"latents.png", "bits.png", "diagnosis.json"}
    assert json.loads((tmp_path / "a" / "diagnosis.json").read_text())["images"] == 50
