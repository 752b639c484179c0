"""A flow whose latents have a distribution that was fitted to a few images."""

from __future__ import annotations

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_realnvp.bijectors.cache import with_own_cache
from tfp_realnvp.flows.borrowing_flow import BorrowingFlow
from tfp_realnvp.flows.gaussian_mixture import GaussianMixture
from tfp_realnvp.flows.image_flow import ImageFlow

__all__ = ["FewShotFlow"]

MOST_CENTERS = 20_000


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class FewShotFlow(BorrowingFlow):
    """Another flow with latents that are Gaussian, or a mixture of Gaussians, instead of standard normal.

    `fewshot.few_shot_flow` fits one to a few images. It is saved, exported and asked as any flow. Its layers
    and weights are those of the flow; the mixture is not trained.

    Args:
      flow: a flow that is told nothing.
      centers: number of Gaussians of the mixture, 1 to 20,000.
      rank: number of directions in which they have a covariance of their own, 0 to the number of values in an
        image.
      **kwargs: the name.

    Raises:
      ValueError: a flow that is told something, or a number outside its limits.
    """

    def __init__(self, flow: ImageFlow, *, centers: int = 1, rank: int = 0, **kwargs):
        if flow.told.shape:
            raise ValueError(
                "`flow` must be told nothing, received one with labels or a context: take `flow.given`."
            )
        size = flow.dimensions
        for name, value, least, most in (
            ("centers", centers, 1, MOST_CENTERS),
            ("rank", rank, 0, size),
        ):
            if not isinstance(value, int) or not least <= value <= most:
                raise ValueError(
                    f"`{name}` must be an integer from {least} to {most:,}, received {value}."
                )
        super().__init__(flow, **kwargs)
        self._sizes = {"centers": centers, "rank": rank}
        shapes = [("centers", (centers, size)), ("variances", (size,)), ("factors", (size, rank))]
        self._mixture_weights = [
            self.add_weight(
                shape=shape,
                initializer="ones" if name == "variances" else "zeros",
                dtype="float32",
                trainable=False,
                autocast=False,
                name=name,
            )
            for name, shape in shapes
        ]

    @classmethod
    def of_mixture(cls, flow: ImageFlow, mixture: GaussianMixture, **kwargs) -> FewShotFlow:
        """The flow with latents of this mixture over [d], d the number of values in an image."""
        rank = mixture.factors.shape[1]
        made = cls(flow, centers=len(mixture.centers), rank=rank, **kwargs)
        for weight, value in zip(made._mixture_weights, mixture, strict=True):
            weight.assign(value)
        return made

    @property
    def mixture(self) -> GaussianMixture:
        """The distribution of the latents, flattened."""
        return GaussianMixture(*map(tf.convert_to_tensor, self._mixture_weights))

    def make_bijectors(self, context, conditioners):
        """Those of the flow."""
        return self.flow.make_bijectors(context, conditioners)

    def base_distribution(self, rows=()) -> tfd.Distribution:
        """The mixture, over latents of the image shape."""
        return tfd.TransformedDistribution(
            self.mixture.distribution(),
            with_own_cache(tfb.Reshape(self.image_shape)),
            name="mixture",
        )

    def standardize(self, latents) -> tf.Tensor:
        """Latents with the mean and the standard deviations that they should have taken away."""
        mixture = self.mixture
        mean = tf.reduce_mean(mixture.centers, axis=0)
        flat = tf.reshape(latents, [-1, self.dimensions])
        return tf.reshape((flat - mean) / mixture.standard_deviations(), tf.shape(latents))

    def draw_latents(self, n, temperature, seed, *, first=0) -> tf.Tensor:
        """As those of any flow, from the mixture; the temperature scales the deviations from its mean."""
        rows = self.mixture.rows(seed, first, first + n, temperature=temperature)
        return tf.reshape(rows, [-1, *self.image_shape])

    def bits_per_pixel(self, images, labels=None, *, context=None, seed: int = 0) -> tf.Tensor:
        """Not to be had.

        Raises:
          ValueError: always.
        """
        raise ValueError(
            "the bits of a pixel need independent latents: those of a few-shot distribution are not."
        )

    def _bijector_told(self, conditioners, told):
        return self.flow._bijector_told(conditioners, told)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), **self._sizes}
