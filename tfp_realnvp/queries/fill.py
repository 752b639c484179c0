"""What is missing of an image?"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfp_realnvp.flows import ImageFlow, missing
from tfp_realnvp.flows.checks import check_images
from tfp_realnvp.queries.masks import check_mask

__all__ = ["fill_missing"]


def fill_missing(
    flow: ImageFlow,
    images,
    mask,
    labels=None,
    *,
    n: int = 16,
    temperature: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """Draw what is missing of images, several times; what is observed stays as it is.

    The completions are independent samples of `p(missing pixels | observed pixels)`, as the flow has learned
    it: their mean is the best guess of each pixel, and their spread tells how much is known of it.

    Args:
      flow: one that was trained for this: by `tfp-realnvp train --fill`, or by `fit` on the columns that
        `flows.missing` makes.
      images: integers [m, height, width, channels]; what is missing may have any value.
      mask: bool, True where an image is observed: [height, width] for all images, or [m, height, width, 1].
      labels: int [m], in a class-conditional flow; None draws them.
      n: completions of each image, at least 1.
      temperature: of the latents, above 0; below 1 completions vary less.
      seed: the same seed gives the same completions.

    Returns:
      uint8 [m, n, height, width, channels].

    Raises:
      TypeError, ValueError: images that do not fit the flow, a mask of another shape or one that leaves
        nothing or everything to fill in, or a flow that was not trained for it.

    Example:
      `completions = fill_missing(flow, images, named_mask("lower", flow.image_shape), n=4)`

    Reference:
      Winkler, Worrall, Hoogeboom, Welling (2019), Learning likelihoods with conditional normalizing flows,
      section 3.2.
    """
    if not missing.is_told_the_rest(flow):
        raise ValueError(
            "`flow` must be one that is told what is observed of an image, received another one: train it by "
            "`tfp-realnvp train --fill`."
        )
    if n < 1:
        raise ValueError(f"`n` must be at least 1, received {n}.")
    images = check_images(images, flow.image_shape, levels=flow.levels)
    if images.shape.rank != 4:
        raise ValueError(f"`images` must have one batch axis, received {images.shape.as_list()}.")
    masks = check_mask(mask, images)
    images = tf.cast(images, tf.uint8)
    drawn = missing.complete(
        flow,
        np.repeat(images, n, axis=0),
        np.repeat(masks, n, axis=0),
        None if labels is None else np.repeat(labels, n, axis=0),
        temperature=temperature,
        seed=seed,
    )
    return drawn.numpy().reshape(len(images), n, *flow.image_shape)
