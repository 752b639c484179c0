"""Many images are computed in blocks, with the same results and in memory that does not grow."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from conftest import EVERY_FLOW, FLOWS, perturb, random_images

from tfp_realnvp import fewshot
from tfp_realnvp.compute import blocks
from tfp_realnvp.compute.blocks import in_blocks

IMAGES = random_images(50, (4, 4, 1))
LABELS = np.resize([3, 5], 50)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "VALUES", 12 * 16)  # 12 rows


@pytest.mark.parametrize("rows", [0, 1, 11, 12, 13, 24, 25, 100])
def test_blocks_are_bounded_and_in_order(rows):
    seen = []

    def block(start, end):
        seen.append((start, end))
        return tf.range(start, end)

    np.testing.assert_array_equal(in_blocks(block, rows, largest=12), np.arange(rows))
    assert all(end - start <= 12 and start % 4 == 0 for start, end in seen)
    assert len(seen) == max(1, -(-rows // 12))


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_FLOW)
def test_blocks_make_no_difference(name, request):
    flow = FLOWS[name](labels=(3, 5))
    flow.adapt(IMAGES)
    perturb(flow)

    def results():
        latents = flow.encode(IMAGES, LABELS, seed=1)
        return (
            flow.log_prob(IMAGES, LABELS),
            flow.log_prob_given_each(IMAGES.reshape(5, 10, 4, 4, 1)),
            latents,
            flow.decode(latents, LABELS),
            flow.sample(50, LABELS, seed=1),
            flow.sample((5, 10), seed=1),
        )

    whole = results()
    request.getfixturevalue("small_blocks")
    for one, other in zip(whole, results(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_blocks_of_a_fitted_gaussian(small_blocks):
    """The first block has the images of a smaller sample, and each has others."""
    fit = fewshot.fit_pixels(IMAGES, covariance="diagonal")
    few, many = (fewshot.sample_images(fit.distribution, n, seed=1).numpy() for n in (12, 36))
    np.testing.assert_array_equal(many[:12], few)
    assert np.any(many[12:24] != few) and np.any(many[12:24] != many[24:])


PROGRAM = """
import resource
import numpy as np
from tfp_realnvp import RealNVP

def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

flow = RealNVP((4, 4, 1), width=64, depth=2)
images = np.zeros((600_000, 4, 4, 1), np.uint8)
flow.adapt(images[:10])
for count in (120_000, 600_000):
    flow.log_prob(images[:count])
    flow.sample(count)
    print(megabytes())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts the memory in kilobytes, as Linux does")
def test_memory_does_not_grow():
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    few, many = map(float, run.stdout.split())
    assert (
        many < few + 150
    )  # undivided, the hidden units alone take 600,000 * 64 * 4 bytes = 150 MB, often
