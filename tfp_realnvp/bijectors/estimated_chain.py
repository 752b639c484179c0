"""A chain with residual blocks, whose log-determinants are estimates."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors.cache import kept, renewed
from tfp_realnvp.bijectors.context_rows import as_rows, batch_shape
from tfp_realnvp.bijectors.residual import Residual
from tfp_realnvp.compute.hashed_numbers import keys_of_rows

__all__ = ["EstimatedChain"]


class EstimatedChain(tfb.Bijector):
    """As `tfb.Chain`, and the estimates of residual blocks depend on the image alone.

    - Forward: the bijectors one after the other, the last one first
    - Inverse: their inverses, the first one first
    - Inverse log-determinant: the sum of theirs

    A residual block draws random signs from a key for each row. By itself it takes the key from what it is
    given, which is rounded differently in another batch: here all take those of the images. So an image has the
    same log-determinant alone and in any batch.

    Args:
      bijectors: of events with three axes, the one next to the image first.
      context: float32 [n, ...], if the bijectors are told something of each row; see `as_rows`.
      name: name of the bijector.

    Example:
      >>> chain = EstimatedChain([tfb.Scale(2.0), tfb.Shift(1.0)])
      >>> chain.forward(tf.ones([1, 1, 1])).numpy().ravel()
      array([4.], dtype=float32)
    """

    def __init__(
        self,
        bijectors: Sequence[tfb.Bijector],
        context: tf.Tensor | None = None,
        name: str = "estimated_chain",
    ):
        parameters = dict(locals())
        self._bijectors = list(bijectors)
        self._context = context
        super().__init__(forward_min_event_ndims=3, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        rows, shape = as_rows(x, self._context, 3)
        for bijector in reversed(self._bijectors):
            rows = bijector.forward(rows)
        return tf.reshape(rows, shape)

    def _inverse(self, y):
        rows, shape = as_rows(y, self._context, 3)
        x, log_det = self._inverse_and_log_det(rows)
        renewed(self, "inverse", y, log_det)
        return tf.reshape(x, shape)

    def _inverse_log_det_jacobian(self, y):
        def compute():
            return self._inverse_and_log_det(as_rows(y, self._context, 3)[0])[1]

        log_det = kept(self, "inverse", y, compute)
        return tf.reshape(log_det, batch_shape(y, self._context, 3))

    def _inverse_and_log_det(self, rows):
        keys = keys_of_rows(rows)
        log_dets = tf.zeros(tf.shape(keys))
        for bijector in self._bijectors:
            if isinstance(bijector, Residual):
                rows, log_det = bijector.inverse_and_log_det(rows, keys)
            else:
                log_det = bijector.inverse_log_det_jacobian(rows, event_ndims=3)
                rows = bijector.inverse(rows)
            log_dets += log_det
        return rows, log_dets
