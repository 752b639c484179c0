"""The Markov chain that fills in what is missing: it samples the conditional distribution."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import FLOWS, perturb, random_images

from tfp_realnvp.queries import fill_by_chain, named_mask

RIGHT = named_mask("right", (1, 2, 1))


@pytest.fixture(scope="module")
def flow():
    """Two pixels that depend on each other."""
    flow = FLOWS["realnvp"]((1, 2, 1), levels=16, couplings=4)
    random = np.random.default_rng(0)
    left = random.integers(2, 14, size=1000)
    images = np.stack([left, np.clip(left + random.integers(-2, 3, size=1000), 0, 15)], axis=1)
    images = images.reshape(-1, 1, 2, 1).astype(np.uint8)
    flow.compile("adam")
    flow.fit(images, epochs=6, batch_size=50, verbose=0)
    return perturb(flow, 0.05)


def test_the_chain_samples_the_conditional_distribution(flow):
    image = np.array([[[[6], [0]]]], np.uint8)
    learned = random_images(300, (1, 2, 1), levels=16)
    counts = []
    filled = fill_by_chain(
        flow, image, RIGHT, learned, n=300, steps=200, slack=1.6, seed=3, on_step=counts.append
    )
    assert counts == list(range(1, 201)) and filled.completions.shape == (1, 300, 1, 2, 1)
    assert np.all(filled.completions[..., 0, 0] == 6)
    assert 0.05 < filled.acceptance.mean() < 0.6 and filled.scale_reduction[0] < 1.3
    assert filled.log_probs.shape == (200, 1, 300)
    # exactly: the density on a grid, summed over each grey level of the missing pixel
    grid = (np.arange(16 * 50) + 0.5) / (16 * 50)
    points = np.stack([np.full_like(grid, 6.5 / 16), grid], axis=-1).reshape(-1, 1, 2, 1)
    density = np.exp(flow.distribution.log_prob(tf.constant(points, tf.float32)).numpy())
    exact = density.reshape(16, 50).sum(axis=1) / density.sum()
    found = np.bincount(filled.completions[0, :, 0, 1, 0], minlength=16) / 300
    assert (
        0.5 * np.abs(found - exact).sum() < 0.15
    )  # total variation; of 300 exact samples about .05
    start = np.bincount(learned[:, 0, 1, 0], minlength=16) / 300
    assert 0.5 * np.abs(start - exact).sum() > 0.3


@pytest.mark.slow
def test_the_same_seed_walks_the_same_way(flow):
    images, learned = random_images(2, (1, 2, 1), levels=16), random_images(9, (1, 2, 1), levels=16)
    one, same, other = (
        fill_by_chain(flow, images, RIGHT, learned, n=3, steps=6, seed=seed).log_probs
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 0}, "`n` must be at least 1, received 0"),
        ({"steps": 1}, "`steps` must be at least 2, received 1"),
        ({"slack": 0}, "`slack` must be above 0"),
        ({"n": 10}, "`learned` must be at least `n` images, 10, received 9"),
        ({"mask": np.ones((1, 2), bool)}, "nothing is missing of image 0"),
        ({"flow": FLOWS["realnvp"]((1, 2, 1), levels=16, labels=(1, 2))}, "class-conditional"),
    ],
)
def test_bad_input(flow, change, words):
    images, learned = random_images(2, (1, 2, 1), levels=16), random_images(9, (1, 2, 1), levels=16)
    options = {
        "flow": flow,
        "images": images,
        "mask": RIGHT,
        "learned": learned,
        "steps": 2,
        **change,
    }
    with pytest.raises(ValueError, match=words):
        fill_by_chain(**options)
