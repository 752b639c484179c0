import dataclasses

import numpy as np
import pytest
from conftest import random_images

from tfp_realnvp.training.images import load_images, training_batches


def test_batches_hold_every_image_once_a_pass():
    images = random_images(100, (2, 2, 1))
    images[:, 0, 0, 0] = np.arange(100)
    batches = training_batches(images, batch_size=30, seed=1).as_numpy_iterator()
    passes = [np.concatenate([next(batches) for _ in range(3)]) for _ in range(2)]
    for one in passes:
        assert len(np.unique(one[:, 0, 0, 0])) == 90
    assert np.any(passes[0] != passes[1])


def test_batches_of_several_columns():
    """Rows stay together."""
    images = random_images(20, (2, 2, 1))
    columns = {"images": images, "labels": np.arange(20)}
    batches = training_batches(columns, batch_size=5, seed=1).as_numpy_iterator()
    batch = next(batches)
    np.testing.assert_array_equal(batch["images"], images[batch["labels"]])


@pytest.mark.parametrize("augment", [0, 0.5])
@pytest.mark.parametrize("step", [2, 4, 9])
def test_batches_depend_on_seed_and_step_alone(step, augment):
    images = random_images(40, (2, 2, 1))

    def batches(**options):
        options = {"batch_size": 10, "augment": augment, **options}
        return training_batches(images, **options).as_numpy_iterator()

    all_batches = batches(seed=3)
    for _ in range(step):
        next(all_batches)
    np.testing.assert_array_equal(next(all_batches), next(batches(seed=3, first_step=step)))
    assert np.any(next(batches(seed=3)) != next(batches(seed=4)))


def test_augmentation_moves_by_up_to_a_pixel():
    """All nine moves are equally likely, edges are repeated, and labels stay with their images."""
    images = random_images(900, (4, 5, 1))
    columns = {"images": images, "labels": np.arange(900)}
    batch = next(training_batches(columns, batch_size=900, seed=1, augment=0.5).as_numpy_iterator())
    framed = np.pad(images[batch["labels"]], [(0, 0), (1, 1), (1, 1), (0, 0)], mode="edge")
    moves = {
        (down, right): np.all(
            framed[:, down : down + 4, right : right + 5] == batch["images"], axis=(1, 2, 3)
        )
        for down in range(3)
        for right in range(3)
    }
    assert np.all(sum(moves.values()) == 1)
    shares = {move: np.mean(found) for move, found in moves.items()}
    assert shares.pop((1, 1)) == pytest.approx(0.5 + 0.5 / 9, abs=0.06)
    assert list(shares.values()) == pytest.approx([0.5 / 9] * 8, abs=0.04)


def test_held_out_labels_are_not_learned(tiny_config):
    images = load_images(tiny_config)
    for learned in (images.train, images.validation, images.test):
        assert set(learned.labels) == set(range(9))
    assert set(images.held_out.labels) == {9}
    with pytest.raises(ValueError, match="label 11 is not there"):
        load_images(dataclasses.replace(tiny_config, hold_out=(11,)))


def test_as_many_training_images_are_scored_as_others(tiny_config):
    images = load_images(tiny_config)
    sizes = {name: len(scored) for name, scored in images.scored(test=True).items()}
    assert sizes["train"] == sizes["validation"] < len(images.train)
    assert set(sizes) == {"train", "validation", "test", "held_out"}
    assert set(images.scored(test=False)) == {"train", "validation"}
    whole = load_images(dataclasses.replace(tiny_config, hold_out=()))
    assert set(whole.scored(test=True)) == {"train", "validation", "test"}
