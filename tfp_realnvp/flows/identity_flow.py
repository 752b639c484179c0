"""A flow that changes nothing."""

from __future__ import annotations

import keras
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.flows.image_flow import ImageFlow

__all__ = ["IdentityFlow"]


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class IdentityFlow(ImageFlow):
    """A flow whose latents are the pixels, scaled to the unit cube: what distributions of pixels stand on.

    `FewShotFlow(IdentityFlow(image_shape), ...)` is a Gaussian of pixels, the baseline of the few-shot
    experiment, as a flow.

    Args:
      image_shape: (height, width, channels).
      **kwargs: those of `ImageFlow`.
    """

    def make_bijectors(self, context, conditioners):
        """None."""
        return []

    def _bijector_told(self, conditioners, told):
        return tfb.Identity()  # without tone curve and ActNorm
