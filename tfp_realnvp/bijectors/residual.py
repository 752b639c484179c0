"""The residual block: a bijector without a closed inverse."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors.cache import kept, renewed
from tfp_realnvp.compute.hashed_numbers import keys_of_rows

__all__ = ["Residual", "Solution"]

TOLERANCE = 1e-6
MOST_STEPS = 1000


class Solution(NamedTuple):
    """What the fixed-point iteration found.

    Attributes:
      points: float32 [n, ...].
      steps: int32 [], evaluations of the network.
      changes: float32 [n], the norm of what the last plain step, which led to the points, changed. With a
        Lipschitz constant L the error is at most `changes * L / (1 - L)`.
    """

    points: tf.Tensor
    steps: tf.Tensor
    changes: tf.Tensor


class Residual(tfb.Bijector):
    """`x = y + g(y)` from image to latent, where `g` has a Lipschitz constant below 1.

    - Forward (latent to image): the fixed point of `y = x - g(y)`, by accelerated iteration
    - Inverse (image to latent): `x = y + g(y)`
    - Inverse log-determinant: `log |det (I + J)|`, J being the Jacobian of `g`; an estimate, if `g` gives one

    The iteration ends when no row changes by more than 1e-6 of 1 plus its norm; the error is then at most that
    change times L / (1 - L), L being the Lipschitz constant. It is accelerated by extrapolation from the last
    two points (Anderson, with a window of one), in each row for itself; where that led farther away, the plain
    step is taken instead, which leads nearer with every `g` that has such a constant.

    Args:
      network: gives the function `g` with the weights of now; it is called once at each use. `g(y)` is of the
        shape of y [n, ...], and `g(y, keys=keys)` is (g(y), the log-determinant [n]), where keys are
        uint32 [n], see `keys_of_rows`: estimates depend on them. A Keras layer must be held by the model too:
        TFP does not see its variables.
      event_ndims: number of axes of one event.
      name: name of the bijector.

    Raises:
      tf.errors.InvalidArgumentError: the iteration does not converge, as when the Lipschitz constant is not
        below 1. The message names the row.

    Example:
      >>> def half(y, keys=None):
      ...     return y / 2 if keys is None else (y / 2, tf.math.log(1.5) * tf.ones(len(y)))
      >>> bijector = Residual(lambda: half, event_ndims=1)
      >>> bijector.inverse(tf.constant([[2.0]])).numpy()
      array([[3.]], dtype=float32)
      >>> bijector.forward(tf.constant([[3.0]])).numpy().round(4)
      array([[2.]], dtype=float32)

    Reference:
      Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen (2019), Invertible residual networks, sections 2 and 3;
      Walker, Ni (2011), Anderson acceleration for fixed-point iterations.
    """

    def __init__(
        self, network: Callable[[], Callable], *, event_ndims: int = 3, name: str = "residual"
    ):
        parameters = dict(locals())
        self._network = network
        super().__init__(forward_min_event_ndims=event_ndims, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def inverse_and_log_det(self, y: tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(x, inverse log-determinants [n]) of y [n, ...], with keys uint32 [n] for the estimates."""
        change, log_det = self._network()(y, keys=keys)
        return y + change, log_det

    def solve(self, x: tf.Tensor) -> Solution:
        """The y [n, ...] of x [n, ...], and how they were found."""
        axes = list(range(1, x.shape.rank))
        network = self._network()

        def dot(one, other):
            return tf.reduce_sum(one * other, axes, keepdims=True)

        def norm(values):
            return tf.reshape(tf.sqrt(dot(values, values)), [-1])

        def step(y, steps, nearest, change):
            """The next y. `nearest` is what the best plain step so far led to, by a change of `change`."""
            new = x - network(y)
            new_change = new - y
            is_nearer = dot(new_change, new_change) <= dot(change, change)
            turn = new_change - change
            share = tf.math.divide_no_nan(dot(new_change, turn), dot(turn, turn))
            y = tf.where(is_nearer, new - share * (new - nearest), nearest)
            nearest = tf.where(is_nearer, new, nearest)
            return y, steps + 1, nearest, tf.where(is_nearer, new_change, change)

        def goes_on(_, steps, nearest, change):
            return tf.reduce_any(tf.logical_not(norm(change) / (norm(nearest) + 1.0) <= TOLERANCE))

        first = x - network(x)
        start = (first, 1, first, first - x)
        last = tf.while_loop(goes_on, step, start, maximum_iterations=MOST_STEPS - 1)
        solution = Solution(points=last[2], steps=last[1], changes=norm(last[3]))
        worst = tf.argmax(tf.where(solution.changes >= 0, solution.changes, 1e38))
        check = tf.debugging.Assert(
            tf.logical_not(goes_on(*last)),
            [
                f"after {MOST_STEPS} steps the inverse of a residual block still changes: its network has no "
                "Lipschitz constant below 1, or latents are not finite. Row and change:",
                worst,
                solution.changes[worst],
            ],
        )
        with tf.control_dependencies([check]):
            return solution._replace(points=tf.ensure_shape(solution.points, x.shape))

    def _inverse(self, y):
        rows = self._rows(y)
        x, log_det = self.inverse_and_log_det(rows, keys_of_rows(rows))
        renewed(self, "inverse", y, log_det)
        return tf.reshape(x, tf.shape(y))

    def _forward(self, x):
        y = tf.reshape(self.solve(self._rows(x)).points, tf.shape(x))
        return tf.ensure_shape(y, x.shape)

    def _inverse_log_det_jacobian(self, y):
        def compute():
            rows = self._rows(y)
            return self.inverse_and_log_det(rows, keys_of_rows(rows))[1]

        batch = tf.shape(y)[: y.shape.rank - self.forward_min_event_ndims]
        return tf.reshape(kept(self, "inverse", y, compute), batch)

    def _rows(self, values):
        return tf.reshape(values, [-1, *values.shape[-self.forward_min_event_ndims :]])
