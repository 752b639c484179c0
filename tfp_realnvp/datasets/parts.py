"""Parts of labelled images: a random share, a few examples of a label."""

from __future__ import annotations

import numpy as np

from tfp_realnvp.datasets.images import LabelledImages

__all__ = ["draw_shots", "split"]

SPLIT_SEED = 20170227  # one fixed split for every run, whatever the run's own seed


def split(
    data: LabelledImages, *, fraction: float, seed: int = SPLIT_SEED
) -> tuple[LabelledImages, LabelledImages]:
    """Cut a random part off; the same seed cuts off the same images.

    Args:
      data: what to cut.
      fraction: size of the part, between 0 and 1.
      seed: of the choice.

    Returns:
      (the rest, the part), each in the original order.

    Raises:
      ValueError: one of them would be empty.
    """
    count = round(fraction * len(data))
    if not 0 < count < len(data):
        raise ValueError(
            f"cannot cut a fraction of {fraction} off {len(data)} images: both parts need at least one."
        )
    chosen = np.zeros(len(data), bool)
    chosen[np.random.default_rng(seed).permutation(len(data))[:count]] = True
    return data.take(~chosen), data.take(chosen)


def draw_shots(data: LabelledImages, label: int, count: int, seed: int) -> np.ndarray:
    """Draw a few examples of a label, none twice.

    Args:
      data: to draw from.
      label: of the shots.
      count: how many, at least 2 (a Gaussian is fitted to them).
      seed: of the choice.

    Returns:
      uint8 array [count, height, width, channels].

    Raises:
      ValueError: a label that is not there, a count below 2, or fewer images than asked for.
    """
    if count < 2:
        raise ValueError(f"at least 2 shots are needed to fit a Gaussian, received {count}.")
    images = data.only([label]).images
    if len(images) < count:
        raise ValueError(
            f"{count} shots of label {label} were asked for, but there are {len(images)}."
        )
    return images[np.random.default_rng(seed).permutation(len(images))[:count]]
