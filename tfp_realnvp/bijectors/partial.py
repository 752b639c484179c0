"""A bijector for some of the channels."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors.cache import kept, renewed

__all__ = ["Partial"]


class Partial(tfb.Bijector):
    """The first channels go through another bijector; the others are left as they are.

    - Forward: `y[:channels] = bijector.forward(x[:channels])`, `y[channels:] = x[channels:]`
    - Inverse: likewise
    - Forward log-determinant: that of `bijector`

    So a flow leaves half of its channels alone at each scale, and yet is one bijection of the whole image.

    Args:
      bijector: of the first channels, events of [height, width, channels].
      channels: how many go through it.
      name: name of the bijector.

    Example:
      >>> Partial(tfb.Scale(2.0), channels=1).forward(tf.ones([1, 1, 3])).numpy()
      array([[[2., 1., 1.]]], dtype=float32)

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, section 3.6.
    """

    def __init__(self, bijector: tfb.Bijector, *, channels: int, name="partial"):
        parameters = dict(locals())
        self._bijector = bijector
        self._channels = channels
        super().__init__(forward_min_event_ndims=3, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        _, inner_y = renewed(self, "forward", x, self._inner_pair("forward", x))
        return tf.concat([inner_y, x[..., self._channels :]], axis=-1)

    def _inverse(self, y):
        inner_x, _ = renewed(self, "inverse", y, self._inner_pair("inverse", y))
        return tf.concat([inner_x, y[..., self._channels :]], axis=-1)

    def _forward_log_det_jacobian(self, x):
        inner_x, _ = kept(self, "forward", x, lambda: self._inner_pair("forward", x))
        return self._bijector.forward_log_det_jacobian(inner_x, event_ndims=3)

    def _inner_pair(self, direction, values):
        """(x, y) of the inner bijector. They are kept because its own cache knows only these tensors."""
        first = values[..., : self._channels]
        if direction == "forward":
            return first, self._bijector.forward(first)
        return self._bijector.inverse(first), first
