"""Multi-scale RealNVP with convolutional conditioners."""

from __future__ import annotations

import keras
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors import Couplings, Partial, Squeeze
from tfp_realnvp.flows.checks import check_scales
from tfp_realnvp.flows.coupling_flow import CouplingFlow
from tfp_realnvp.flows.options import MultiscaleOptions
from tfp_realnvp.layers import ConvResNet

__all__ = ["MultiscaleRealNVP"]


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class MultiscaleRealNVP(CouplingFlow):
    """RealNVP at several scales, with convolutional conditioners.

    A scale squeezes 2x2 pixels into channels, in the order of a checkerboard, and chains couplings that
    keep one half of the channels, in turns. Then half of the channels are left alone, the others go on to the
    next scale, and finally all channels are put back in their places:

    `scale = unsqueeze o [couplings o (next scale on half of the channels)] o squeeze`

    So latents have the image shape, as in any other flow. At least two couplings in a scale are needed to
    transform every pixel. With an even number of them and the default `parity`, the last one, next to the
    latents, transforms the half that is then left alone, given the half that goes on: a learned prior, as in
    Glow.

    Args:
      image_shape: (height, width, channels); height and width must be multiples of `2**scales`.
      **kwargs: the options below, and the arguments of `ImageFlow`: `levels`, `labels`, `context_shape`,
        `context_encoder`, `dequantization`, `seed`, `dtype`.

    Raises:
      TypeError, ValueError: an argument of the wrong type or outside its range, or an image shape that cannot
        be squeezed so often.

    Example:
      >>> flow = MultiscaleRealNVP((8, 8, 1), levels=17, couplings=2, channels=16, blocks=1)
      >>> flow.sample(5, seed=0).shape
      TensorShape([5, 8, 8, 1])

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, sections 3.4 to 3.6;
      Kingma, Dhariwal (2018), Glow, whose published code has the learned prior.
    """

    options_class = MultiscaleOptions

    def __init__(self, image_shape: tuple[int, int, int], **kwargs):
        super().__init__(image_shape, **kwargs)
        check_scales(self.image_shape, self.scales)
        height, width, size = self.image_shape
        most = self._couplings_of(self.scales - 1)
        self.conditioners = []  # of all scales: older Keras does not save lists of lists
        for scale in range(self.scales):
            height, width, size = height // 2, width // 2, 2 * size  # of each half
            for step in range(self._couplings_of(scale)):
                conditioner = ConvResNet(
                    size,
                    channels=self.channels,
                    blocks=self.blocks,
                    activation=self.activation,
                    transform=self.transform,
                    gated=self.gated,
                    heads=self.heads if scale == self.scales - 1 else 0,
                    context=self.told.shape,
                    seed=(self.seed * self.scales + scale) * most + step,
                    dtype=self.dtype_policy,
                )
                conditioner.build((None, height, width, size))
                self.conditioners.append(conditioner)
        self.built = True

    def make_bijectors(self, context, conditioners) -> list[tfb.Bijector]:
        """The first scale, which holds the others."""
        return self._scale(0, self.image_shape[-1], context, conditioners)

    def _couplings_of(self, scale: int) -> int:
        return self.couplings + (self.extra_couplings if scale == self.scales - 1 else 0)

    def _scale(self, scale: int, channels: int, context, conditioners) -> list[tfb.Bijector]:
        """The bijectors of a scale on images of so many channels, the one next to the image first."""
        if scale == self.scales:
            return []
        half = 2 * channels
        first = scale * self.couplings
        of_scale = conditioners[first : first + self._couplings_of(scale)]
        couplings = Couplings(
            of_scale,
            split=half,
            transform=self.transform,
            parity=self.parity,
            event_ndims=3,
            context=context,
        )
        rest = self._scale(scale + 1, half, context, conditioners)
        inner = [Partial(tfb.Chain(rest, name="scale"), channels=half)] if rest else []
        return [tfb.Invert(Squeeze()), couplings, *inner, Squeeze()]
