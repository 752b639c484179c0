import numpy as np
import pytest
import tensorflow as tf
from conftest import FLOWS, of_couplings, random_images

from tfp_realnvp import fewshot
from tfp_realnvp.fewshot import Adapter, AffineMaps, adapt, with_maps

STILL = AffineMaps(rotation=0, stretch=0, shear=0, shift=0)


def bar(height=9, width=9):
    """An upright bar in the middle."""
    image = np.zeros((1, height, width, 1), np.uint8)
    image[0, 2:-2, width // 2] = 200
    return image


def mapped(image, count=400, **options):
    images = np.repeat(image, count, axis=0)
    maps = AffineMaps(**{"rotation": 0, "stretch": 0, "shear": 0, "shift": 0, **options})
    return maps(tf.constant(images), seed=[1, 2]).numpy().astype(float)[..., 0]


def places(images):
    """The mean row and column of the ink, of each image."""
    ink = images.sum(axis=(1, 2))
    rows = np.einsum("nhw,h->n", images, np.arange(images.shape[1])) / ink
    columns = np.einsum("nhw,w->n", images, np.arange(images.shape[2])) / ink
    return rows, columns


def test_each_option_does_what_it_says():
    rows, columns = places(mapped(bar(), shift=0.5))
    assert np.std(rows) == pytest.approx(0.5, abs=0.1) == pytest.approx(np.std(columns), abs=0.1)
    rows, columns = places(mapped(bar(), rotation=10))
    assert np.ptp(rows) < 0.1 and np.ptp(columns) < 0.1  # the middle stays in place
    top = mapped(bar(), rotation=10)[:, 2]
    moved = top @ np.arange(9) / top.sum(axis=1) - 4
    assert np.std(moved) == pytest.approx(2 * np.tan(np.radians(10)), abs=0.1)
    slanted = mapped(bar(), shear=0.2)[:, 2]
    moved = slanted @ np.arange(9) / slanted.sum(axis=1) - 4
    assert np.std(moved) == pytest.approx(2 * 0.2, abs=0.1)
    ink = mapped(bar(), stretch=0.1).sum(axis=(1, 2)) / bar().sum()
    assert 0.1 < np.std(ink) < 0.2  # height and width, a tenth each


def test_maps_that_do_nothing():
    images = tf.constant(random_images(3, (5, 4, 2)))
    moved = STILL(images, seed=[0, 1])
    np.testing.assert_array_equal(moved, images)
    assert moved.dtype == images.dtype


def test_maps_depend_on_the_seed():
    first, same, other = (
        AffineMaps()(tf.constant(bar()), seed=seed) for seed in ([0, 1], [0, 1], [0, 2])
    )
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other)


def test_maps_stay_sharp_and_in_range():
    """Half a pixel to the side, linear interpolation leaves two columns of half the ink: 100."""
    moved = mapped(bar(height=21), count=4000, shift=0.5)
    assert moved.min() >= 0 and moved.max() <= 200
    left, right = moved[:, 10, 4], moved[:, 10, 5]
    between = (np.abs(left - right) < 10) & (right > 50)
    assert np.sum(between) > 5 and np.all(left[between] + right[between] > 208)


def test_shots_with_maps_in_turn():
    shots = np.concatenate([bar(), 0 * bar(), bar()[:, ::-1].transpose(0, 2, 1, 3)])
    images = with_maps(shots, 4, seed=3)
    np.testing.assert_array_equal(images[:3], shots)
    assert len(images) == 7 and not images[[4]].any()  # the middle one is black
    np.testing.assert_array_equal(images, with_maps(shots, 4, seed=3))
    assert np.any(images[3:] != with_maps(shots, 4, seed=5)[3:])
    np.testing.assert_array_equal(with_maps(shots, 4, maps=STILL)[3:], shots[[0, 1, 2, 0]])
    assert with_maps(shots, 0) is shots


def test_maps_out_of_range():
    with pytest.raises(ValueError, match="`shear` must be 0 or more, received -1"):
        AffineMaps(shear=-1)
    with pytest.raises(ValueError, match="`shift` must be 0 or more, received nan"):
        AffineMaps(shift=float("nan"))


@pytest.mark.slow
def test_adapted_flow_knows_the_shots(flow):
    """Shots unlike what it learned become likely; the flow itself is not changed."""
    shots = np.repeat(random_images(2, (4, 4, 1), levels=64, seed=5), [1, 2], axis=0)
    before = flow.get_weights()
    steps = []
    adapted = adapt(
        flow, shots, maps=STILL, steps=30, batch_size=8, learning_rate=0.01, on_step=steps.append
    )
    assert steps == list(range(1, 31))
    assert type(adapted) is type(flow) and adapted.get_config() == flow.get_config()
    for weight, old in zip(flow.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    gain = flow.bits_per_dim(shots) - adapted.bits_per_dim(shots)
    assert np.all(gain.numpy() > 0.3)


@pytest.mark.slow
@of_couplings
def test_same_seed_same_adaptation(flow):
    shots = random_images(3, (4, 4, 1))
    adapter = Adapter(flow, steps=3, batch_size=4)
    first, same, other = (adapter(shots, seed=seed).get_weights() for seed in (1, 1, 2))
    for a, b in zip(first, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.any(a != b) for a, b in zip(first, other, strict=True))


@pytest.mark.slow
@of_couplings
def test_adapter_starts_anew(flow):
    """What it did with other shots before leaves no trace."""
    shots, others = random_images(3, (4, 4, 1)), random_images(2, (4, 4, 1), seed=8)
    options = {"steps": 3, "batch_size": 4}
    adapter = Adapter(flow, **options)
    first = adapter(others, seed=4).get_weights()
    second = adapter(shots, seed=1).get_weights()
    alone = adapt(flow, shots, seed=1, **options).get_weights()
    for weight, same in zip(second, alone, strict=True):
        np.testing.assert_array_equal(weight, same)
    assert any(np.any(a != b) for a, b in zip(first, second, strict=True))


def test_one_shot_can_be_learned():
    flow = FLOWS["realnvp"]()
    flow.adapt(random_images(100, (4, 4, 1)))
    adapted = adapt(flow, random_images(1, (4, 4, 1)), steps=1, batch_size=2)
    with pytest.raises(ValueError, match="`shots` must be at least 2 images"):
        fewshot.fit_latent(adapted, random_images(1, (4, 4, 1)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "`steps` must be at least 1, received 0"),
        ({"batch_size": 0}, "`batch_size` must be at least 1, received 0"),
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0, received 0.0"),
        ({"shots": random_images(0, (4, 4, 1))}, "at least 1 image, received none"),
        ({"shots": random_images(2, (4, 6, 1))}, "`images` must have the shape"),
    ],
)
def test_bad_arguments(options, words):
    flow = FLOWS["realnvp"]()
    with pytest.raises(ValueError, match=words):
        adapt(flow, **{"shots": random_images(2, (4, 4, 1)), **options})
    with pytest.raises(ValueError, match="must be told nothing"):
        adapt(FLOWS["realnvp"](labels=(1, 2)), random_images(2, (4, 4, 1)))
