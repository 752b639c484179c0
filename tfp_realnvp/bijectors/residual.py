"""The residual block: a bijector without a closed inverse."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors.cache import kept, renewed

__all__ = ["Residual"]

TOLERANCE = 1e-6
MOST_STEPS = 1000


class Residual(tfb.Bijector):
    """`x = y + residual(y)` from image to latent, where `residual` has a Lipschitz constant below 1.

    - Forward (latent to image): the fixed point of `y = x - residual(y)`, by iteration
    - Inverse (image to latent): `x = y + residual(y)`
    - Inverse log-determinant: `log |det (I + J)|`, J being the Jacobian of `residual`; an estimate, if
      `residual` gives one

    The iteration ends when no row changes by more than 1e-6 of its norm; the error is then at most that change
    times L / (1 - L), L being the Lipschitz constant.

    Args:
      residual: from y [n, ...] to a tensor of its shape. A Keras layer must be held by the model too: TFP does
        not see its variables.
      log_det: from y [n, ...] to (residual(y), the log-determinant [n]), both from one evaluation.
      event_ndims: number of axes of one event.
      name: name of the bijector.

    Raises:
      tf.errors.InvalidArgumentError: the iteration does not converge, as when the Lipschitz constant is not
        below 1. The message names the row.

    Example:
      >>> half = Residual(lambda y: y / 2, lambda y: (y / 2, tf.math.log(1.5) * tf.ones(len(y))), event_ndims=1)
      >>> half.inverse(tf.constant([[2.0]])).numpy(), half.forward(tf.constant([[3.0]])).numpy().round(4)
      (array([[3.]], dtype=float32), array([[2.]], dtype=float32))

    Reference:
      Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen (2019), Invertible residual networks, sections 2 and 3.
    """

    def __init__(
        self,
        residual: Callable[[tf.Tensor], tf.Tensor],
        log_det: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        *,
        event_ndims: int = 3,
        name: str = "residual",
    ):
        parameters = dict(locals())
        self._residual = residual
        self._log_det = log_det
        super().__init__(forward_min_event_ndims=event_ndims, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _inverse(self, y):
        rows = self._rows(y)
        change, log_det = self._log_det(rows)
        renewed(self, "inverse", y, log_det)
        return y + tf.reshape(change, tf.shape(y))

    def _forward(self, x):
        y = tf.reshape(self._fixed_point(self._rows(x)), tf.shape(x))
        return tf.ensure_shape(y, x.shape)

    def _inverse_log_det_jacobian(self, y):
        log_det = kept(self, "inverse", y, lambda: self._log_det(self._rows(y))[1])
        batch = tf.shape(y)[: y.shape.rank - self.forward_min_event_ndims]
        return tf.reshape(log_det, batch)

    def _rows(self, values):
        return tf.reshape(values, [-1, *values.shape[-self.forward_min_event_ndims :]])

    def _fixed_point(self, x):
        axes = list(range(1, x.shape.rank))

        def size(values):
            return tf.sqrt(tf.reduce_sum(tf.square(values), axes))

        def step(y, _):
            new = x - self._residual(y)
            return new, size(new - y) / (size(new) + 1.0)

        def goes_on(_, changes):
            return tf.reduce_any(tf.logical_not(changes <= TOLERANCE))

        first = step(x, None)
        y, changes = tf.while_loop(goes_on, step, first, maximum_iterations=MOST_STEPS)
        worst = tf.argmax(tf.where(changes >= 0, changes, 1e38))
        check = tf.debugging.Assert(
            tf.logical_not(goes_on(y, changes)),
            [
                f"after {MOST_STEPS} steps the inverse of a residual block still changes: its network has no "
                "Lipschitz constant below 1, or latents are not finite. Row and relative change:",
                worst,
                changes[worst],
            ],
        )
        with tf.control_dependencies([check]):
            return tf.identity(y)
