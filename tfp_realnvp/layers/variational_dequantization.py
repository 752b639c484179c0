"""Variational dequantization: noise that is learned together with the flow."""

from __future__ import annotations

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors import Couplings, Squeeze
from tfp_realnvp.bijectors.cache import with_own_cache
from tfp_realnvp.layers.conv_resnet import ConvResNet

__all__ = ["VariationalDequantization"]

EDGE = 1e-6  # uniform noise is kept away from 0 and 1, where the logit is infinite


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class VariationalDequantization(keras.layers.Layer):
    """A small flow that makes dequantization noise, conditioned on the image.

    `noise = sigmoid(couplings(logit(uniform)))`, with convolutional couplings that see the image too. Its
    density q makes the bound `log p(image) >= E[log p(image + noise) - log q(noise | image)]` tighter than
    uniform noise does, for which q is 1. It starts as uniform noise.

    Args:
      image_shape: (height, width, channels), height and width even.
      levels: number of grey levels.
      couplings: at least 1.
      channels: features of a conditioner.
      blocks: residual blocks of a conditioner.
      seed: of the initial weights.
      **kwargs: those of `keras.layers.Layer`; `dtype` is the policy of the convolutions.

    Call arguments:
      images: integers in [0, levels), [n, height, width, channels].
      uniform: float32 of the same shape, in [0, 1).

    Returns:
      (noise, log_det): noise in (0, 1) of the images' shape, and `-log q(noise | image)`, nats [n].

    Raises:
      ValueError: an odd height or width.

    Reference:
      Ho, Chen, Srinivas, Duan, Abbeel (2019), Flow++, section 3.1.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        levels: int,
        couplings: int = 2,
        channels: int = 32,
        blocks: int = 1,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs, autocast=False)
        height, width, size = image_shape
        if height % 2 or width % 2:
            raise ValueError(
                "variational dequantization needs an even height and width, received "
                f"{height}x{width}: pad the images, or choose uniform dequantization."
            )
        self.image_shape = tuple(image_shape)
        self.levels = levels
        self.couplings = couplings
        self.channels = channels
        self.blocks = blocks
        self.seed = seed
        self.half = 2 * size
        self.conditioners = []
        for step in range(couplings):
            conditioner = ConvResNet(
                self.half,
                channels=channels,
                blocks=blocks,
                seed=1_000_000 + seed * couplings + step,
                dtype=self.dtype_policy,
            )
            conditioner.build((None, height // 2, width // 2, self.half + 4 * size))
            self.conditioners.append(conditioner)
        self.built = True

    def call(self, images, uniform):
        """(noise, log_det); see the class."""
        grey = 2 * (tf.cast(images, tf.float32) + 0.5) / self.levels - 1
        seen = Squeeze().forward(grey)

        def seeing(conditioner):
            return lambda kept, seen: conditioner(tf.concat([kept, seen], axis=-1))

        conditioners = [seeing(conditioner) for conditioner in self.conditioners]
        couplings = Couplings(conditioners, split=self.half, context=seen, event_ndims=3)
        parts = [
            tfb.Sigmoid(),
            tfb.Invert(Squeeze()),
            couplings,
            Squeeze(),
            tfb.Invert(tfb.Sigmoid()),
        ]
        chain = with_own_cache(tfb.Chain(parts, name="noise"))
        uniform = tf.clip_by_value(uniform, EDGE, 1 - EDGE)
        return chain.forward(uniform), chain.forward_log_det_jacobian(uniform, event_ndims=3)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "levels": self.levels,
            "couplings": self.couplings,
            "channels": self.channels,
            "blocks": self.blocks,
            "seed": self.seed,
        }
