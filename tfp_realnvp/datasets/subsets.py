"""Random subsets of labelled images: a fraction of them, a few examples of one label."""

from __future__ import annotations

import numpy as np

from tfp_realnvp.datasets.images import LabelledImages

__all__ = ["draw_shots", "draw_shots_and_others", "split"]

SPLIT_SEED = 20170227  # all runs have the same split, whatever their own seeds


def split(
    data: LabelledImages, *, fraction: float, seed: int = SPLIT_SEED
) -> tuple[LabelledImages, LabelledImages]:
    """Put a random fraction of the images aside; the same seed chooses the same images.

    Args:
      data: the images.
      fraction: how much is put aside, between 0 and 1.
      seed: of the random choice.

    Returns:
      (what remains, what was put aside), each in the original order.

    Raises:
      ValueError: one of them would be empty.
    """
    count = round(fraction * len(data))
    if not 0 < count < len(data):
        raise ValueError(
            f"`fraction` must leave at least one image on either side: {fraction} of {len(data)} images does "
            "not."
        )
    chosen = np.zeros(len(data), bool)
    chosen[np.random.default_rng(seed).permutation(len(data))[:count]] = True
    return data.take(~chosen), data.take(chosen)


def draw_shots(data: LabelledImages, label: int, count: int, seed: int) -> np.ndarray:
    """Choose a few random examples of one label (shots), none twice.

    Args:
      data: the images to choose from.
      label: the label of the shots.
      count: how many, at least 1.
      seed: of the random choice.

    Returns:
      uint8 array [count, height, width, channels].

    Raises:
      ValueError: no image has the label, `count` is below 1, or there are fewer images than that.
    """
    return draw_shots_and_others(data, label, count, seed)[0]


def draw_shots_and_others(
    data: LabelledImages, label: int, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The shots that `draw_shots` chooses, and all other images of the label in a random order.

    Args:
      data: as in `draw_shots`.
      label: as in `draw_shots`.
      count: as in `draw_shots`.
      seed: of the random choice and order.

    Returns:
      (shots, others), uint8 arrays [n, height, width, channels].

    Raises:
      ValueError: as `draw_shots`.
    """
    if count < 1:
        raise ValueError(f"`shots` must be at least 1 image, received {count}.")
    images = data.only([label]).images
    if len(images) < count:
        raise ValueError(
            f"{count} shots of label {label} were asked for, but there are {len(images)}."
        )
    order = np.random.default_rng(seed).permutation(len(images))
    return images[order[:count]], images[order[count:]]
