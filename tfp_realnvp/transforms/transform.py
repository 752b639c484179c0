"""What all elementwise transforms have in common."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import tensorflow as tf

__all__ = ["Transform"]


class Transform(abc.ABC):
    """An increasing function `y = f(x; parameters)`, applied to each entry of a tensor by itself.

    Forward is from latent to image, as in bijectors. A transform holds no weights: its parameters are given
    with each call. A coupling takes them from its conditioner, others for each entry: `shift` and `log_scale`,
    and if the function bends, `knots`. The tone curve has learned slopes, the same for all entries.

    A subclass whose constructor has arguments lists them in `get_config`. With
    `keras.saving.register_keras_serializable` it can be part of a model file.

    Attributes:
      knots: how many numbers an entry has in `knots`; 0 if there are none.
    """

    knots: int = 0

    @abc.abstractmethod
    def forward(self, x: tf.Tensor, *parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Latent to image.

        Args:
          x: float tensor [...].
          *parameters: see the class.

        Returns:
          (y, log_slope), each of the shape of `x`, with `log_slope = log(dy / dx)`.
        """

    @abc.abstractmethod
    def inverse(self, y: tf.Tensor, *parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Image to latent.

        Args:
          y: float tensor [...].
          *parameters: see the class.

        Returns:
          (x, log_slope), each of the shape of `y`, with `log_slope = log(dy / dx)`, as in `forward`.
        """

    def shapes(self, entries: Sequence[int | None]) -> tuple[tuple[int | None, ...], ...]:
        """The shapes of (shift, log_scale), or (shift, log_scale, knots), for entries of this shape."""
        entries = tuple(entries)
        return (entries, entries, *([(self.knots, *entries)] if self.knots else []))

    def check_parameters(self, parameters: Sequence[tf.Tensor], entries: tf.Tensor) -> None:
        """Check what a conditioner gave for these entries; a wrong shape could be broadcast, silently.

        Raises:
          ValueError: parameters that are missing, left over, or of another shape.
        """
        shapes = self.shapes(entries.shape)
        names = ["shift", "log_scale", "knots"][: len(shapes)]
        if len(parameters) != len(shapes):
            raise ValueError(
                f"the conditioner must give ({', '.join(names)}) for {type(self).__name__}, received "
                f"{len(parameters)} tensors."
            )
        for name, parameter, shape in zip(names, parameters, shapes, strict=True):
            if not parameter.shape.is_compatible_with(shape):
                raise ValueError(
                    f"the conditioner must give a `{name}` of the shape {list(shape)} for "
                    f"{type(self).__name__}, received {parameter.shape.as_list()}."
                )

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict) -> Transform:
        """A transform from `get_config`."""
        return cls(**config)
