import numpy as np
import pytest
from conftest import random_images

from tfp_realnvp import datasets
from tfp_realnvp.datasets import ImageSet, LabelledImages

DATA = LabelledImages(random_images(50, (4, 4, 1)), np.arange(50) % 5)


def test_digits():
    digits = datasets.load("digits")
    assert digits.image_shape == (8, 8, 1) and digits.levels == 17
    assert digits.train.images.max() == 16
    assert len(digits.train) + len(digits.test) == 1797
    assert set(digits.train.labels) == set(digits.test.labels) == set(range(10))


def test_labels_are_chosen_and_held_out():
    assert set(DATA.only([1, 3]).labels) == {1, 3}
    assert set(DATA.without([1, 3]).labels) == {0, 2, 4}
    assert np.array_equal(DATA.only([2]).images, DATA.images[2::5])


def test_split_is_the_same_for_a_seed():
    rest, part = datasets.split(DATA, fraction=0.2)
    assert len(rest) == 40 and len(part) == 10
    again = datasets.split(DATA, fraction=0.2)[1]
    np.testing.assert_array_equal(part.images, again.images)
    both = np.concatenate([rest.images, part.images]).reshape(50, -1)
    assert len(np.unique(both, axis=0)) == 50  # nothing twice, nothing lost
    other = datasets.split(DATA, fraction=0.2, seed=1)[1]
    assert np.any(part.images != other.images)


def test_draw_shots():
    shots = datasets.draw_shots(DATA, 3, 10, seed=0)
    assert shots.shape == (10, 4, 4, 1)
    assert len(np.unique(shots.reshape(10, -1), axis=0)) == 10
    np.testing.assert_array_equal(shots, datasets.draw_shots(DATA, 3, 10, seed=0))
    assert np.any(shots != datasets.draw_shots(DATA, 3, 10, seed=1))
    some, others = datasets.draw_shots_and_others(DATA, 3, 4, seed=0)
    np.testing.assert_array_equal(some, shots[:4])
    np.testing.assert_array_equal(others, shots[4:])  # all that there are


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: DATA.only([7]), "label 7 is not there; the labels are 0-4"),
        (lambda: DATA.without([7]), "label 7 is not there"),
        (lambda: DATA.without(range(5)), "no images are left when the labels 0-4 are held out"),
        (lambda: datasets.draw_shots(DATA, 7, 10, 0), "label 7 is not there"),
        (
            lambda: datasets.draw_shots(DATA, 3, 11, 0),
            "11 shots of label 3 were asked for, but there are 10",
        ),
        (lambda: datasets.draw_shots(DATA, 3, 0, 0), "at least 1 image, received 0"),
        (lambda: datasets.draw_shots(DATA, 3, -1, 0), "at least 1 image, received -1"),
        (
            lambda: datasets.split(DATA, fraction=0.001),
            "`fraction` must leave at least one image.*0.001 of 50",
        ),
        (
            lambda: datasets.load("ftp:nowhere"),
            "unknown data set 'ftp:nowhere': expected digits, idx:FOLDER",
        ),
        (lambda: LabelledImages(DATA.images[..., 0], DATA.labels), r"received uint8 \[50, 4, 4\]"),
        (
            lambda: LabelledImages(DATA.images, DATA.labels[:3]),
            r"`labels` must have the shape \[50\].*received \[3\]",
        ),
        (
            lambda: ImageSet(DATA, LabelledImages(random_images(3, (4, 5, 1)), np.arange(3))),
            r"images of one shape.*\[4, 4, 1\] for training and \[4, 5, 1\] for testing",
        ),
        (lambda: ImageSet(DATA, DATA.take(np.arange(0))), "at least one image.*received 50 and 0"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.mnist
def test_mnist_from_idx(mnist_dir):
    mnist = datasets.load(f"idx:{mnist_dir}")
    assert mnist.train.images.shape == (60_000, 28, 28, 1)
    assert len(mnist.test) == 10_000
    assert np.bincount(mnist.test.labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert mnist.train.images.mean() == pytest.approx(33.318, abs=1e-3)
