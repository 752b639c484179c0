"""A bijector whose answers follow its variables."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors.cache import kept, renewed

__all__ = ["UpToDate"]


class UpToDate(tfb.Bijector):
    """Another bijector, which may be used again after its variables have changed.

    - Forward, inverse and log-determinant: those of `bijector`

    In eager mode TFP remembers what it computed for a tensor. If a variable changes and a bijector of TFP is
    asked for the log-determinant of the same tensor again, the answer is the old one. This bijector computes
    it again, unless the other side of the pair (`y` of an `x`, or `x` of a `y`) is still in use.

    Args:
      bijector: of events of the same number of axes on both sides.
      name: name of the bijector.

    Example:
      >>> scale = tf.Variable(1.0)
      >>> bijector, x = UpToDate(tfb.Scale(scale)), tf.ones([1])
      >>> float(bijector.forward_log_det_jacobian(x))
      0.0
      >>> _ = scale.assign(2.0)
      >>> round(float(bijector.forward_log_det_jacobian(x)), 2)
      0.69
    """

    def __init__(self, bijector: tfb.Bijector, name="up_to_date"):
        parameters = dict(locals())
        self._bijector = bijector
        super().__init__(
            forward_min_event_ndims=bijector.forward_min_event_ndims,
            inverse_min_event_ndims=bijector.inverse_min_event_ndims,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def forward_log_det_jacobian(
        self, x, event_ndims=None, name="forward_log_det_jacobian", **kwargs
    ):
        """As in TFP."""
        x = tf.convert_to_tensor(x)
        _in_use = self.forward(x)
        return super().forward_log_det_jacobian(x, event_ndims, name, **kwargs)

    def inverse_log_det_jacobian(
        self, y, event_ndims=None, name="inverse_log_det_jacobian", **kwargs
    ):
        """As in TFP."""
        y = tf.convert_to_tensor(y)
        _in_use = self.inverse(y)
        return super().inverse_log_det_jacobian(y, event_ndims, name, **kwargs)

    def _forward(self, x):
        _, y = renewed(self, "forward", x, self._inner_pair("forward", x))
        return tf.identity(y)

    def _inverse(self, y):
        x, _ = renewed(self, "inverse", y, self._inner_pair("inverse", y))
        return tf.identity(x)

    def _forward_log_det_jacobian(self, x):
        inner_x, _ = kept(self, "forward", x, lambda: self._inner_pair("forward", x))
        return self._bijector.forward_log_det_jacobian(inner_x)

    def _inner_pair(self, direction, values):
        """(x, y) of the inner bijector, with a copy of the input, which its own cache has not seen yet."""
        copy = tf.identity(values)
        if direction == "forward":
            return copy, self._bijector.forward(copy)
        return self._bijector.inverse(copy), copy

    def _forward_event_shape(self, x_shape):
        return self._bijector.forward_event_shape(x_shape)

    def _inverse_event_shape(self, y_shape):
        return self._bijector.inverse_event_shape(y_shape)

    def _forward_event_shape_tensor(self, x_shape):
        return self._bijector.forward_event_shape_tensor(x_shape)

    def _inverse_event_shape_tensor(self, y_shape):
        return self._bijector.inverse_event_shape_tensor(y_shape)
