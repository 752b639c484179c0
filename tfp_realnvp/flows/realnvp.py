"""RealNVP with dense conditioners."""

from __future__ import annotations

import keras
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors import Couplings, Reorder, masks
from tfp_realnvp.flows.coupling_flow import CouplingFlow
from tfp_realnvp.flows.options import RealNVPOptions
from tfp_realnvp.layers import DenseConditioner

__all__ = ["RealNVP"]


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class RealNVP(CouplingFlow):
    """RealNVP with checkerboard couplings and dense conditioners.

    The pixels are ordered so that those of one colour of the checkerboard come first; each coupling then
    keeps one half, in turns, and transforms the other. With fewer than two couplings half of the pixels stay
    as they are.

    Args:
      image_shape: (height, width, channels), of at least two pixels.
      **kwargs: the options below, and the arguments of `ImageFlow`: `levels`, `labels`, `context_shape`,
        `context_encoder`, `dequantization`, `seed`, `dtype`.

    Raises:
      TypeError, ValueError: an argument of the wrong type or outside its range.

    Example:
      >>> flow = RealNVP((8, 8, 1), levels=17, couplings=2, width=32)
      >>> flow.compile(optimizer="adam")
      >>> images = keras.ops.zeros((100, 8, 8, 1), "uint8")
      >>> history = flow.fit(images, epochs=1, verbose=0)
      >>> flow.sample(5, seed=0).shape
      TensorShape([5, 8, 8, 1])

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, sections 3.2 to 3.5.
    """

    options_class = RealNVPOptions

    def __init__(self, image_shape: tuple[int, int, int], **kwargs):
        super().__init__(image_shape, **kwargs)
        mask = masks.checkerboard(self.image_shape)
        if mask.all():
            raise ValueError(
                f"`image_shape` must have at least two pixels, received {image_shape}."
            )
        self.split = int(mask.sum())
        self.order = masks.kept_first(mask)
        self.conditioners = []
        for step in range(self.couplings):
            kept = self.split if step % 2 == 0 else self.dimensions - self.split
            conditioner = DenseConditioner(
                self.dimensions - kept,
                depth=self.depth,
                width=self.width,
                activation=self.activation,
                transform=self.transform,
                context=self.told.shape,
                seed=self.couplings * self.seed + step,
                dtype=self.dtype_policy,
            )
            conditioner.build((None, kept))
            self.conditioners.append(conditioner)
        self.built = True

    def make_bijectors(self, context, conditioners) -> list[tfb.Bijector]:
        """To the order of the checkerboard, the couplings, and back to the image shape."""
        reorder = Reorder(self.image_shape, self.order)
        couplings = Couplings(
            conditioners, split=self.split, transform=self.transform, context=context
        )
        return [tfb.Invert(reorder), couplings, reorder]
