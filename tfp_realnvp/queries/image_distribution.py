"""A distribution over the unit cube, as one over images."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_realnvp.compute.blocks import in_blocks, rows_of_block
from tfp_realnvp.compute.random_numbers import to_seed
from tfp_realnvp.fewshot.gaussians import sample_images
from tfp_realnvp.flows import pixels
from tfp_realnvp.flows.checks import check_images

__all__ = ["ImageDistribution"]


class ImageDistribution:
    """A distribution over the unit cube that answers as a flow does: `log_prob` and `sample` of images.

    So that all questions can be put to few-shot distributions and to Gaussians on pixels, too.

    Args:
      distribution: over [height, width, channels], as that of `fit_latent` or `fit_pixels`.
      levels: number of grey levels of the images.

    Example:
      `nines = ImageDistribution(fit_latent(flow, ten_nines).distribution, levels=flow.levels)`
    """

    exact = True  # as an attribute of flows

    def __init__(self, distribution: tfd.Distribution, *, levels: int = 256):
        self.distribution = distribution
        self.levels = levels
        self.image_shape = tuple(distribution.event_shape.as_list())

    def log_prob(self, images, *, seed: int = 0) -> tf.Tensor:
        """Log-probability of images in nats, float32 [n]; see `ImageFlow.log_prob`.

        Args:
          images: integers in [0, levels), [n, height, width, channels].
          seed: int, or int32 [2], of the dequantization noise.

        Raises:
          TypeError, ValueError: images that do not fit the distribution.
        """
        images = check_images(images, self.image_shape, levels=self.levels)
        seed = to_seed(seed)

        def block(start, end):
            part = images[start:end]
            noise = pixels.image_noise(part, seed)
            return pixels.log_prob(self.distribution, part, levels=self.levels, noise=noise)

        return in_blocks(block, len(images), largest=rows_of_block(self.image_shape))

    def bits_per_dim(self, images, *, seed: int = 0) -> tf.Tensor:
        """`-log_prob / (D log 2)` of each image, float32 [n]."""
        return pixels.bits_per_dim(self.log_prob(images, seed=seed), self.image_shape)

    def sample(self, n: int, *, seed: int | None = None) -> tf.Tensor:
        """Draw images, uint8 [n, height, width, channels]; see `fewshot.sample_images`."""
        return sample_images(self.distribution, n, levels=self.levels, seed=seed)
