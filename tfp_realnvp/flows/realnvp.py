"""RealNVP with dense conditioners."""

from __future__ import annotations

import keras
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors import Couplings, Reorder, masks
from tfp_realnvp.flows.image_flow import ImageFlow
from tfp_realnvp.layers import DenseConditioner

__all__ = ["RealNVP"]


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class RealNVP(ImageFlow):
    """RealNVP with checkerboard couplings and dense conditioners.

    The pixels are ordered so that those of one colour of the checkerboard come first; each coupling then
    keeps one half, in turns, and transforms the other.

    Args:
      image_shape: (height, width, channels).
      couplings: number of couplings, at least 1; with fewer than 2 half of the pixels stay as they are.
      depth: dense layers in a conditioner, the output layer included, at least 1.
      width: units of a hidden layer.
      activation: of the hidden layers.
      **kwargs: those of `ImageFlow`: `levels`, `labels`, `dequantization`, `seed`, `dtype`.

    Raises:
      ValueError: an argument outside its range.

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

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        couplings: int = 4,
        depth: int = 4,
        width: int = 512,
        activation="relu",
        **kwargs,
    ):
        super().__init__(image_shape, **kwargs)
        for name, value in (("couplings", couplings), ("depth", depth), ("width", width)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, received {value}.")
        mask = masks.checkerboard(self.image_shape)
        if mask.all():
            raise ValueError(
                f"`image_shape` must have at least two pixels, received {image_shape}."
            )
        self.couplings = couplings
        self.depth = depth
        self.width = width
        self.activation = keras.activations.get(activation)
        self.split = int(mask.sum())
        self.order = masks.kept_first(mask)
        self.conditioners = []
        for step in range(couplings):
            kept = self.split if step % 2 == 0 else self.dimensions - self.split
            conditioner = DenseConditioner(
                self.dimensions - kept,
                depth=depth,
                width=width,
                activation=self.activation,
                context=len(self.labels),
                seed=self.couplings * self.seed + step,
                dtype=self.dtype_policy,
            )
            conditioner.build((None, kept))
            self.conditioners.append(conditioner)
        self.built = True

    def make_bijectors(self, context, conditioners) -> list[tfb.Bijector]:
        """To the order of the checkerboard, the couplings, and back to the image shape."""
        reorder = Reorder(self.image_shape, self.order)
        couplings = Couplings(conditioners, split=self.split, context=context)
        return [tfb.Invert(reorder), couplings, reorder]

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "couplings": self.couplings,
            "depth": self.depth,
            "width": self.width,
            "activation": keras.activations.serialize(self.activation),
        }
